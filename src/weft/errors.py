"""Every error a user can meet: whose fault it is, where it is, what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SHOWN_CHARACTERS = 80  # of an offending value; dialects.md 1.2

NEAR = 0.6  # similarity above which a name is offered; difflib's own default
COMPARED_NAMES = 20_000  # bounds the time that one hint may take in a plan of a million names
COMPARED_CHARACTERS = 200  # matching is quadratic in the length, and nobody misspells so long a name by hand


def cut(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """`text` on one line, shortened to `limit` characters, control characters escaped."""
    line = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shown(value: object) -> str:
    """A value for a message: JSON's words for JSON's constants, and never a conversion that may itself fail."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length()} bits"
    # A text keeps its closing quote, unless it holds what has to be escaped: `cut` would do that before `repr` does.
    return repr(cut(value)) if isinstance(value, str) and value.isprintable() else cut(repr(value))


def one_line(text: str) -> str:
    """A text with escapes for line ends, control characters and marks that change the direction of writing."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class Problem(NamedTuple):
    """One mistake (or warning) in an input; the record of dialects.md 1.2.

    location: JSON pointer. line, column: from 1, None where unknown.
    """

    code: str
    message: str
    file: str | None = None
    location: str | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None

    def as_json(self) -> dict[str, object]:
        """The record with all seven keys."""
        return self._asdict()

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" + (f":{self.column}" if self.column is not None else "")
        if self.location:
            location = one_line(self.location)
            place += f" {location}" if place else location
        text = f"{place}: {self.message} [{self.code}]" if place else f"{self.message} [{self.code}]"
        return f"{text}\n    {self.hint}" if self.hint else text


class WeftError(Exception):
    """Something that weft tells its user without a traceback."""

    exit_code = 70
    warnings: tuple[Problem, ...] = ()
    """What was remarked of the same input."""

    def problems(self) -> tuple[Problem, ...]:
        """What went wrong as records; at least one."""
        return (Problem("error", str(self)),)


class PlanError(WeftError):
    """The input has mistakes; nothing ran. Carries all of them, and the warnings beside them."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()):
        self._problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(str(problem) for problem in self._problems))

    def problems(self) -> tuple[Problem, ...]:
        return self._problems


class DefinitionError(PlanError, ValueError):
    """A definition made in Python is wrong."""


class UsageError(WeftError):
    """The command line asks for something that does not exist or does not go together."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None, code: str = "usage"):
        super().__init__(message)
        self.hint = hint
        self.code = code

    def problems(self) -> tuple[Problem, ...]:
        return (Problem(self.code, str(self), hint=self.hint),)


class StoreError(WeftError):
    """The state cannot be used: what was tried, the system's own words, what to do.

    is_passing: the same call may succeed later (the disk is full now).
    """

    exit_code = 3

    def __init__(self, message: str, path: str | None = None, hint: str | None = None, is_passing: bool = False):
        super().__init__(message)
        self.is_passing = is_passing
        self.path = path
        self.hint = hint

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("store", str(self), file=self.path, hint=self.hint),)


class OwnedError(WeftError):
    """Another live run owns this plan."""

    exit_code = 4

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.hint = hint

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("owned", str(self), hint=self.hint),)


class HandedOverError(OwnedError):
    """Another process asked for this run and goes on with it; what runs was left alone."""


class BackendError(WeftError):
    """A system that weft runs on does not answer."""

    exit_code = 5

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.hint = hint

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("backend", str(self), hint=self.hint),)


class InternalError(WeftError):
    """Our bug: a promise of the code is broken. Says which, with the last events."""

    exit_code = 70

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("internal", str(self), hint="please report this with the text above"),)


# --- workflows (workflows.md); compat paths are in `weft.compat.jobmon.core.exceptions` ---------------------------------------


class WorkflowError(WeftError):
    """A workflow made in Python cannot be what it says; nothing ran."""

    exit_code = 2

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("workflow", str(self)),)


class ArgumentError(WorkflowError, ValueError):
    """A value that the workflow API does not take."""


class UnknownTemplateError(WorkflowError, KeyError):
    """A name that no task template has."""

    def __str__(self) -> str:  # KeyError would show its repr
        return str(self.args[0]) if self.args else ""


class InvalidMemoryFormat(ArgumentError):
    """A text that is no amount of memory."""


class InvalidMemoryUnit(ArgumentError):
    """An amount of memory in a unit that nobody knows."""


class DuplicateNodeArgsError(ArgumentError):
    """Two tasks of one workflow have equal node arguments."""


class NodeDependencyNotExistError(ArgumentError):
    """A task waits for one that is not in its workflow."""


class CyclicGraphError(ArgumentError):
    """Tasks wait for each other."""


class CallableReturnedInvalidObject(ArgumentError):
    """A `compute_resources_callable` gave something that is no dict of resources."""


class EmptyWorkflowError(WorkflowError, RuntimeError):
    """A workflow without tasks."""


class WorkflowAlreadyExists(WorkflowError, RuntimeError):
    """A workflow of this identity is recorded, and was not to be resumed."""


class WorkflowAlreadyComplete(WorkflowError, RuntimeError):
    """The recorded workflow of this identity has all its tasks done."""


class WorkflowNotResumable(WorkflowError, RuntimeError):
    """The recorded workflow is still owned by a live engine that does not let go."""

    exit_code = 4


class WorkflowTimeoutError(WorkflowError, RuntimeError):
    """The time for the whole workflow was over before it had ended."""

    exit_code = 1


class DistributorNotAlive(WorkflowError, RuntimeError):
    """Never raised: there is no distributor. Kept for `except` clauses."""


class DistributorStartupTimeout(WorkflowError, RuntimeError):
    """Never raised: there is no distributor. Kept for `except` clauses."""


class DistributorInterruptedError(WorkflowError, RuntimeError):
    """Never raised: there is no distributor. Kept for `except` clauses."""


class InvalidResponse(WorkflowError, RuntimeError):
    """Never raised: there is no server. Kept for `except` clauses."""


class ConfigError(WorkflowError, RuntimeError):
    """Never raised: there is nothing to configure. Kept for `except` clauses."""


class WeftWarning(UserWarning):
    """Something a user of the Python API should know."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` most likely means, None when none is close. Cost: O(known) comparisons."""
    from difflib import SequenceMatcher  # late: only mistakes need it

    wanted = name.casefold()
    if not wanted or len(wanted) > COMPARED_CHARACTERS:
        return None
    best, best_ratio = None, NEAR
    matcher: SequenceMatcher[str] = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    for position, candidate in enumerate(known):
        if position >= COMPARED_NAMES:
            break
        if candidate == name or len(candidate) > COMPARED_CHARACTERS:
            continue
        matcher.set_seq1(candidate.casefold())
        if matcher.real_quick_ratio() <= best_ratio or matcher.quick_ratio() <= best_ratio:
            continue
        ratio = matcher.ratio()
        if ratio > best_ratio:
            best, best_ratio = candidate, ratio
    return best


def hint_nearest(name: str, known: Iterable[str]) -> str | None:
    """`did you mean 'x'?`, None when nothing known is close."""
    found = nearest(name, known)
    return None if found is None else f"did you mean {cut(found)!r}?"
