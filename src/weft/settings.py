"""Settings: flag over `WEFT_*` over `weft.toml` or `[tool.weft]` over the user's file over default, each with its origin."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from weft.errors import PlanError, Problem, cut, hint_nearest
from weft.units import UnitError, parse_size, parse_time, show_amount, show_seconds

STATE_FOLDER: Final = ".weft"  # beside the plan, unless the setting `state` says otherwise
PROJECT_FILE: Final = "weft.toml"
PYTHON_PROJECT_FILE: Final = "pyproject.toml"

Resources = Mapping[str, int]
"""Amounts by name in integer units, as `spec.resources` keeps them."""


class SettingError(ValueError):
    """A value that its setting does not take. The message says what is expected."""


# --- values ------------------------------------------------------------------------------------------------------------


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise SettingError("expected true or false")


def _jobs(value: Any) -> int:
    count = value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        count = int(value)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise SettingError("expected a whole number of at least 1")
    return count


def _seconds(value: Any) -> float:
    try:
        return parse_time(value)
    except UnitError as error:
        raise SettingError(str(error)) from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SettingError("expected text that is not empty")
    return value


def _folder(value: Any) -> str:
    return os.path.expanduser(_text(value))


def _one_of(*words: str) -> Callable[[Any], str]:
    def choose(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise SettingError(f"expected {', '.join(words[:-1])} or {words[-1]}")

    return choose


def amount(name: str, value: Any) -> int:
    """An amount of resource `name` in integer units: sizes for memory and disk, else a number >= 0. Raises SettingError."""
    from weft.spec.resources import to_units
    from weft.units import BYTE_AMOUNTS

    if name in BYTE_AMOUNTS:
        try:
            return parse_size(value)
        except UnitError as error:
            raise SettingError(f"{name}: {error}") from error
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < 1e12:
        raise SettingError(f"{name}: expected a number of at least 0, not {cut(str(value))!r}")
    return to_units(name, number)


def resources(value: Any) -> Resources:
    """`cores=2,memory=8G,license=3`, or the same as a mapping. Raises SettingError."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(name): amount(str(name), part) for name, part in value.items()})
    amounts: dict[str, int] = {}
    for part in _text(value).split(","):
        name, sign, text = part.partition("=")
        name, text = name.strip(), text.strip()
        if not sign or not name or not text:
            raise SettingError(f"expected NAME=AMOUNT, separated by commas, not {cut(part)!r}")
        if name in amounts:
            raise SettingError(f"{name} is given twice")
        amounts[name] = amount(name, text)
    return MappingProxyType(amounts)


class Queues(dict[str, Mapping[str, float]]):
    """Limits by queue: `timeout` in seconds, anything else in integer units. executors: of queues that name one."""

    def __init__(self, limits: Mapping[str, Mapping[str, float]], executors: Mapping[str, str]):
        super().__init__(limits)
        self.executors = executors


def _queues(value: Any) -> Queues:
    if not isinstance(value, Mapping):
        raise SettingError("expected a table of queues")
    queues: dict[str, Mapping[str, float]] = {}
    executors: dict[str, str] = {}
    for queue, limits in value.items():
        if not isinstance(limits, Mapping):
            raise SettingError(f"expected a table of limits for queue {cut(str(queue))!r}")
        if "timeout" in limits and "runtime" in limits:
            raise SettingError(f"queue {cut(str(queue))!r} has a timeout and a runtime, which are the same")
        if "executor" in limits:
            executors[queue] = _text(limits["executor"])
        queues[queue] = MappingProxyType(
            dict(_limit(name, part) for name, part in limits.items() if name != "executor")
        )
    return Queues(queues, MappingProxyType(executors))


def _limit(name: str, value: Any) -> tuple[str, float]:
    """A limit by the engine's name."""
    return ("timeout", _seconds(value)) if name in ("timeout", "runtime") else (name, amount(name, value))


def _clusters(value: Any) -> Mapping[str, str]:
    """Executor by the name that tasks give as their cluster."""
    if not isinstance(value, Mapping):
        raise SettingError('expected a table of clusters, as in slurm = "local"')
    for name, executor in value.items():
        if not isinstance(executor, str) or not executor:
            raise SettingError(f"expected the name of an executor for cluster {cut(str(name))!r}")
    return MappingProxyType(dict(value))


def _workflow(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise SettingError('expected a table, as in scale_on = "any"')
    for name in value:
        if name != "scale_on":
            raise SettingError(f"expected scale_on, not {cut(str(name))!r}")
    return MappingProxyType({name: _one_of("exhausted", "any")(word) for name, word in value.items()})


class TrackerClass(NamedTuple):
    """A tracker of the user's: `module:Class` or `file.py:Class`, looked for in `folder` first."""

    reference: str
    folder: str = ""


def _trackers(value: Any) -> Mapping[str, TrackerClass]:
    if not isinstance(value, Mapping):
        raise SettingError('expected a table of trackers, as in disks = "trackers.py:Disks"')
    for name, reference in value.items():
        place, _, path = reference.rpartition(":") if isinstance(reference, str) else ("", "", "")
        if not place or not path:
            raise SettingError(f'expected "module:Class" or "file.py:Class" for tracker {cut(str(name))!r}')
    return MappingProxyType({name: TrackerClass(reference) for name, reference in value.items()})


class Key(NamedTuple):
    """A setting that exists. in_environment: whether `WEFT_<NAME>` gives it."""

    name: str
    read: Callable[[Any], Any]
    default: Any
    in_environment: bool = True


KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {
        key.name: key
        for key in (
            Key("jobs", _jobs, None),
            Key("resources", resources, MappingProxyType({})),
            Key("reserve", resources, MappingProxyType({})),
            Key("opportunistic", _boolean, False),
            Key("trackers", _trackers, MappingProxyType({}), in_environment=False),
            Key("state", _folder, None),
            Key("store", _text, None),
            Key("executor", _text, "local"),
            Key("output", _one_of("text", "json", "quiet"), "text"),
            Key("color", _one_of("auto", "always", "never"), "auto"),
            Key("durability", _one_of("power", "process"), "power"),
            Key("fail_fast", _boolean, False),
            Key("timeout", _seconds, None),
            Key("wait", _seconds, None),
            Key("cache", _boolean, True),
            Key("strict", _boolean, False),
            Key("shell_eval", _boolean, True),
            Key("queues", _queues, Queues({}, MappingProxyType({})), in_environment=False),
            Key("clusters", _clusters, MappingProxyType({}), in_environment=False),
            Key("workflow", _workflow, MappingProxyType({}), in_environment=False),
        )
    }
)

# Not settings: what attempts carry, and switches of weft itself. Never warned about.
OTHER_VARIABLES: Final = frozenset(
    (
        "WEFT_RUN_ID",
        "WEFT_TASK",
        "WEFT_ATTEMPT",
        "WEFT_TOKEN",
        "WEFT_FILE",
        "WEFT_SCRATCH",
        "WEFT_DEBUG",
        "WEFT_FAILPOINT",
    )
)


# --- sources -----------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """A value and where it came from: `--flag`, `WEFT_NAME`, `FILE: key`, or `default`."""

    value: Any
    origin: str


class Settings(Mapping[str, Any]):
    """Every setting by name; `origin(name)` tells where its value came from. warnings: unknown keys."""

    __slots__ = ("entries", "warnings")

    def __init__(self, entries: Mapping[str, Setting], warnings: tuple[Problem, ...] = ()):
        self.entries = entries
        self.warnings = warnings

    def __getitem__(self, name: str) -> Any:
        return self.entries[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def origin(self, name: str) -> str:
        """Where the value came from."""
        return self.entries[name].origin


class _Collector:
    """Settings found so far, from the weakest source to the strongest, with every mistake on the way."""

    def __init__(self) -> None:
        self.entries = {name: Setting(key.default, "default") for name, key in KEYS.items()}
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def take(self, name: str, raw: Any, origin: str, file: str | None = None, location: str | None = None) -> None:
        try:
            self.entries[name] = Setting(KEYS[name].read(raw), origin)
        except SettingError as error:
            shown = cut(repr(raw) if not isinstance(raw, str) else f"'{raw}'")
            where = f"setting {name!r}" if file else origin
            self.errors.append(Problem("setting.value", f"{where} is {shown}: {error}", file, location))

    def take_table(self, table: Mapping[str, Any], file: str, pointer: str) -> None:
        for written, raw in table.items():
            name = written.replace("-", "_")
            location = f"{pointer}/{written}"
            if name not in KEYS:
                message = f"unknown setting {cut(written)!r}; it is ignored"
                hint = hint_nearest(name, KEYS)
                self.warnings.append(Problem("setting.unknown", message, file, location, hint=hint))
                continue
            if name == "state" and isinstance(raw, str) and raw and not os.path.isabs(os.path.expanduser(raw)):
                raw = os.path.join(os.path.dirname(file), raw)
            self.take(name, raw, f"{file}: {written}", file, location)
            if name == "trackers" and self.entries[name].value:
                self._place_trackers(os.path.dirname(file))

    def _place_trackers(self, folder: str) -> None:
        """Those that were just read are looked for beside the file that names them."""
        given, origin = self.entries["trackers"]
        placed = {name: TrackerClass(reference, before or folder) for name, (reference, before) in given.items()}
        self.entries["trackers"] = Setting(MappingProxyType(placed), origin)

    def take_environment(self, environ: Mapping[str, str]) -> None:
        variables = {f"WEFT_{name.upper()}": name for name, key in KEYS.items() if key.in_environment}
        for variable in sorted(environ):
            if not variable.startswith("WEFT_") or variable in OTHER_VARIABLES or not environ[variable]:
                continue
            name = variables.get(variable)
            if name is not None:
                self.take(name, environ[variable], variable)
                continue
            # Others may use the prefix for themselves, so only what looks like a slip is worth a line.
            hint = hint_nearest(variable, variables)
            if hint is not None:
                message = f"unknown variable {cut(variable)}; it is ignored"
                self.warnings.append(Problem("setting.unknown", message, hint=hint))


def user_file(environ: Mapping[str, str]) -> str:
    """Path of the user's own settings, which may not exist."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(base, "weft", "config.toml")


def project_file(start: str) -> tuple[str, Mapping[str, Any]] | None:
    """The nearest `weft.toml`, or `pyproject.toml` with a `[tool.weft]`, from `start` upwards: path and its table."""
    folder = os.path.abspath(start)
    while True:
        own = os.path.join(folder, PROJECT_FILE)
        if os.path.isfile(own):
            return own, _read_toml(own)
        shared = os.path.join(folder, PYTHON_PROJECT_FILE)
        if os.path.isfile(shared):
            table = _tool_table(shared)
            if table is not None:
                return shared, table
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _tool_table(path: str) -> Mapping[str, Any] | None:
    # Most of these files do not speak of weft: a look at the bytes is cheaper than a parse, and a broken one that
    # does not name us is none of our business.
    try:
        with open(path, "rb") as file:
            if b"weft" not in file.read():
                return None
    except OSError as error:
        raise _unreadable(path, error) from error
    tool = _read_toml(path).get("tool")
    table = tool.get("weft") if isinstance(tool, Mapping) else None
    if table is None:
        return None
    if not isinstance(table, Mapping):
        raise PlanError([Problem("setting.value", "'tool.weft' must be a table", path, "/tool/weft")])
    return table


def _unreadable(path: str, error: OSError) -> PlanError:
    return PlanError([Problem("setting.file", f"settings cannot be read: {error.strerror or error}", path)])


def _read_toml(path: str) -> Mapping[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError([Problem("setting.file", f"settings are no TOML: {cut(str(error), 200)}", path)]) from error


def read(start: str, environ: Mapping[str, str], flags: Mapping[str, tuple[Any, str]] | None = None) -> Settings:
    """Settings as they hold for a command. Raises PlanError with every bad value.

    start: folder from which the project's file is searched upwards.
    flags: by setting name, what the command line gave and the flag's name; absent where no flag was given.
    """
    collector = _Collector()
    own = user_file(environ)
    if os.path.isfile(own):
        collector.take_table(_read_toml(own), own, "")
    project = project_file(start)
    if project is not None:
        path, table = project
        collector.take_table(table, path, "/tool/weft" if path.endswith(PYTHON_PROJECT_FILE) else "")
    collector.take_environment(environ)
    for name, (value, flag) in (flags or {}).items():
        collector.take(name, value, flag)
    if collector.errors:
        raise PlanError(collector.errors)
    return Settings(MappingProxyType(collector.entries), tuple(collector.warnings))


def shown(settings: Settings, *, exact: bool = False) -> Sequence[tuple[str, str, str]]:
    """(name, value as text, origin) of every setting, for `weft doctor`. Credentials in a store's address are hidden.

    exact: bare bytes and seconds, as JSON has them, instead of what people read.
    """
    return [(name, _show(name, settings[name], exact), settings.origin(name)) for name in settings]


def _show(name: str, value: Any, exact: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if name in ("resources", "reserve"):
        return ",".join(_show_limits(value, exact)) or "-"
    if name in ("timeout", "wait"):
        return str(value) if exact else show_seconds(value)
    if name == "queues":
        return "; ".join(f"{queue}: {_show_queue(value, queue, exact)}" for queue in value) or "-"
    if name == "trackers":
        return ", ".join(f"{key}={tracker.reference}" for key, tracker in value.items()) or "-"
    if name in ("clusters", "workflow"):
        return ", ".join(f"{key}={part}" for key, part in value.items()) or "-"
    return without_credentials(str(value)) if name == "store" else str(value)


def _show_queue(queues: Queues, queue: str, exact: bool) -> str:
    executor = queues.executors.get(queue)
    parts = [f"executor={executor}"] if executor else []
    return " ".join(parts + _show_limits(queues[queue], exact)) or "no limits"


def _show_limits(limits: Mapping[str, float], exact: bool) -> list[str]:
    """`name=amount` of each, from integer units; `timeout` from seconds."""
    from weft.spec.resources import from_units

    parts = []
    for name, limit in limits.items():
        if name == "timeout":
            text = str(limit) if exact else show_seconds(limit)
        else:
            text = str(from_units(name, int(limit))) if exact else show_amount(name, int(limit))
        parts.append(f"{name}={text}")
    return parts


def without_credentials(address: str) -> str:
    """A store's address as it may be shown."""
    scheme, sign, rest = address.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if sign and "@" in rest else address
