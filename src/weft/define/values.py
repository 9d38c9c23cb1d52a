"""Values of options as a plan holds them: plain data as it is, a copy of its own; anything else pickled, with a digest."""

from __future__ import annotations

import base64
import pickle
from typing import Any, Final

from weft.define.forms import digest_of_value, shown_of
from weft.spec.options import Opaque
from weft.values.plain import DEPTH_MOST, is_deep, text_of, value_of

_SCALARS: Final = frozenset({type(None), bool, str})
_SHORT: Final = 1 << 53  # integers up to here need no look at their length


class UnpicklableError(TypeError):
    """A value can be neither written as plain data nor pickled; says why."""


def held(value: Any) -> Any:
    """The value as a plan holds it; changing the original changes nothing. Raises UnpicklableError."""
    kind = type(value)
    if kind in _SCALARS or (kind is int and -_SHORT < value < _SHORT):
        return value
    text = text_of(value)
    if text is None:
        return opaque(value)
    if is_deep(text):
        raise UnpicklableError(f"it is nested more than {DEPTH_MOST} deep")
    return value_of(text)


def opaque(value: Any) -> Opaque:
    """A value that is no plain data. Raises UnpicklableError."""
    pickled = _pickled(value)
    return Opaque(base64.b64encode(pickled).decode("ascii"), digest_of_value(value, pickled=pickled), shown_of(value))


def _pickled(value: Any) -> bytes:
    plain: bytes | None = None
    try:
        plain = pickle.dumps(value, protocol=5)
        if b"__main__" not in plain:  # another process has another __main__
            return plain
    except Exception:  # noqa: BLE001 - pickle fails in many ways; cloudpickle knows more, and says why else
        pass
    try:
        import cloudpickle  # type: ignore[import-untyped]

        data: bytes = cloudpickle.dumps(value, protocol=5)
    except Exception as error:
        if plain is not None:
            return plain
        raise UnpicklableError(f"{type(error).__name__}: {error}") from error
    return data
