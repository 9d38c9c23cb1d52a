"""The view of a run as JSON lines: the events of design.md 12, version 1."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii as quoted  # C where there is one; ASCII, so no locale can spoil it
from typing import Final

from weft.cli.output.follower import Follower, Stream
from weft.cli.output.labels import Labels
from weft.cli.output.printer import Printer
from weft.cli.output.recorded import Recorded
from weft.cli.output.tally import Ended, Tally
from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleInstance, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Usage, kind
from weft.spec.plan import Plan
from weft.values.plain import is_deep

VERSION: Final = 1
TASKS_AT_ONCE: Final = 5_000
SHOWN_PRODUCT: Final = 65_536  # characters; a larger one is left to `weft show --product`
_FINAL_BITS: Final = {"ok": 1, "failed": 2, "cancelled": 4, "skipped": 8}


class Stamps:
    """Wall clock times as ISO 8601 UTC text; the part above a second is made once a second."""

    __slots__ = ("_clock", "_prefix", "_second")

    def __init__(self, clock: Callable[[], float] = time.time):
        self._clock = clock
        self._second = -1
        self._prefix = ""

    def now(self) -> str:
        """As `2026-11-20T07:44:32.123Z`."""
        moment = self._clock()
        second = int(moment)
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._prefix}.{int((moment - second) * 1000):03d}Z"


def plan_label(plan: Plan) -> str:
    """What a plan is called: its name, else the file that it came from."""
    return plan.name or (plan.sources[0].path if plan.sources else plan.key)


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _number(value: float | None) -> str:
    return "null" if value is None else repr(round(value, 6))


class JsonView:
    """Prints a run as one object a line. An Observer.

    follow: with `task_output` events.
    """

    def __init__(
        self,
        printer: Printer,
        recorded: Recorded | None = None,
        *,
        follow: bool = False,
        clock: Callable[[], float] = time.time,
    ):
        self._printer = printer
        self._recorded = recorded or Recorded()
        self._stamps = Stamps(clock)
        self._begun: set[AttemptKey] = set()
        self._finals = bytearray()
        self._told: set[tuple[int, int]] = set()  # instances whose last attempt has just been told
        self._products: dict[int, str] = {}
        self._tally: Tally
        self._labels: Labels
        self._follower = Follower(printer.read, self._emit) if follow and printer.read is not None else None

    def run_started(self, opening: RunOpening) -> None:
        self._recorded.opened(opening)
        self._tally = Tally(opening)
        self._labels = Labels(opening.plan.graph.tasks, self._recorded.items)
        self._finals = bytearray(len(opening.plan.graph.tasks))
        self._put(
            "run_started",
            f'"run": {quoted(opening.run)}, "plan": {quoted(plan_label(opening.plan))}, "tasks": {len(opening.selected)}}}\n',
        )
        if self._follower is not None:
            self._printer.keep_calling(self._follower.look)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        self._begun.add(key)
        self._put_start(key)
        follower = self._follower
        if follower is not None:
            self._printer.call(lambda _: follower.begin(key, began))

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        if key in self._begun:
            self._begun.discard(key)
        elif outcome.charged:
            self._put_start(key)
        else:
            return  # taken back before it began
        follower = self._follower
        if follower is not None:
            self._printer.call(lambda _: follower.end(key, outcome))
        state = _state(outcome)
        if retry is None:
            self._finals[key.task] |= _FINAL_BITS[state]
            if key.instance != WHOLE:
                self._told.add((key.task, key.instance))
            if outcome.product is not None and len(outcome.product) <= SHOWN_PRODUCT:
                self._keep_product(key, outcome.product)
        self._put_end(key.task, key, state, outcome.cause, outcome.exit_code, outcome.usage, retry is not None)

    def instance_ended(self, settled: SettleInstance) -> None:
        unit = (settled.task, settled.instance)
        if unit in self._told:
            self._told.remove(unit)
            return
        self._finals[settled.task] |= _FINAL_BITS[settled.state]
        self._put_end(settled.task, AttemptKey(*unit, 0), settled.state, settled.cause, None, None, False)

    def task_ended(self, settled: SettleTask) -> None:
        self._tally.settle(settled)
        if not self._finals[settled.task] & _FINAL_BITS[settled.state]:
            usage = settled.usage if settled.attempts else None
            self._put_end(settled.task, None, settled.state, settled.cause, None, usage, False)

    def remarked(self, text: str, task: int | None) -> None:
        where = f"task '{self._tally.tasks[task].name}': " if task is not None else ""
        self._printer.warn(f"weft: {where}{text}\n")

    def echoed(self, text: str) -> None:
        self._printer.warn(text)  # standard output is ours

    def run_ended(self, ending: RunEnding) -> None:
        tally, printer = self._tally, self._printer
        if tally.needs_rows:
            tally.complete(self._recorded.rows())
        counts = ", ".join(f'"{name}": {number}' for name, number in tally.counts().items())
        self._put(
            "run_ended",
            f'"run": {quoted(ending.run)}, "state": "{ending.state}", '
            f'"exit_code": {ending.exit_code}, "seconds": {_number(ending.seconds)}, '
            f'"counts": {{{counts}}}, "tasks": {{',
        )
        for piece in self._task_pieces():
            printer.put(piece)
        printer.put("}" + _notes(ending) + "}\n")
        printer.close()

    def close(self) -> None:
        """Print what is left, also when the run broke off."""
        self._printer.close()

    # --- pieces --------------------------------------------------------------------------------------------------------

    def _put(self, event: str, rest: str) -> None:
        head = f'{{"v": {VERSION}, "event": "{event}", "time": "'
        if self._follower is None:
            self._printer.put(f'{head}{self._stamps.now()}", {rest}')
        else:  # output is stamped when it is found, on the printer's thread: so then is everything, or times would go back
            self._printer.call(lambda printer: printer.write(f'{head}{self._stamps.now()}", {rest}'))

    def _put_start(self, key: AttemptKey) -> None:
        name = quoted(self._tally.tasks[key.task].name)
        self._put("task_started", f'"task": {name}, "attempt": {key.attempt}, {self._instance(key)}}}\n')

    def _instance(self, key: AttemptKey | None) -> str:
        """The number of an instance of a mapped task, from 0, and the item that it has."""
        if key is None or key.instance == WHOLE:
            return '"instance": null'
        return f'"instance": {key.instance}, "item": {quoted(self._labels.item_of(key))}'

    def _put_end(
        self,
        task: int,
        key: AttemptKey | None,
        state: str,
        cause: str | None,
        exit_code: int | None,
        usage: Usage | None,
        will_retry: bool,
    ) -> None:
        attempt = "null" if key is None or not key.attempt else key.attempt
        seconds, cpu_seconds, memory = usage if usage is not None else (None, None, None)
        self._put(
            "task_ended",
            f'"task": {quoted(self._tally.tasks[task].name)}, "attempt": {attempt}, {self._instance(key)}, '
            f'"state": "{state}", "cause": {_text(cause)}, "exit_code": {"null" if exit_code is None else exit_code}, '
            f'"seconds": {_taken(seconds)}, "memory": {"null" if memory is None else memory}, '
            f'"cpu_seconds": {_number(cpu_seconds)}, "will_retry": {"true" if will_retry else "false"}}}\n',
        )

    def _keep_product(self, key: AttemptKey, product: str) -> None:
        declared = self._tally.tasks[key.task].policy.product
        is_text = declared is not None and declared.source == "stdout"
        is_shown = is_text or not (product.startswith("@") or is_deep(product))  # a parser of lines must survive them
        if declared is not None and is_shown and key.instance == WHOLE:
            # JSON as the task wrote it may have line breaks between its tokens; this is one line.
            plain = quoted(product) if is_text else product.replace("\n", " ").replace("\r", " ")
            self._products[key.task] = self._covered(plain)

    def _covered(self, product: str) -> str:
        """JSON with secrets covered; a number that was one becomes a text of stars."""
        covered = self._recorded.covered(product)
        if covered == product:
            return product
        try:
            json.loads(covered)
        except ValueError:
            return quoted(covered)
        return covered

    def _task_pieces(self) -> Iterator[str]:
        separator = ""
        piece: list[str] = []
        for ended in self._tally:
            piece.append(separator + self._task_entry(ended))
            separator = ", "
            if len(piece) >= TASKS_AT_ONCE:
                yield "".join(piece)
                piece.clear()
        yield "".join(piece)

    def _task_entry(self, ended: Ended) -> str:
        product = self._products.get(ended.task)
        return (
            f'{quoted(ended.name)}: {{"state": "{ended.state}", "cause": {_text(ended.cause)}, '
            f'"attempts": {ended.attempts}, "seconds": {_taken(ended.seconds)}, '
            f'"memory": {"null" if ended.memory is None else ended.memory}, '
            f'"instances": {"null" if ended.instances is None else ended.instances}'
            + (f', "product": {product}}}' if product is not None else "}")
        )

    def _emit(self, key: AttemptKey, stream: Stream, text: str, _: bool) -> None:
        if not text:
            return
        self._printer.write(
            f'{{"v": {VERSION}, "event": "task_output", "time": "{self._stamps.now()}", '
            f'"task": {quoted(self._tally.tasks[key.task].name)}, "stream": "{stream}", "text": {quoted(text)}}}\n'
        )


def _taken(seconds: float | None) -> str:
    """What an attempt took; null for one that never began, as the store shows it."""
    return _number(None if seconds is None else round(seconds, 6) or None)


def _notes(ending: RunEnding) -> str:
    """What became of the notes, of a run that has any."""
    if not ending.notes:
        return ""
    import json

    from weft.api.ended import notes_of

    return f', "notes": {json.dumps(notes_of(ending.notes))}'


def _state(outcome: Outcome) -> str:
    if outcome.ok:
        return "ok"
    return (
        "cancelled" if outcome.cause is not None and kind(outcome.cause) in ("interrupted", "cancelled") else "failed"
    )
