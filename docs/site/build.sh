#!/usr/bin/env bash
# Makes the site: build.sh OUT [RESULTS]. The pages keep their places, so that the links between
# them are those of the repository; with a result file, its matrix is at OUT/matrix.html. Needs
# mdbook (0.4.52 is what it was tried with) and, for the matrix, LNCONFORM or lnconform on PATH.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: build.sh OUT [RESULTS]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
results=${2:+$(realpath "$2")}
book=$(mktemp -d)
trap 'rm -rf "$book"' EXIT

mkdir -p "$book/src/specs" "$book/src/tests/expectations"
cp "$root/docs/site/book.toml" "$book"
cp "$root/README.md" "$root/SECURITY.md" "$root"/LICENSE-* "$book/src"
cp -r "$root/docs" "$book/src/docs"
rm -r "$book/src/docs/site"
cp -r "$root/specs/drafts" "$book/src/specs/drafts"
cp "$root/tests/expectations/README.md" "$book/src/tests/expectations"
# The table of contents lies two folders down, and is read from the top.
sed -e 's#](../../#](#' -e 's#](../#](docs/#' "$root/docs/site/SUMMARY.md" >"$book/src/SUMMARY.md"
mdbook build --dest-dir "$out" "$book"
if [ -n "$results" ]; then
    "${LNCONFORM:-lnconform}" report "$results" --format html -o "$out/matrix.html"
    "${LNCONFORM:-lnconform}" report "$results" --format badge -o "$out/badge.json"
fi
python3 "$root/docs/site/links.py" "$out"
