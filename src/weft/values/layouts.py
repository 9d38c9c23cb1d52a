"""Formats of values that are no plain data: arrays as .npy, tables as Arrow files, everything else pickled.

Buffers that are not part of the stream (pickle protocol 5) lie behind it in the same file, aligned, to be mapped.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Sequence
from importlib import import_module
from struct import Struct
from typing import Any

from . import files
from .orderly import in_order

ALIGNED = 64  # bytes; what vector instructions want
IN_STREAM_MOST = 4096  # bytes; a buffer that is shorter is not worth a place of its own
_MAGIC = b"WEFTPKL5"
_COUNTS = Struct("<QQ")  # buffers, bytes of the stream
_LENGTH = Struct("<Q")


# --- pickles ---------------------------------------------------------------------------------------------------------


def parts_of_pickle(value: Any) -> Sequence[Any]:
    """Bytes-like parts of the file. Raises what pickling raises."""
    buffers: list[pickle.PickleBuffer] = []
    stream = _stream_of(in_order(value), buffers)
    if not buffers:
        return [stream]
    views = [buffer.raw() for buffer in buffers]
    head = [_MAGIC, _COUNTS.pack(len(views), len(stream)), *[_LENGTH.pack(view.nbytes) for view in views]]
    parts: list[Any] = [b"".join([*head, stream])]
    size = len(parts[0])
    for view in views:
        parts += [bytes(-size % ALIGNED), view]
        size += -size % ALIGNED + view.nbytes
    return parts


def _stream_of(value: Any, buffers: list[pickle.PickleBuffer]) -> bytes:
    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < IN_STREAM_MOST:
            return True
        buffers.append(buffer)
        return False

    try:
        stream = pickle.dumps(value, 5, buffer_callback=keep)
        if b"__main__" not in stream:  # another process has another __main__
            return stream
        failure = None
    except Exception as error:  # noqa: BLE001 - whatever the user's classes raise; cloudpickle may do it: lambdas, local classes
        failure = error
    try:
        cloudpickle = import_module("cloudpickle")
    except ImportError:
        if failure is not None:
            raise failure from None
        return stream
    buffers.clear()
    made = cloudpickle.dumps(value, 5, buffer_callback=keep)
    assert isinstance(made, bytes)
    return made


def read_pickle(buffer: Any) -> Any:
    """The value. buffer: whole, as the digest has shown. Raises what unpickling raises."""
    if bytes(buffer[: len(_MAGIC)]) != _MAGIC:
        return pickle.loads(buffer)
    view = memoryview(buffer)
    amount, length = _COUNTS.unpack_from(view, len(_MAGIC))
    place = len(_MAGIC) + _COUNTS.size
    lengths = [_LENGTH.unpack_from(view, place + number * _LENGTH.size)[0] for number in range(amount)]
    place += amount * _LENGTH.size
    stream, place = view[place : place + length], place + length
    views = []
    for size in lengths:
        place += -place % ALIGNED
        views.append(view[place : place + size])
        place += size
    return pickle.loads(stream, buffers=views)


# --- arrays ----------------------------------------------------------------------------------------------------------


def parts_of_array(numpy: Any, array: Any) -> Sequence[Any] | None:
    """The .npy file of an array; None when that cannot hold it (objects, dtypes with metadata)."""
    if array.dtype.hasobject or array.dtype.metadata or array.dtype.isalignedstruct:
        return None
    head = io.BytesIO()
    form = numpy.lib.format
    try:
        form.write_array_header_1_0(head, form.header_data_from_array_1_0(array))
    except ValueError:  # a structured dtype that needs a longer header, or names beyond Latin-1
        return None
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    whole = array.T if is_fortran else numpy.ascontiguousarray(array)
    return [head.getvalue(), whole.reshape(-1).view(numpy.uint8).data if array.size and array.itemsize else b""]


def read_array(buffer: Any) -> Any:
    """An array over the buffer. Raises ImportError, ValueError."""
    numpy = import_module("numpy")
    head = io.BytesIO(bytes(buffer[: 12 + (64 << 10)]))
    form = numpy.lib.format
    if form.read_magic(head) != (1, 0):
        raise ValueError("an array file of a version that weft does not write")
    shape, is_fortran, dtype = form.read_array_header_1_0(head)
    if head.tell() == len(buffer):
        return numpy.zeros(shape, dtype, "F" if is_fortran else "C")
    flat = numpy.frombuffer(buffer, dtype, offset=head.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")


# --- tables ----------------------------------------------------------------------------------------------------------


def write_table(arrow: Any, table: Any, folder: str) -> str | None:
    """Path of a file beside the products that holds the table; None when such a file cannot hold it."""
    ipc = sys.modules.get("pyarrow.ipc") or getattr(arrow, "ipc", None)
    if ipc is None:
        return None
    opened, beside = files.open_beside(folder)
    try:
        with os.fdopen(opened, "wb") as file, ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    except arrow.ArrowInvalid:  # dictionaries that differ between batches
        os.unlink(beside)
        return None
    except BaseException:
        os.unlink(beside)
        raise
    return beside


def read_table(buffer: Any) -> Any:
    """A table over the buffer. Raises ImportError, ValueError."""
    pyarrow, ipc = import_module("pyarrow"), import_module("pyarrow.ipc")
    return ipc.open_file(pyarrow.py_buffer(buffer)).read_all()
