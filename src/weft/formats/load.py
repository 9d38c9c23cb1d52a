"""From files to a plan: read -> parse -> detect -> shape -> normalise -> merge -> link (dialects.md 1.1).

Each stage collects all its mistakes and goes on with what is sound; only at the end one PlanError tells them all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from weft.collector import collector_paused
from weft.errors import InternalError, PlanError, Problem, cut
from weft.formats.detect import DIALECTS, detect, is_python
from weft.formats.draft import Draft
from weft.formats.link import Advise, link
from weft.formats.mistakes import NO_DATA, Document, Mistake, Mistakes, Place, existing, to_problem
from weft.formats.parse import parse
from weft.formats.read import FORMAT_BY_SUFFIX, STANDARD_INPUT, SUFFIXES, Text, read_standard_input, read_text
from weft.formats.replacing import replace_by_files
from weft.spec.actions import Call
from weft.spec.environments import Environment, ShellValue
from weft.spec.plan import Plan, Source
from weft.spec.tasks import NOTHING


class Loaded(NamedTuple):
    """A plan, and what its user should know about it."""

    plan: Plan
    warnings: tuple[Problem, ...]


class PythonRequest(NamedTuple):
    """A Python module that is to be loaded: `file.py`, `package.module`, either with `:name`. folder: where from.

    options: `-o` pairs. select and the others: what is selected, because options are demanded of what takes part only.
    is_alone: no other plan is loaded beside it, so that an option which is not its own is nobody's. replaced: tasks for which a
    value stands in, so that their options are not demanded either. format: `taskplan` or `python`, None to detect it.
    is_preview: nothing is to run, so that no option is demanded.
    """

    path: str
    folder: str
    options: Sequence[tuple[str, object]] = ()
    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    until: Sequence[str] = ()
    start_from: Sequence[str] = ()
    is_alone: bool = True
    replaced: Sequence[str] = ()
    format: str | None = None
    is_preview: bool = False


class PythonPlan(NamedTuple):
    """What a module defines. used: positions of the options that are its own. file, digest: the module's source.

    plan: of its registry. data: instead, its `envs`, `notes` and `jobs`, when it is a task plan.
    """

    plan: Plan | None
    used: frozenset[int]
    file: str | None
    digest: str
    data: Mapping[str, Any] | None = None


LoadPython = Callable[[PythonRequest], PythonPlan]
"""Loads a module where it can do no harm. Raises PlanError."""


PresentCode = Callable[[Plan], Plan]
"""Gives a plan whose typed functions have the parts of code that their modules hold now. Raises PlanError."""


class Settings(NamedTuple):
    """What a caller may say beside the paths; see `load`."""

    format: str | None
    strict: bool
    schema: str | None
    shell_eval: bool
    stdin: Callable[[], bytes] | None
    cwd: str
    as_json: Collection[str]
    python: LoadPython | None
    request: PythonRequest
    used: set[int]
    root: str
    is_demanding: bool


def load(
    paths: Sequence[str],
    *,
    format: str | None = None,
    root: str | None = None,
    options: Sequence[tuple[str, object]] = (),
    strict: bool = False,
    schema: str | None = None,
    shell_eval: bool = True,
    stdin: Callable[[], bytes] | None = None,
    cwd: str | None = None,
    as_json: Collection[str] = (),
    replacements: Sequence[tuple[str, str]] = (),
    advise: Advise | None = None,
    python: LoadPython | None = None,
    selection: Mapping[str, Sequence[str]] = NOTHING,
    is_preview: bool = False,
    present: PresentCode | None = None,
    is_open: bool = False,
) -> Loaded:
    """The plan that the files make together. Raises PlanError with every mistake, sorted by file and place.

    paths: files; `-` is standard input. format: the dialect of all of them, None to detect it. root: overrides the documents'.
    options: `-o` pairs: a plan's option, or `task.parameter`; texts are read by the option's type.
    strict: warnings are errors. schema: a JSON Schema file for the raw documents. shell_eval: False refuses variables that
    are the output of a command. cwd: what relative paths start from. as_json: those of `paths` that are JSON whatever their
    suffix. replacements: (task, file): the file's value takes the task's place.
    advise: finds what else is worth telling of the sound plan. python: loads Python modules.
    selection: what is selected, by the names of `PythonRequest`. is_preview: nothing is to run, so that options of Python tasks
    need no value. is_open: options of the plan need none, either; it is to be drawn or written. present: for plans that are to
    run; a compiled one says what code its functions had.
    """
    paths = [os.fspath(path) for path in paths]
    folder = os.path.abspath(cwd or os.getcwd())
    replaced = [name for name, _ in replacements]
    request = PythonRequest(
        "",
        folder,
        options,
        **selection,
        is_alone=len(paths) == 1,
        replaced=replaced,
        format=format,
        is_preview=is_preview,
    )
    base = _base(paths, root, folder)
    is_demanding = strict and advise is not None  # `validate --strict` wants more to be said
    settings = Settings(
        format, strict, schema, shell_eval, stdin, folder, as_json, python, request, set(), base, is_demanding
    )
    mistakes = Mistakes()
    documents: list[Document] = []
    with collector_paused():
        drafts = _drafts(paths, settings, documents, mistakes)
        others = [option for index, option in enumerate(options) if index not in settings.used]
        plan = link(drafts, folder, root, others, mistakes, advise, is_open)
        if plan is not None and replacements:
            plan = replace_by_files(plan, replacements, folder, mistakes)
        if plan is not None:
            _warn_changed_sources(plan.root, drafts, mistakes)
        if plan is not None and present is not None:
            plan = _with_present_code(plan, present, drafts, mistakes)
    return _finish(plan, documents, mistakes, strict, paths)


def _warn_changed_sources(root: str, drafts: Sequence[Draft], mistakes: Mistakes) -> None:
    """A compiled plan says which source its functions had."""
    for draft in drafts:
        if draft.dialect != "native" or "digest" not in draft.document.text:
            continue
        from weft.formats.function_sources import changed_sources

        for position in changed_sources(root, draft.tasks):
            message = (
                f"task {cut(draft.tasks[position].name)!r}: its function's source is not what it was compiled with"
            )
            location = draft.pointer_of(position, "digest")
            mistakes.warn("digest", message, draft.file, location, "compile the plan anew")


def _with_present_code(plan: Plan, present: PresentCode, drafts: Sequence[Draft], mistakes: Mistakes) -> Plan:
    """With the code of typed functions as it is now, which a compiled plan says as it was (dialects.md 1.11)."""
    compiled = [draft for draft in drafts if draft.dialect == "native" and '"code"' in draft.document.text]
    if not compiled:
        return plan
    try:
        renewed = present(plan)
    except PlanError as error:
        for problem in error.problems():
            mistakes.error(problem.code, problem.message, problem.file, problem.location, problem.hint)
        return plan
    if renewed is plan:
        return plan
    for draft in compiled:
        for position, task in enumerate(draft.tasks):
            was, now = (each.graph[task.name].action if task.name in each.graph else None for each in (plan, renewed))
            if isinstance(was, Call) and isinstance(now, Call) and was.code != now.code:
                message = f"task {cut(task.name)!r}: its function's code is not what it was compiled with"
                location = draft.pointer_of(position, "code")
                mistakes.warn("digest", message, draft.file, location, "compile the plan anew")
    return renewed


def _base(paths: Sequence[str], root: str | None, folder: str) -> str:
    """The root as loaders know it: `--root`, else the folder of the first file (dialects.md 1.7)."""
    if root is not None:
        return os.path.abspath(os.path.join(folder, root))
    first = paths[0] if paths and paths[0] != STANDARD_INPUT and "\0" not in paths[0] else ""
    return os.path.dirname(os.path.abspath(os.path.join(folder, first or "-")))


def _finish(
    plan: Plan | None, documents: Sequence[Document], mistakes: Mistakes, strict: bool, paths: Sequence[str]
) -> Loaded:
    errors = _without_echoes([*mistakes.errors, *mistakes.warnings] if strict else mistakes.errors)
    warnings = [] if strict else _problems(mistakes.warnings, documents, paths)
    if errors:
        raise PlanError(_problems(errors, documents, paths), warnings)
    if plan is None:
        raise InternalError(f"no plan came of {', '.join(paths)}, and no mistake was told")
    return Loaded(plan, tuple(warnings))


def _without_echoes(mistakes: list[Mistake]) -> list[Mistake]:
    """Without what is told of a value that only stands in for one that could not be read."""
    unread = {(mistake.file, mistake.location) for mistake in mistakes if mistake.code == "parse.number"}
    if not unread:
        return mistakes
    return [
        mistake
        for mistake in mistakes
        if mistake.code.startswith("parse.") or (mistake.file, mistake.location) not in unread
    ]


def _problems(mistakes: Sequence[Mistake], documents: Sequence[Document], paths: Sequence[str]) -> list[Problem]:
    """The records, with lines and columns, sorted by file and place."""
    if not mistakes:
        return []
    data = {document.path: document.data for document in documents}
    mistakes = [
        mistake._replace(location=existing(data[mistake.file], mistake.location))
        if mistake.location and mistake.file in data
        else mistake
        for mistake in mistakes
    ]
    wanted: dict[str, set[str]] = {}
    for mistake in mistakes:
        own = ((mistake.file, mistake.location),) if mistake.line is None else ()
        for file, location in (*own, *mistake.others):
            if file is not None and location is not None:
                wanted.setdefault(file, set()).add(location)
    places: dict[str, dict[str, tuple[Place, Place]]] = {}
    for document in documents:
        if document.path in wanted:
            from weft.formats import positions  # late: sound plans have no mistakes to find

            locations = sorted(wanted[document.path])
            places[document.path] = dict(positions.places(document.text, document.format, locations))
    order = {path: index for index, path in enumerate(paths)}
    problems = [to_problem(mistake, places) for mistake in mistakes]

    def rank(problem: Problem) -> tuple[int, str, float, int]:
        line = float("inf") if problem.line is None else problem.line
        return order.get(problem.file or "", len(order)), problem.file or "", line, problem.column or 0

    return sorted(problems, key=rank)


def _drafts(paths: Sequence[str], settings: Settings, documents: list[Document], mistakes: Mistakes) -> list[Draft]:
    drafts: list[Draft] = []
    if not paths:
        mistakes.error("read.missing", "no plan was named", hint="name a plan file, or - for standard input")
    seen: dict[str, str] = {}
    if settings.format is not None and settings.format not in DIALECTS:
        known = ", ".join(DIALECTS)
        mistakes.error("detect.unknown", f"there is no dialect {settings.format!r}", hint=f"dialects are {known}")
        return drafts
    for index, path in enumerate(paths):
        if path == STANDARD_INPUT and path in paths[:index]:
            mistakes.error("name.duplicate", "standard input is named twice", path, hint="it can be read once")
            continue
        draft = _draft(path, settings, documents, seen, mistakes)
        if draft is not None:
            drafts.append(draft)
    if settings.schema is not None:
        from weft.formats.user_schema import check_documents

        check_documents(settings.schema, settings.cwd, documents, mistakes)
    _load_late(drafts, mistakes)
    return drafts


def _draft(
    path: str, settings: Settings, documents: list[Document], seen: dict[str, str], mistakes: Mistakes
) -> Draft | None:
    is_json = path == STANDARD_INPUT or path in settings.as_json
    if not is_json and is_python(path, settings.cwd):
        return _load_python(path, settings, documents, seen, mistakes)
    document = _document(path, settings, mistakes)
    if document is None:
        return None
    if document.key in seen:
        message = f"{path!r} is the same file as {seen[document.key]!r}"
        mistakes.error("name.duplicate", message, path, hint="name each file once")
        return None
    seen[document.key] = path
    documents.append(document)
    dialect = settings.format or detect(document.data, path, mistakes)
    return None if dialect is None else _by_dialect(dialect, document, path, settings, mistakes)


def _load_python(
    path: str, settings: Settings, documents: list[Document], seen: dict[str, str], mistakes: Mistakes
) -> Draft | None:
    """The draft of a module's registry or task plan; its mistakes come with their places."""
    if settings.python is None:
        return _by_dialect("python", None, path, settings, mistakes)
    if settings.format not in (None, "python", "taskplan"):
        message = f"{path!r} is a Python module, and no document of the dialect {settings.format}"
        mistakes.error("detect.unknown", message, path, hint="leave --format away")
        return None
    try:
        loaded = settings.python(settings.request._replace(path=path))
    except PlanError as error:
        for problem in error.problems():
            place = {"line": problem.line, "column": problem.column}
            mistakes.error(problem.code, problem.message, problem.file, problem.location, problem.hint, **place)
        settings.used.update(range(len(settings.request.options)))  # nobody knows now whose they are
        return None
    plan = loaded.plan
    if plan is None:
        return _python_taskplan(loaded, path, settings, documents, seen, mistakes)
    if plan.key in seen:
        mistakes.error(
            "name.duplicate", f"{path!r} is the same registry as {seen[plan.key]!r}", path, hint="name it once"
        )
        return None
    seen[plan.key] = path
    settings.used.update(loaded.used)
    draft = Draft(Document(path, "python", "", {}, loaded.digest, plan.root, plan.key, dict), "python", ("tasks",))
    draft.name, draft.family = plan.name, plan.family
    source = os.path.relpath(loaded.file, plan.root) if loaded.file is not None else path
    draft.sources = (Source(source, "python", loaded.digest),)
    draft.types, draft.environments, draft.notes = dict(plan.types), dict(plan.environments), dict(plan.notes)
    draft.templates, draft.attributes, draft.limits = dict(plan.templates), plan.attributes, plan.limits
    if not settings.shell_eval:
        _refuse_shell_values(draft.environments, path, mistakes)
    draft.tasks = list(plan.graph.tasks)
    draft.keys = [task.name for task in draft.tasks]
    return draft


def _refuse_shell_values(environments: Mapping[str, Environment], path: str, mistakes: Mistakes) -> None:
    """Of a registry's environments; those of documents are told where they are read."""
    for name, environment in environments.items():
        for variable, value in environment.variables:
            if isinstance(value, ShellValue):
                message = f"environment {cut(name)!r}: variable {cut(variable)!r} is the output of a shell command"
                mistakes.error("policy.refused", message, path, hint="--no-shell-eval forbids it")


def _python_taskplan(
    loaded: PythonPlan,
    path: str,
    settings: Settings,
    documents: list[Document],
    seen: dict[str, str],
    mistakes: Mistakes,
) -> Draft | None:
    """The draft of a module that has `envs`, `notes` or `jobs`."""
    from weft.formats.taskplan import load_taskplan

    key = os.path.realpath(loaded.file) if loaded.file is not None else path
    if key in seen:
        mistakes.error("name.duplicate", f"{path!r} is the same module as {seen[key]!r}", path, hint="name it once")
        return None
    seen[key] = path
    shown, folder = path, settings.cwd
    if loaded.file is not None:
        if path.endswith(".py"):
            folder = os.path.dirname(os.path.abspath(os.path.join(settings.cwd, path)))
        else:
            shown = os.path.relpath(loaded.file, settings.cwd)
    data = loaded.data

    def plain() -> Any:
        return data

    document = Document(shown, "python", _source(loaded), data, loaded.digest, folder, key, plain)
    documents.append(document)
    return load_taskplan(document, mistakes, settings.shell_eval)


def _source(loaded: PythonPlan) -> str:
    """The text of the module, for the places of mistakes; nothing when it cannot be read as it was loaded."""
    import tokenize

    try:
        with tokenize.open(loaded.file or "") as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""


def _load_native(document: Document, settings: Settings, mistakes: Mistakes) -> Draft:
    from weft.formats.native import load_native

    return load_native(document, mistakes, settings.shell_eval)


def _load_tasklist(document: Document, _settings: Settings, mistakes: Mistakes) -> Draft:
    from weft.formats.tasklist import load_tasklist

    return load_tasklist(document, mistakes)


def _load_odop(document: Document, settings: Settings, mistakes: Mistakes) -> Draft:
    from weft.formats.odop import OdopSettings, load_odop

    return load_odop(document, OdopSettings(settings.root, settings.is_demanding), mistakes)


def _load_taskplan(document: Document, settings: Settings, mistakes: Mistakes) -> Draft:
    from weft.formats.taskplan import load_taskplan

    return load_taskplan(document, mistakes, settings.shell_eval)


def _load_wfformat(document: Document, _settings: Settings, mistakes: Mistakes) -> Draft:
    from weft.formats.wfformat import load_wfformat

    return load_wfformat(document, mistakes)


def _load_workflow(document: Document, settings: Settings, mistakes: Mistakes) -> Draft:
    from weft.formats.workflow import load_workflow

    return load_workflow(document, settings.root, mistakes)


_LOADERS: dict[str, Callable[[Document, Settings, Mistakes], Draft]] = {
    "native": _load_native,
    "odop": _load_odop,
    "tasklist": _load_tasklist,
    "taskplan": _load_taskplan,
    "workflow": _load_workflow,
    "wfformat": _load_wfformat,
}
"""The dialects that this version reads."""


def _by_dialect(
    dialect: str, document: Document | None, path: str, settings: Settings, mistakes: Mistakes
) -> Draft | None:
    loader = _LOADERS.get(dialect)
    if loader is None or document is None:
        what = "a Python plan" if dialect == "python" else f"a document of the dialect {dialect}"
        hint = f"this version reads {' and '.join(_LOADERS)} documents"
        mistakes.error("detect.unknown", f"{path!r} is {what}, which this version does not read yet", path, hint=hint)
        return None
    return loader(document, settings, mistakes)


def _load_late(drafts: Sequence[Draft], mistakes: Mistakes) -> None:
    """Native tasks are made when the templates of all files are known."""
    native = [draft for draft in drafts if draft.dialect == "native"]
    if not native:
        return
    from weft.formats.native import load_tasks

    templates: dict[str, dict[str, Any]] = {}
    for draft in native:
        for name, template in draft.templates.items():
            templates.setdefault(name, dict(template.fields))
    for draft in native:
        load_tasks(draft, templates, mistakes)


def _document(path: str, settings: Settings, mistakes: Mistakes) -> Document | None:
    text = _read(path, settings, mistakes)
    if text is None:
        return None
    suffix = os.path.splitext(path)[1].lower()
    format = "json" if path in settings.as_json else FORMAT_BY_SUFFIX.get(suffix, "json")
    data = parse(text.text, format, path, mistakes)
    if data is NO_DATA:
        return None
    digest = text.digest
    folder, key = settings.cwd, os.path.join(settings.cwd, f"-{digest}")
    if path != STANDARD_INPUT:
        absolute = os.path.join(settings.cwd, path)
        folder, key = os.path.dirname(os.path.abspath(absolute)), os.path.realpath(absolute)
    written = text.text

    def parse_again() -> Any:
        return parse(written, format, path, Mistakes())

    return Document(path, format, written, data, digest, folder, key, parse_again)


def _read(path: str, settings: Settings, mistakes: Mistakes) -> Text | None:
    if path == STANDARD_INPUT:
        if settings.stdin is None:
            mistakes.error("read.missing", "there is no standard input to read a plan from", path)
            return None
        return read_standard_input(settings.stdin, mistakes)
    if "\0" in path:
        mistakes.error("read.missing", f"a path may not hold a NUL character: {path!r}", path)
        return None
    absolute = os.path.join(settings.cwd, path)
    suffix = os.path.splitext(path)[1].lower()
    is_named = settings.format is not None or path in settings.as_json
    if suffix not in SUFFIXES and not is_named and os.path.isfile(absolute):
        hint = "name it .json, .yaml or .toml, or say which dialect it is with --format; --input reads it as JSON"
        mistakes.error("read.suffix", f"{path!r} has the unknown suffix {suffix!r}", path, hint=hint)
        return None
    return read_text(absolute, path, mistakes)
