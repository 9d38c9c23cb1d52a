"""Which Python serialised a function, as far as its bytecode tells. Python 3.8 or later; standard library only.

Bytecode is read by its own version alone, and another one does not notice: it crashes when the function is called. What weft
serialises says who made it (`MADE_BY`); of other pickles the code is looked at. Those of cloudpickle hold the arguments of
`types.CodeType`: six numbers, then the code. Code is a row of instructions of two bytes; an instruction is followed by as many
empty ones as it has caches, and these numbers differ from version to version.

Source of the tables: `opcode.opmap` and `opcode._inline_cache_entries` of each version.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

MADE_BY = b"\nPython "  # behind the end of the pickle, before the version; see `weft.define.references`
VERSION_LENGTH = 20
LONGEST = 100_000  # operations of a pickle that are looked at
NUMBERS = 6  # of a code object, before its code
HEAD = 16  # instructions among which the one stands that code begins with


class Instructions(NamedTuple):
    """Of one version. begins: what all code begins with. defined: a bit for each instruction. caches: by instruction."""

    begins: int
    defined: int
    caches: dict[int, int]

    def reads(self, code: bytes) -> bool:
        """Whether the code can be of this version."""
        if len(code) % 2 or self.begins not in code[: 2 * HEAD : 2]:
            return False
        place = 0
        while place < len(code):
            number = code[place]
            after = place + 2 * (1 + self.caches.get(number, 0))
            if not self.defined >> number & 1 or after > len(code) or any(code[place + 2 : after : 2]):
                return False
            place = after
        return True


KNOWN = {
    "3.11": Instructions(
        151,
        0x1F87D39BF5FFF7DFDFFFFFFFC0CF0307E003BC2009E06,
        {25: 4, 60: 1, 92: 1, 95: 4, 106: 4, 107: 2, 116: 5, 122: 1, 160: 10, 166: 1, 171: 4},
    ),
    "3.12": Instructions(
        151,
        0x1F83C39EFFFFFFFFC7FFFFEA80CB030FE003BCE029A3E,
        {25: 1, 60: 1, 92: 1, 93: 1, 95: 4, 106: 9, 107: 1, 116: 4, 122: 1, 123: 1, 141: 1, 171: 3},
    ),
    "3.13": Instructions(
        149,
        0x200000007FFFFFFFFFFFFFFFFFFFFFFFFFFFF6,
        {
            5: 1,
            39: 1,
            40: 3,
            45: 1,
            53: 3,
            58: 1,
            59: 1,
            72: 1,
            77: 1,
            82: 9,
            91: 4,
            93: 1,
            97: 1,
            98: 1,
            99: 1,
            100: 1,
            104: 1,
            108: 4,
            117: 1,
        },
    ),
}


def maker_of(written: bytes) -> str | None:
    """The version of Python that serialised a function, if that is another one than this and can be told."""
    here = "{}.{}".format(*sys.version_info[:2])
    end, _, said = written.rpartition(MADE_BY)
    version = said.decode("ascii", "replace")
    if end.endswith(b".") and len(version) <= VERSION_LENGTH and "." in version:
        return None if version.rpartition(".")[0] == here else version
    codes = list(_codes(written))
    fitting = [version for version, known in KNOWN.items() if all(map(known.reads, codes))]
    return None if not codes or here in fitting else " or ".join(fitting) or None


def is_older(written: bytes) -> bool:
    """Whether a pickle that could not be read holds code from before 3.11, which has neither caches nor a first instruction."""
    heads = [code[: 2 * HEAD : 2] for code in _codes(written)]
    return bool(heads) and not any(known.begins in head for known in KNOWN.values() for head in heads)


def _codes(written: bytes) -> Iterator[bytes]:
    """The code of all functions in a pickle."""
    import pickletools  # late: what weft serialises says who made it

    numbers = 0
    try:
        for _, value, _ in islice(pickletools.genops(written), LONGEST):
            if isinstance(value, bytes) and numbers >= NUMBERS:
                yield value
            numbers = numbers + 1 if isinstance(value, int) else 0
    except ValueError:
        return  # whoever loads it says what is wrong
