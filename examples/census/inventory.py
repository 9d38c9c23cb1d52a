"""List the Python sources of the standard library by package: results/inventory.json."""

import json
import os
import sysconfig


def sources_of(folder):
    """All Python files below a package's folder, sorted; without its tests."""
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", "test", "tests"))
        found += [os.path.join(where, name) for name in sorted(files) if name.endswith(".py")]
    return found


def main():
    library = sysconfig.get_paths()["stdlib"]
    packages = {}
    for name in sorted(os.listdir(library)):
        folder = os.path.join(library, name)
        if name.isidentifier() and os.path.isfile(os.path.join(folder, "__init__.py")):
            packages[name] = sources_of(folder)
    target = os.environ["CENSUS_INVENTORY"]
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        json.dump({"packages": packages}, file, indent=1)
    print(f"{len(packages)} packages, {sum(map(len, packages.values()))} files in {library}")


main()
