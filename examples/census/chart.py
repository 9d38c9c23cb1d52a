"""Draw lines per package as bars, dark for the documented share: results/chart.svg."""

import argparse
import json
import os
from html import escape

ROW, LEFT, WIDE = 22, 130, 560


def draw(packages, title):
    most = max(package["lines"] for package in packages)
    height = 60 + ROW * len(packages)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 110}" height="{height}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="16" y="28" font-size="16">{escape(title)}</text>',
    ]
    for place, package in enumerate(packages):
        y = 46 + ROW * place
        wide = WIDE * package["lines"] / most
        share = package["docstring_share"]
        parts.append(
            f'<g font-size="12"><title>{escape(package["package"])}: {share:.0%} of the definitions have a docstring</title>'
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(package["package"])}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{wide:.1f}" height="16" fill="#b6d4fe"/>'
            f'<rect x="{LEFT}" y="{y}" width="{wide * share:.1f}" height="16" fill="#0969da"/>'
            f'<text x="{LEFT + wide + 6:.1f}" y="{y + 12}" fill="#57606a">{package["lines"]:,}</text></g>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--top", type=int, required=True)
    parser.add_argument("--title", required=True)
    options = parser.parse_args()
    results = os.environ["CENSUS_RESULTS"]
    with open(os.path.join(results, "summary.json"), encoding="utf-8") as file:
        packages = json.load(file)["packages"][: options.top]
    with open(os.path.join(results, "chart.svg"), "w", encoding="utf-8") as file:
        file.write(draw(packages, options.title))
    print(f"{len(packages)} bars")


main()
