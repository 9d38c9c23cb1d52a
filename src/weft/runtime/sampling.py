"""Opportunistic mode: measures the host every few seconds beside the loop, so that a slow tracker holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from weft.scheduling.events import Event, HeadroomChanged

EVERY_SECONDS: Final = 2.0
FIRST_SECONDS: Final = 0.5
"""Between the first two looks: rates need two."""


class Sampling:
    """measure: gives the figures. put: hands them to the engine, from any thread. pause: waits so long, True ends it all."""

    def __init__(
        self,
        measure: Callable[[], HeadroomChanged],
        put: Callable[[Event], None],
        pause: Callable[[float], bool] | None = None,
    ):
        self._measure = measure
        self._put = put
        self._end = threading.Event()
        self._pause = pause or self._end.wait
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="weft-sampling", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def close(self) -> None:
        """End it; a look that is under way is not waited for long."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(EVERY_SECONDS)

    def _run(self) -> None:
        first = self._look()
        if self._pause(FIRST_SECONDS):
            return
        told = first.remarks
        while True:
            sample = self._look()
            if self._end.is_set():  # it took long, and who wanted to know is gone
                return
            self._put(sample._replace(remarks=(*told, *sample.remarks)))
            told = ()
            if self._pause(EVERY_SECONDS):
                return

    def _look(self) -> HeadroomChanged:
        try:
            return self._measure()
        except Exception as error:  # noqa: BLE001 - told once; what is not measured bounds nothing, and the run goes on
            text = f"the host cannot be measured, so nothing gives way to it: {type(error).__name__}: {error}"
            remarks = () if self._has_failed else (text,)
            self._has_failed = True
            return HeadroomChanged({}, remarks=remarks)
