"""Which of the counted packages import which: results/imports.json, most wanted first."""

import json
import os


def main():
    results = os.environ["CENSUS_RESULTS"]
    with open(os.path.join(results, "summary.json"), encoding="utf-8") as file:
        packages = json.load(file)["packages"]
    wanted = {}
    for package in packages:
        for name, times in package["imports"].items():
            entry = wanted.setdefault(name, {"module": name, "times": 0, "by": []})
            entry["times"] += times
            entry["by"].append(package["package"])
    ranking = sorted(wanted.values(), key=lambda entry: (-len(entry["by"]), -entry["times"], entry["module"]))
    for entry in ranking:
        entry["by"].sort()
    with open(os.path.join(results, "imports.json"), "w", encoding="utf-8") as file:
        json.dump(ranking, file, indent=1)
    print(f"{len(ranking)} modules are imported; most wanted: {', '.join(entry['module'] for entry in ranking[:5])}")


main()
