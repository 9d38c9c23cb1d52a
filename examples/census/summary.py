"""Put the packages' measurements together: results/summary.json; the totals also go to standard output, as JSON."""

import json
import os
import sys

TOTALS = ("files", "lines", "functions", "classes", "definitions", "documented")


def main():
    results = os.environ["CENSUS_RESULTS"]
    folder = os.path.join(results, "packages")
    packages = []
    for name in sys.argv[1:]:
        with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
            packages.append(json.load(file))
    totals = {name: sum(package[name] for package in packages) for name in TOTALS}
    totals["docstring_share"] = round(totals["documented"] / max(1, totals["definitions"]), 3)
    totals["packages"] = len(packages)
    totals["longest_function"] = max(
        (package["longest_function"] for package in packages), key=lambda one: one["lines"]
    )
    packages.sort(key=lambda package: (-package["lines"], package["package"]))
    with open(os.path.join(results, "summary.json"), "w", encoding="utf-8") as file:
        json.dump({"totals": totals, "packages": packages}, file, indent=1)
    print(json.dumps(totals))


main()
