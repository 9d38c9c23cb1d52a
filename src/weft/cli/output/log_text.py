"""Prints logs: the bytes as they are into a pipe or file, harmless text into a terminal."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Sequence

from weft.cli.output.printer import PIECE_BYTES
from weft.cli.output.problems import told_refusals
from weft.cli.output.recorded import Logs
from weft.cli.output.records import region_of
from weft.cli.output.terminal import harmless
from weft.ports import AttemptRow


class LogShortError(LookupError):
    """A log has fewer bytes than the attempt wrote."""


class LogPrinter:
    """Prints the streams of one attempt, each byte once, however often it is called."""

    def __init__(self, logs: Logs, is_terminal: bool, descriptor: int | None = None):
        self._logs = logs
        self._is_terminal = is_terminal
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._shown = {"stdout": 0, "stderr": 0}
        self._held = {"stdout": b"", "stderr": b""}
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in self._shown}
        self._attempt: object = None

    def catch_up(self, row: AttemptRow, streams: Sequence[str]) -> None:
        """Print what the last call found, and look for more.

        What is new stays back until the next call, made after the store was asked again: output files are shared by attempts
        one after another, and only the attempt's end says which bytes at the end of a file are its own.
        """
        self._begin(row)
        for stream in streams:
            self._write(stream, self._held[stream])
            region = region_of(row, stream)
            self._held[stream] = self._logs.read(region, self._shown[stream], PIECE_BYTES) if region.file else b""

    def finish(self, row: AttemptRow, streams: Sequence[str]) -> None:
        """Print the rest. Raises LogGoneError, LogShortError."""
        self._begin(row)
        for stream in streams:
            region = region_of(row, stream)
            while region.length < 0 or self._shown[stream] < region.length:
                limit = PIECE_BYTES if region.length < 0 else min(PIECE_BYTES, region.length - self._shown[stream])
                piece = self._logs.read(region, self._shown[stream], limit) if region.file else b""
                if not piece:
                    break
                self._write(stream, piece)
            if self._shown[stream] < region.length:
                raise LogShortError(f"the log is shorter than it was: {region.file}")
            if self._is_terminal:
                self._out(harmless(self._decoders[stream].decode(b"", True)).encode())

    def texts(self, row: AttemptRow, streams: Sequence[str]) -> dict[str, str]:
        """Each stream as text."""
        read = {stream: self._logs.read(region_of(row, stream)) for stream in streams if region_of(row, stream).file}
        return {stream: read.get(stream, b"").decode("utf-8", "replace") for stream in streams}

    def _begin(self, row: AttemptRow) -> None:
        if self._attempt != row.key:
            self._attempt = row.key
            self._shown = {"stdout": 0, "stderr": 0}
            self._held = {"stdout": b"", "stderr": b""}

    def _write(self, stream: str, data: bytes) -> None:
        self._shown[stream] += len(data)
        self._out(harmless(self._decoders[stream].decode(data)).encode() if self._is_terminal else data)

    def _out(self, data: bytes) -> None:
        view = memoryview(data)
        with told_refusals():
            while view:
                view = view[os.write(self._descriptor, view) :]
