#!/bin/sh
# Runs the census in a folder of its own (argument 1) twice, and explains one task. `make demo` calls it.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=${1:?which folder may be overwritten?}
rm -rf "$folder"
mkdir -p "$folder"
cp "$here"/census.json "$here"/*.py "$folder"
cd "$folder"

say() { printf '\n== %s\n' "$*"; }

say 'weft run census.json'
weft run census.json
say 'weft run census.json, once more: nothing changed, so nothing runs'
weft run census.json
say 'weft run census.json -o top=8: only what shows the option runs again'
weft run census.json -o top=8 --output quiet
weft explain chart
weft explain analyse-json
weft graph census.json --as svg --run last > graph.svg
say 'The results'
for file in results/report.md results/chart.svg results/summary.json graph.svg; do
    printf '  %s\n' "$(pwd)/$file"
done
