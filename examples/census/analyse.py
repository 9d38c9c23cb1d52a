"""Measure one package of the standard library by its syntax trees: results/packages/NAME.json."""

import argparse
import ast
import json
import os
import tokenize
from collections import Counter

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (*FUNCTIONS, ast.ClassDef, ast.Module)


def roots_of(node):
    """First words of the modules that an import statement names; none for imports from the package itself."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


def measure(package, paths):
    """What the files hold: counts, the longest function, the share of documented definitions, imported packages."""
    counts = Counter()
    imports = Counter()
    longest = {"name": None, "lines": 0}
    for path in paths:
        with tokenize.open(path) as file:
            text = file.read()
        counts["files"] += 1
        counts["lines"] += text.count("\n")
        for node in ast.walk(ast.parse(text, path)):
            imports.update(roots_of(node))
            counts["classes"] += isinstance(node, ast.ClassDef)
            if isinstance(node, DOCUMENTED):
                counts["definitions"] += 1
                counts["documented"] += ast.get_docstring(node, clean=False) is not None
            if isinstance(node, FUNCTIONS):
                counts["functions"] += 1
                lines = node.end_lineno - node.lineno + 1
                if lines > longest["lines"]:
                    longest = {"name": f"{os.path.basename(path)}:{node.name}", "lines": lines}
    imports.pop(package, None)
    names = ("files", "lines", "functions", "classes", "definitions", "documented")
    return {
        "package": package,
        **{name: counts[name] for name in names},
        "docstring_share": round(counts["documented"] / max(1, counts["definitions"]), 3),
        "longest_function": longest,
        "imports": dict(sorted(imports.items())),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", required=True)
    parser.add_argument("--most-files", type=int, required=True, help="read no more files than this of one package")
    options = parser.parse_args()
    with open(os.environ["CENSUS_INVENTORY"], encoding="utf-8") as file:
        paths = json.load(file)["packages"].get(options.package)
    if paths is None:
        raise SystemExit(f"this Python has no package {options.package!r}")
    result = measure(options.package, paths[: options.most_files])
    folder = os.path.join(os.environ["CENSUS_RESULTS"], "packages")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{options.package}.json"), "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    print(f"{options.package}: {result['lines']:,} lines, {result['functions']:,} functions")


main()
