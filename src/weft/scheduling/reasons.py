"""Why something ran, waits, failed or need not run: values that CLI, web and JSON render alike."""

from __future__ import annotations

from typing import Final, NamedTuple

from weft.spec.compute import LIMIT_PREFIX

DAMAGED: Final = "product_damaged"
"""Code: finished work cannot stand in, since what it handed on is not what was written."""


class Reason(NamedTuple):
    """One reason. code: stable word. part: of the fingerprint, or what it is about.

    before, after: short texts, None where unknown.
    """

    code: str
    text: str
    part: str | None = None
    before: str | None = None
    after: str | None = None

    def as_json(self) -> dict[str, str]:
        """`code` and `text`, and the others where known."""
        return {name: value for name, value in zip(self._fields, self, strict=True) if value is not None}


def closed_by(limit: str) -> Reason:
    """A cap of 0 on how many tasks may be live keeps one from its start. limit: the named resource."""
    whose = limit.removeprefix(LIMIT_PREFIX)
    return Reason("closed", f"at most 0 tasks of {whose} may be live: weft workflow concurrency lets them start", limit)
