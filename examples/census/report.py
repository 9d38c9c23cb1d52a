"""Write what was found as a Markdown page: results/report.md."""

import argparse
import json
import os


def read(results, name):
    with open(os.path.join(results, name), encoding="utf-8") as file:
        return json.load(file)


def page(title, top, summary, imports):
    totals = summary["totals"]
    longest = totals["longest_function"]
    lines = [
        f"# {title}",
        "",
        f"{totals['packages']} packages, {totals['files']:,} files, {totals['lines']:,} lines, "
        f"{totals['functions']:,} functions, {totals['classes']:,} classes. "
        f"{totals['docstring_share']:.0%} of all definitions have a docstring. "
        f"The longest function is `{longest['name']}` with {longest['lines']:,} lines.",
        "",
        "![lines per package](chart.svg)",
        "",
        "| package | files | lines | functions | classes | documented | longest function |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for package in summary["packages"][:top]:
        longest = package["longest_function"]
        lines.append(
            f"| {package['package']} | {package['files']} | {package['lines']:,} | {package['functions']:,} "
            f"| {package['classes']:,} | {package['docstring_share']:.0%} | `{longest['name']}` ({longest['lines']}) |"
        )
    lines += ["", "## Most wanted modules", "", "| module | imported by | times |", "|---|---:|---:|"]
    lines += [f"| {entry['module']} | {len(entry['by'])} | {entry['times']} |" for entry in imports[:top]]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--top", type=int, required=True)
    parser.add_argument("--title", required=True)
    options = parser.parse_args()
    results = os.environ["CENSUS_RESULTS"]
    text = page(options.title, options.top, read(results, "summary.json"), read(results, "imports.json"))
    with open(os.path.join(results, "report.md"), "w", encoding="utf-8") as file:
        file.write(text)
    print(f"{len(text.splitlines())} lines")


main()
