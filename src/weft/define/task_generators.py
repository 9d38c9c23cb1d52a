"""An annotated function as a template: its parameters are node arguments, a program of weft calls it (workflows.md 8)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from weft.define.argument_types import Codec, Serializers, codec_of, optional
from weft.define.defaults import ScaleOn
from weft.define.mistakes import show
from weft.define.tools import Tool
from weft.define.workflow_tasks import WorkflowTask
from weft.errors import ArgumentError, cut, hint_nearest
from weft.spec.command_templates import safe_text, shorten_name
from weft.spec.compute import NO_LIMIT
from weft.spec.tasks import NOTHING

if TYPE_CHECKING:
    from inspect import Parameter

    from weft.define.templates import Compute
    from weft.define.workflows import WorkflowDraft

PROGRAM: Final = "weft.define.function_program"
_PYTHON: Final = "weft_python"
_SOURCE: Final = "weft_source"
NameFunction = Callable[[str, dict[str, Any]], str]


class TaskGenerator:
    """Made by `task_generator`. Called, it is its function. Raises TypeError for a parameter that cannot travel."""

    tool_class: type[Tool] = Tool
    program: str = PROGRAM

    def __init__(
        self,
        task_function: Callable[..., Any],
        serializers: Serializers | None = None,
        *,
        tool_name: str,
        naming_args: Iterable[str] | None = None,
        max_attempts: int | None = None,
        module_source_path: Any = None,
        name_func: NameFunction | None = None,
        default_cluster_name: str = "",
        default_compute_resources: Mapping[str, Any] | None = None,
        default_resource_scales: Mapping[str, Any] | None = None,
        yaml_file: Any = None,
    ):
        self.task_function = task_function
        self.name: str = task_function.__name__
        self.tool = self.tool_class(tool_name)
        self.__doc__ = task_function.__doc__
        self.__wrapped__ = task_function
        self._codecs, self._defaults = _parameters(task_function, serializers or {})
        self._naming_args = self._read_naming_args(naming_args)
        self._name_func = name_func
        self._source = _source_of(task_function, module_source_path)
        self.full_path = f"{_module_of(task_function, self._source)}:{task_function.__qualname__}"
        self.task_template = self.tool.get_task_template(
            self.name,
            self._command(),
            node_args=list(self._codecs),
            op_args=[_PYTHON, _SOURCE],
            default_cluster_name=default_cluster_name,
            default_compute_resources=default_compute_resources,
            default_resource_scales=default_resource_scales,
            yaml_file=yaml_file,
            max_attempts=max_attempts,
            shell=False,
        )

    def __repr__(self) -> str:
        return f"<TaskGenerator {self.full_path}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function gives."""
        return self.task_function(*args, **kwargs)

    # --- tasks -----------------------------------------------------------------------------------------------------------

    def create_task(
        self,
        /,
        name: str = "",
        upstream_tasks: Iterable[WorkflowTask] = (),
        task_attributes: dict[Any, Any] | list[Any] = {},  # noqa: B006 - as documented; never changed
        max_attempts: int | None = None,
        compute_resources: Compute = None,
        compute_resources_callable: Callable[[], Any] | None = None,
        resource_scales: Mapping[str, Any] | None = None,
        cluster_name: str = "",
        fallback_queues: Iterable[str] | None = None,
        *,
        scale_on: ScaleOn | None = None,
        **kwargs: Any,
    ) -> WorkflowTask:
        """One task. kwargs: the function's arguments; its own defaults hold for the others.

        Raises ArgumentError for missing and unexpected ones, TypeError for values that their annotations do not take.
        """
        given = self._with_defaults(kwargs)
        texts = {arg: self._text(arg, value) for arg, value in given.items()}
        return self.task_template.create_task(
            name or (self._name(given, texts) if self._names_by_itself else ""),
            upstream_tasks,
            task_attributes,
            max_attempts,
            compute_resources,
            compute_resources_callable,
            resource_scales,
            cluster_name,
            fallback_queues,
            scale_on=scale_on,
            **texts,
            **self._place(),
        )

    def create_tasks(
        self,
        /,
        max_attempts: int | None = None,
        upstream_tasks: Iterable[WorkflowTask] | None = None,
        max_concurrently_running: int = NO_LIMIT,
        compute_resources: Compute = None,
        compute_resources_callable: Callable[[], Any] | None = None,
        resource_scales: Mapping[str, Any] | None = None,
        cluster_name: str = "",
        name: str | None = None,
        *,
        fallback_queues: Iterable[str] | None = None,
        task_attributes: dict[Any, Any] | list[Any] | None = None,
        scale_on: ScaleOn | None = None,
        **kwargs: Any,
    ) -> list[WorkflowTask]:
        """One task for each member of the cross product of the arguments, each an iterable; the last one varies fastest."""
        given = {arg: self.task_template.read_members(arg, values) for arg, values in kwargs.items()}
        given = self._with_defaults(given, is_many=True)
        tasks = self.task_template.create_tasks(
            max_attempts,
            upstream_tasks,
            max_concurrently_running,
            compute_resources,
            compute_resources_callable,
            resource_scales,
            cluster_name,
            name,
            fallback_queues=fallback_queues,
            task_attributes=task_attributes,
            scale_on=scale_on,
            **{arg: [self._text(arg, value) for value in values] for arg, values in given.items()},
            **self._place(),
        )
        if name is None and self._names_by_itself:
            names = [self._own_name(task) for task in tasks]
            if len(set(names)) == len(names):  # else they do not tell these tasks apart, and their arguments do
                for task, own in zip(tasks, names, strict=True):
                    task.name = own
        return tasks

    @property
    def _names_by_itself(self) -> bool:
        """Whether tasks are called otherwise than after all of their arguments, as those of any template are."""
        return self._name_func is not None or self._naming_args != tuple(self._codecs)

    def _own_name(self, task: WorkflowTask) -> str:
        texts = {arg: task.values[arg] for arg in self._codecs}
        values = {} if self._name_func is None else {arg: self._read(arg, text) for arg, text in texts.items()}
        return self._name(values, texts)

    def texts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as tasks hold them. A list of values for one that is no list itself: the list of their texts."""
        found: dict[str, Any] = {}
        for arg, value in given.items():
            if arg not in self._codecs:
                raise self._unknown([arg])
            try:
                found[arg] = self._codecs[arg].text(value)
            except TypeError:
                if not isinstance(value, list | tuple | set | frozenset):
                    raise
                found[arg] = [self._text(arg, each) for each in value]
        return found

    # --- the function ----------------------------------------------------------------------------------------------------

    def run(self, args: Iterable[str] | Mapping[str, str] | None = None, **kwargs: Any) -> Any:
        """What the function gives. args: `name=value` texts, or texts by name, as in a task's command. kwargs: values.

        Raises ArgumentError for missing and unexpected arguments and for texts that cannot be read.
        """
        return self.task_function(**self.read_texts(args or (), kwargs))

    def read_texts(self, args: Iterable[str] | Mapping[str, str], given: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """The values that the function is called with. Raises ArgumentError."""
        texts = args if isinstance(args, Mapping) else _split(args)
        unknown = [arg for arg in (*texts, *given) if arg not in self._codecs]
        if unknown:
            raise self._unknown(unknown)
        values = {**{arg: self._read(arg, text) for arg, text in texts.items()}, **given}
        missing = [arg for arg in self._codecs if arg not in values and arg not in self._defaults]
        if missing:
            raise self._lacks(missing)
        return values

    def help(self) -> str:
        """What it does and takes."""
        from inspect import getdoc, signature

        lines = [self.full_path, getdoc(self.task_function) or "", ""]
        for name, parameter in signature(self.task_function).parameters.items():
            default = f" = {show(parameter.default)}" if name in self._defaults else ""
            lines.append(f"  {name}: {_annotation(parameter)}{default}")
        return "\n".join(lines)

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _read_naming_args(self, naming_args: Iterable[str] | None) -> tuple[str, ...]:
        names = tuple(self._codecs if naming_args is None else naming_args)
        unknown = [name for name in names if name not in self._codecs]
        if unknown:
            raise self._unknown(unknown)
        return names

    def _command(self) -> str:
        from shlex import quote

        called = quote(self.full_path).replace("{", "{{").replace("}", "}}")
        words = [
            f"{{{_PYTHON}}} -m {self.program} {{{_SOURCE}}} {called}",
            *(f"{arg}={{{arg}}}" for arg in self._codecs),
        ]
        return " ".join(words)

    def _place(self) -> dict[str, str]:
        if "<locals>" in self.full_path or "<lambda>" in self.full_path or self._source is None:
            raise ArgumentError(
                f"{self.full_path} cannot be found by the process that is to call it: define it at the top of a module"
            )
        return {_PYTHON: sys.executable, _SOURCE: self._source}

    def _with_defaults(self, given: Mapping[str, Any], is_many: bool = False) -> dict[str, Any]:
        """In the order given, then that of the function. Raises ArgumentError."""
        unknown = [arg for arg in given if arg not in self._codecs]
        if unknown:
            raise self._unknown(unknown)
        missing = [arg for arg in self._codecs if arg not in given and arg not in self._defaults]
        if missing:
            raise self._lacks(missing)
        left = {arg: value for arg, value in self._defaults.items() if arg not in given}
        return {**given, **({arg: [value] for arg, value in left.items()} if is_many else left)}

    def _unknown(self, names: Iterable[str]) -> ArgumentError:
        shown = []
        for name in dict.fromkeys(names):
            hint = hint_nearest(name, self._codecs)
            shown.append(repr(cut(name)) + (f" ({hint})" if hint else ""))
        return ArgumentError(
            f"{self.name} takes no {', '.join(shown)}; it takes {', '.join(self._codecs) or 'nothing'}"
        )

    def _lacks(self, names: list[str]) -> ArgumentError:
        return ArgumentError(f"{self.name} lacks {', '.join(map(repr, names))}; it takes {', '.join(self._codecs)}")

    def _text(self, arg: str, value: Any) -> str:
        try:
            return self._codecs[arg].text(value)
        except TypeError as error:
            raise TypeError(f"{self.name}: {arg}: {error}") from None

    def _read(self, arg: str, text: str) -> Any:
        try:
            return self._codecs[arg].value(text)
        except (TypeError, ValueError, KeyError) as error:
            raise ArgumentError(f"{self.name}: {arg}={cut(text)} cannot be read: {error}") from error

    def _name(self, values: dict[str, Any], texts: Mapping[str, str]) -> str:
        if self._name_func is not None:
            return self._name_func(self.name, dict(values))
        return shorten_name("_".join([self.name, *(f"{arg}-{safe_text(texts[arg])}" for arg in self._naming_args)]))


def task_generator(
    *,
    serializers: Serializers | None = None,
    tool_name: str,
    naming_args: Iterable[str] | None = None,
    max_attempts: int | None = None,
    module_source_path: Any = None,
    name_func: NameFunction | None = None,
    default_cluster_name: str = "",
    default_compute_resources: Mapping[str, Any] | None = None,
    default_resource_scales: Mapping[str, Any] | None = None,
    yaml_file: Any = None,
    custom_naming: NameFunction | None = None,
) -> Callable[[Callable[..., Any]], TaskGenerator]:
    """Makes a template of the function below it.

    serializers: type -> (to text, from text). name_func (also custom_naming): name of the function, arguments -> name of a task.
    module_source_path: the file of the function, or the folder of its package, where its module cannot be imported.
    """
    if name_func is not None and custom_naming is not None:
        raise ArgumentError("name_func and custom_naming are two spellings of one option; give one of them")

    def generate(task_function: Callable[..., Any]) -> TaskGenerator:
        return TaskGenerator(
            task_function,
            serializers,
            tool_name=tool_name,
            naming_args=naming_args,
            max_attempts=max_attempts,
            module_source_path=module_source_path,
            name_func=name_func or custom_naming,
            default_cluster_name=default_cluster_name,
            default_compute_resources=default_compute_resources,
            default_resource_scales=default_resource_scales,
            yaml_file=yaml_file,
        )

    return generate


def get_tasks_by_node_args(
    workflow: WorkflowDraft,
    task_generator: TaskGenerator,
    node_args_dict: Mapping[str, Any],
    error_on_empty: bool = True,
) -> list[WorkflowTask]:
    """Tasks of the generator in a workflow, by values of its arguments. Raises ArgumentError when there is none."""
    texts = task_generator.texts(node_args_dict)
    if task_generator.name not in workflow.arrays and not error_on_empty:
        return []
    found = workflow.get_tasks_by_node_args(task_generator.name, **texts)
    if not found and error_on_empty:
        raise ArgumentError(f"the workflow has no task of {task_generator.name!r} with {show(dict(node_args_dict))}")
    return found


# --- the function ------------------------------------------------------------------------------------------------------------


def _parameters(function: Callable[..., Any], serializers: Serializers) -> tuple[dict[str, Codec], dict[str, Any]]:
    """Codecs, and defaults, by name. Raises TypeError with every mistake."""
    from inspect import Parameter, signature

    codecs: dict[str, Codec] = {}
    defaults: dict[str, Any] = {}
    mistakes: list[str] = []
    hints = _hints(function)
    for name, parameter in signature(function).parameters.items():
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD, Parameter.POSITIONAL_ONLY):
            mistakes.append(f"{parameter} cannot be given by name")
            continue
        if parameter.annotation is Parameter.empty:
            mistakes.append(f"{name} has no annotation")
            continue
        try:
            codec = codec_of(hints[name], serializers)
            if parameter.default is not Parameter.empty:
                codec = optional(codec) if parameter.default is None and not codec.is_optional else codec
                codec.text(parameter.default)
                defaults[name] = parameter.default
            codecs[name] = codec
        except TypeError as error:
            mistakes.append(f"{name}: {error}")
    if mistakes:
        raise TypeError(f"{function.__name__} cannot become a template: {'; '.join(mistakes)}")
    return codecs, defaults


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    import typing

    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise TypeError(
            f"{function.__name__} cannot become a template: an annotation cannot be read: {error}"
        ) from None


def _annotation(parameter: Parameter) -> str:
    annotation = parameter.annotation
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None) or str(annotation)


def _source_of(function: Callable[..., Any], given: Any) -> str | None:
    if given is not None:
        return os.path.abspath(os.fsdecode(given))
    path = str(getattr(getattr(function, "__code__", None), "co_filename", ""))
    return os.path.abspath(path) if os.path.isfile(path) else None


def _module_of(function: Callable[..., Any], source: str | None) -> str:
    """Of a script the name that it would be imported by: the same whether it runs or is imported."""
    if function.__module__ == "__main__" and source is not None and not os.path.isdir(source):
        return os.path.splitext(os.path.basename(source))[0]
    return str(function.__module__)


def _split(args: Iterable[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for arg in args:
        name, equals, text = arg.partition("=")
        if not equals:
            raise ArgumentError(f"{cut(arg)!r} is no argument; write name=value")
        texts[name] = text
    return texts
