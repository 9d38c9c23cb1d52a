"""The program that a generated task runs: `python -m weft.define.function_program SOURCE MODULE:FUNCTION [NAME=VALUE ...]`.

SOURCE: the file of the module, or a folder that it is imported from.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

from weft.errors import ArgumentError, UsageError, WeftError


def main(argv: list[str]) -> None:
    """Call the function; what it raises ends this process as usual. Mistakes of the command end it with exit code 2."""
    from weft.define.launch import forbid_workflows
    from weft.define.task_generators import TaskGenerator

    if len(argv) < 2:
        _tell("usage: SOURCE MODULE:FUNCTION [NAME=VALUE ...]")
    source, (module_name, _, function_name) = argv[0], argv[1].partition(":")
    forbid_workflows(_refuse)
    found: Any = load(source, module_name)
    for name in function_name.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, TaskGenerator):
        _tell(f"{argv[1]} in {source} is no function with @task_generator")
    try:
        values = found.read_texts(argv[2:])
    except ArgumentError as error:
        _tell(str(error))
    found.task_function(**values)


def load(source: str, name: str) -> ModuleType:
    """The module, imported by its name where that leads to its file, else from the file."""
    if os.path.isdir(source):
        sys.path.insert(0, source)
        return importlib.import_module(name)
    root = os.path.dirname(source)
    levels = name.count(".") + (os.path.basename(source) == "__init__.py")
    for _ in range(levels):
        root = os.path.dirname(root)
    sys.path.insert(0, root)
    if _leads_to(name, source):
        return importlib.import_module(name)
    own = f"weft_task_{name.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(own, source)
    if spec is None or spec.loader is None:
        raise UsageError(f"{source} is no Python file")
    module = sys.modules[own] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _leads_to(name: str, source: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # no such package, or one that is being imported
        return False
    if spec is None or spec.origin is None or not os.path.exists(spec.origin):
        return False
    return os.path.samefile(spec.origin, source)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise WeftError(
        "a task that loads its function's script cannot run the script's workflow again: "
        'write `if __name__ == "__main__":` before what the script itself does'
    )


def _tell(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
