"""All fits on one page: which method serves each place better, and where things grow fastest."""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("data", "methods"):
        parser.add_argument(f"--{name}", required=True)
    told = parser.parse_args()
    folder = Path("places", told.data)
    fits: dict[str, dict[str, dict[str, float]]] = {}
    for path in sorted(folder.glob("*.json")):
        place, method = path.name.removesuffix(".json").split(".")
        fits.setdefault(place, {})[method] = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"# Places, data {told.data}", "", "| place | method | slope | error |", "|---|---|---|---|"]
    for place, by_method in fits.items():
        method = min(told.methods.split(","), key=lambda name: by_method[name]["error"])
        best = by_method[method]
        lines.append(f"| {place} | {method} | {best['slope']:.2f} | {best['error']:.1f} |")
    Path(f"places-{told.data}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(fits)} places")


main()
