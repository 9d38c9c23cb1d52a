"""Measurements of one place, month by month; some places have gaps."""

import argparse
import csv
import math
import random
import sys
from pathlib import Path

MONTHS = 120


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("place", "data", "gaps"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--size", type=int, required=True)
    told = parser.parse_args()
    chance = random.Random(f"{told.place} {told.data}")  # the same numbers for the same place and version
    slope, height = chance.uniform(-0.5, 1.5), chance.uniform(50, 150)
    rows = [
        (month, height + slope * month + 10 * math.sin(month / 6 * math.pi) + chance.gauss(0, 5))
        for month in range(MONTHS)
    ]
    if told.place == "oak":
        rows[60:66] = []
    if len(rows) < MONTHS and told.gaps == "fail":
        sys.exit(f"{told.place}: {MONTHS - len(rows)} months are missing")
    folder = Path("places", told.data)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{told.place}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", told.size])
        writer.writerows(rows)


main()
