"""Run workloads: `python -m benchmarks [--runs N] [--full] [--peers] [--strict] [NAME…]`."""

from __future__ import annotations

import argparse
import compileall
import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import RESULTS, SOURCE

WORKLOADS = (
    "startup",
    "commands",
    "chain",
    "graph",
    "loading",
    "uptodate",
    "calls",
    "cached_calls",
    "large_product",
    "streaming",
    "workflows",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--runs", type=int, default=5, help="rounds after the warm-up (default 5)")
    parser.add_argument("--full", action="store_true", help="also the long ones: a graph of 1,000,000 tasks")
    parser.add_argument("--peers", action="store_true", help="also slower systems, if they are installed")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a figure is missed")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(WORKLOADS))
    if unknown:
        parser.error(f"no workload is called {', '.join(unknown)}")
    # As after an installation: an editable one has no bytecode where PYTHONDONTWRITEBYTECODE is set.
    compileall.compile_dir(str(SOURCE), quiet=1)
    missed = []
    for name in options.names or WORKLOADS:
        workload = importlib.import_module(f"benchmarks.{name}")
        with tempfile.TemporaryDirectory(prefix=f"weft-bench-{name}-") as folder:
            if not workload.measure(Path(folder), options.runs, options.full, options.peers):
                missed.append(name)
    print(
        f"\nThe figures as JSON: {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}"
    )
    if missed:
        print(f"Missed a figure: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed and options.strict else 0


sys.exit(main())
