"""The read commands' answers as text, made from the same records as their JSON."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from weft.cli.output.amounts import bytes_text, request_text, seconds_text
from weft.cli.output.records import counts_of, moment, plan_title, seconds_of
from weft.cli.output.report import command, counted, next_steps
from weft.cli.output.tables import table
from weft.cli.output.terminal import Place, label, styled
from weft.errors import cut
from weft.ports import RunRow, TaskRow
from weft.scheduling.outcomes import CANCELLED
from weft.spec.slots import fill, slots_in, text_of
from weft.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from weft.assemble import Finding


ITEM_CHARACTERS: Final = 60


def status_text(
    run: RunRow, rows: Sequence[TaskRow], place: Place, *, now: float, is_live: bool, state_folder: str
) -> str:
    """`weft status`: the run, its tasks, the counts, and what to do next."""
    words = styled(run.state, run.state if run.state in ("ok", "failed", "running") else "cancelled", place.has_colour)
    head = f"run {run.run}  {words}  {label(plan_title(run))}\n"
    head += f"started {moment(run.started)}, {show_seconds(seconds_of(run, now))}"
    head += " so far\n" if run.state == "running" else "\n"
    body = table(
        ("TASK", "STATE", "ATTEMPTS", "SECONDS", "MEMORY", "CAUSE"),
        [_status_row(row) for row in rows],
        place,
        spare=("MEMORY", "ATTEMPTS", "SECONDS"),
    )
    counts = counts_of(rows)
    tail = counted(counts, len(rows))
    running = [f"{counts[state]} {state}" for state in ("running", "pending") if counts[state]]
    tail += f" ({', '.join(running)})\n" if running else "\n"
    if run.state == "running":
        steps = [] if is_live else [_continuing(run, state_folder)]
    else:
        given_up = sum(1 for row in rows if row.cause == CANCELLED)
        steps = next_steps(counts, given_up, state_folder, run.run)
    return head + body + tail + "".join(f"{line}\n" for line in steps)


def _status_row(row: TaskRow) -> tuple[str, ...]:
    cause = row.cause or ""
    if row.detail and row.state != "ok":
        cause += f": {cut(row.detail, 200)}"
    return row.name, row.state, str(row.attempts), seconds_text(row.seconds), bytes_text(row.memory), cause


def _continuing(run: RunRow, state_folder: str) -> str:
    return f"no engine is at work on this run; continue it: {command('resume', state_folder, run.run)}"


def show_text(record: Mapping[str, Any], place: Place, options: Mapping[str, Any]) -> str:
    """`weft show`: the task, then its attempts. options: the plan's, which fill slots as parameters do."""
    lines = [f"{styled(label(record['task']), 'bold', place.has_colour)}  {_state(record, place)}"]
    if record["detail"]:
        lines.append(f"  {label(record['detail'])}")
    for kind, value in (record["action"] or {}).items():
        text = _command_text(value, {**options, **record["parameters"]}) if isinstance(value, list) else str(value)
        lines.append(_field(kind, text))
    if record["dependencies"]:
        lines.append(_field("dependencies", ", ".join(record["dependencies"])))
    if record["parameters"]:
        shown = ", ".join(f"{name}={text_of(value)}" for name, value in record["parameters"].items())
        lines.append(_field("parameters", shown))
    if record["resources"]:
        lines.append(_field("resources", request_text(record["resources"], ", ")))
    for key in ("directives", "attributes"):
        if record[key]:
            lines.append(_field(key, ", ".join(_pair(name, value) for name, value in record[key].items())))
    if record["fingerprint"]:
        lines.append(_field("fingerprint", record["fingerprint"]))
    text = "".join(f"{line}\n" for line in lines)
    if not record["attempts"]:
        return text + ("no attempts in this run: it was up to date\n" if record["state"] == "ok" else "no attempts\n")
    titles = ["ATTEMPT", "INSTANCE", "STATE", "STARTED", "SECONDS", "CPU", "MEMORY", "GIVEN", "CAUSE"]
    rows = [_attempt_row(attempt) for attempt in record["attempts"]]
    spare = ["STARTED", "INSTANCE", "CPU", "GIVEN", "MEMORY"]
    if all(attempt["instance"] is None for attempt in record["attempts"]):
        del titles[1], spare[1]
        rows = [(first, *rest) for first, _, *rest in rows]
    return text + table(titles, rows, place, spare=spare)


def _pair(name: str, value: Any) -> str:
    return name if value is None else f"{name}={text_of(value)}"


def _command_text(words: Sequence[Any], values: Mapping[str, Any]) -> str:
    """Words as a shell would take them. A slot whose value comes only with the start stays as it is written."""
    filled = []
    for word in words:
        if isinstance(word, str):
            unknown = {name: f"{{{name}}}" for name in slots_in(word) if name not in values}
            filled.append(fill(word, {**values, **unknown}))
        else:
            filled.append(word["expand"])
    return shlex.join(filled)


def _field(name: str, text: str) -> str:
    first, *rest = text.splitlines() or [""]
    line = f"  {name}: {label(first)}"
    return "\n".join([line, *(f"      {label(part)}" for part in rest)])


def _state(record: Mapping[str, Any], place: Place) -> str:
    state = styled(str(record["state"]), str(record["state"]), place.has_colour)
    return f"{state} ({label(record['cause'])})" if record["cause"] else state


def _attempt_row(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    cause = attempt["cause"] or ""
    if attempt["detail"]:
        cause += f": {cut(attempt['detail'], 200)}"
    return (
        str(attempt["attempt"]),
        "-" if attempt["instance"] is None else cut(attempt.get("item", str(attempt["instance"])), ITEM_CHARACTERS),
        attempt["state"],
        attempt["started"] or "-",
        seconds_text(attempt["seconds"]),
        seconds_text(attempt["cpu_seconds"]),
        bytes_text(attempt["memory"]),
        request_text(attempt["request"]),
        cause,
    )


def usage_text(record: Mapping[str, Any], place: Place) -> str:
    """`weft usage`: tasks, then kinds of tasks."""
    text = table(
        ("TASK", "SECONDS", "CPU", "MEMORY", "ATTEMPTS", "IN ALL", "GIVEN"),
        [
            (
                name,
                seconds_text(entry["seconds"]),
                seconds_text(entry["cpu_seconds"]),
                bytes_text(entry["memory"]),
                str(entry["attempts"]),
                seconds_text(entry["total_seconds"]),
                request_text(entry["request"]),
            )
            for name, entry in record["tasks"].items()
        ],
        place,
        spare=("GIVEN", "IN ALL", "ATTEMPTS"),
    )
    if not record["templates"]:
        return text
    groups = [
        (
            name,
            str(entry["tasks"]),
            _range_text(entry["seconds"], show_seconds),
            _range_text(entry["memory"], show_bytes),
            _share_text(entry, "cores", lambda amount: f"{amount:g}"),
            _share_text(entry, "memory", show_bytes),
            _share_text(entry, "timeout", show_seconds),
            request_text(_renamed(entry["suggested"])),
        )
        for name, entry in record["templates"].items()
    ]
    titles = ("KIND", "TASKS", "SECONDS", "MEMORY", "CORES ASKED", "MEMORY ASKED", "TIME ASKED", "SUGGESTED")
    spare = ("TIME ASKED", "CORES ASKED", "MEMORY ASKED")
    return text + "\n" + table(titles, groups, place, spare=spare)


def _share_text(entry: Mapping[str, Any], name: str, show: Callable[[float], str]) -> str:
    """What was asked for, and how much of it was for nothing."""
    asked, waste = entry["requested"][name], entry["waste"][name]
    if asked is None:
        return "-"
    return show(asked) if waste is None else f"{show(asked)}, {waste:.0%} unused"


def _renamed(suggested: Mapping[str, Any]) -> dict[str, Any]:
    return {"timeout" if name == "runtime" else name: amount for name, amount in suggested.items()}


def _range_text(entry: Mapping[str, float] | None, show: Any) -> str:
    if entry is None:
        return "-"
    if show(entry["min"]) == show(entry["max"]):
        return str(show(entry["max"]))
    return f"{show(entry['min'])} to {show(entry['max'])}, mean {show(entry['mean'])}"


def explain_text(record: Mapping[str, Any], place: Place) -> str:
    """`weft explain`: state, reasons, then what happened before."""
    lines = [f"{styled(label(record['task']), 'bold', place.has_colour)}  {_state(record, place)}"]
    lines += [f"  {_reason_text(reason)}" for reason in record["reasons"]]
    if record["detail"] and not any(record["detail"] in reason["text"] for reason in record["reasons"]):
        lines.append(f"  {label(record['detail'])}")
    if "shell" in record:
        lines.append(f"  its command is {'read by a shell' if record['shell'] else 'started without a shell'}")
    if record["history"]:
        lines.append("history:")
        lines += [f"  {_history_text(entry)}" for entry in record["history"]]
    return "".join(f"{line}\n" for line in lines)


def _reason_text(reason: Mapping[str, Any]) -> str:
    text = label(str(reason["text"]))
    before, after = reason.get("before"), reason.get("after")
    if before is None and after is None:
        return text
    return f"{text}\n      before: {label(str(before or '-'))}\n      now:    {label(str(after or '-'))}"


def _history_text(episode: Mapping[str, Any]) -> str:
    cause = f" ({episode['cause']})" if episode["cause"] else ""
    text = f"{episode['started']}  run {episode['run'][:12]}  {episode['state']}{cause}"
    if episode["attempts"] and episode["attempts"] > 1:
        text += f", {episode['attempts']} attempts"
    if episode["seconds"] is not None and episode["cause"] != "cached":
        text += f", {show_seconds(episode['seconds'])}"
    return label(text)


def doctor_text(settings: Sequence[tuple[str, str, str]], findings: Sequence[Finding], place: Place) -> str:
    """`weft doctor`: settings with origins, then findings with advice."""
    return table(("SETTING", "VALUE", "FROM"), settings, place) + "\n" + findings_text(findings, place)


def findings_text(findings: Sequence[Finding], place: Place) -> str:
    """Findings, and below them what to do about some."""
    rows = [(found.topic, str(found.value), str(found.origin or "-")) for found in findings]
    text = table(("FINDING", "VALUE", "FROM"), rows, place)
    advice = [f"advice: {label(found.topic)}: {label(found.advice)}\n" for found in findings if found.advice]
    return text + "".join(advice)
