"""A straight line, or a line and a yearly wave, through the measurements of one place, with draws from its inhabitants."""

import argparse
import csv
import json
import math
from pathlib import Path

BYTES_PER_THOUSAND = 1 << 15  # of draws that are held in memory at once


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Slope and height by least squares."""
    count = len(points)
    x, y = (sum(values) / count for values in zip(*points, strict=True))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return slope, y - slope * x


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("place", "method", "data"):
        parser.add_argument(f"--{name}", required=True)
    told = parser.parse_args()
    folder = Path("places", told.data)
    with open(folder / f"{told.place}.csv", newline="", encoding="utf-8") as file:
        (_, size), *rows = csv.reader(file)
    draws = bytearray(int(size) * BYTES_PER_THOUSAND)  # as many as the place has inhabitants: large places take memory
    draws[:: 1 << 12] = b"\x01" * len(draws[:: 1 << 12])
    points = [(float(month), float(value)) for month, value in rows]
    slope, height = line(points)
    if told.method == "season":
        waves = [(math.sin(month / 6 * math.pi), value - slope * month - height) for month, value in points]
        wave, _ = line(waves)
    else:
        wave = 0.0
    errors = [value - slope * month - height - wave * math.sin(month / 6 * math.pi) for month, value in points]
    found = {
        "slope": slope,
        "height": height,
        "wave": wave,
        "error": math.sqrt(sum(e * e for e in errors) / len(errors)),
    }
    (folder / f"{told.place}.{told.method}.json").write_text(json.dumps(found), encoding="utf-8")


main()
