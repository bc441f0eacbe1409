#!/usr/bin/env bash
# Makes the site: build.sh OUT [RESULTS]. The pages keep their places, so that the links between
# them are those of the repository. With a result file, its matrix is at OUT/matrix.html, its coverage at
# OUT/coverage.html, and the outcomes in docs/proof-of-payment.md are its own. Needs mdbook (0.4.52 is
# what it was tried with) and, for a result file, LNCONFORM or lnconform on PATH.
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
# mdBook makes a README its folder's index, and leaves the links to it as they are.
find "$book/src/docs" -name '*.md' -exec sed -i 's#](\.\./README\.md#](../index.md#g' {} +
cp -r "$root/specs/drafts" "$book/src/specs/drafts"
cp "$root/tests/expectations/README.md" "$book/src/tests/expectations"
# The table of contents lies two folders down, and is read from the top.
sed -e 's#](../../#](#' -e 's#](../#](docs/#' "$root/docs/site/SUMMARY.md" >"$book/src/SUMMARY.md"
if [ -n "$results" ]; then
    program=${LNCONFORM:-lnconform}
    "$program" spec proofs "$results" --format json >"$book/src/docs/proof-of-payment.json"
    "$program" spec proofs "$results" --format markdown >"$book/table.md"
    page=$book/src/docs/proof-of-payment.md
    # The page's own table gives way to that of the run, between the same two comments.
    awk -v table="$book/table.md" '
        /^<!-- end -->$/ { inside = 0 }
        !inside { print }
        /^<!-- lnconform spec proofs / { inside = 1; while ((getline line < table) > 0) print line }
    ' "$page" >"$page.new"
    mv "$page.new" "$page"
    sed -i -e 's#^- \[Findings\]#- [The latest run](docs/latest.md)\n&#' "$book/src/SUMMARY.md"
    {
        echo "# The latest run"
        echo
        echo "- [Implementations by section, by role and by requirement, and every check](../matrix.html)"
        echo "- [Who satisfies which statement](../coverage.html), and which statements no check reaches"
        echo "- [A badge](../badge.json) in the form that shields.io reads"
        echo
        echo '```text'
        "$program" report "$results" | sed -n '/ in .*; exit code [0-9]/p'
        "$program" spec coverage "$results" | sed '/^$/,$d'
        echo '```'
    } >"$book/src/docs/latest.md"
fi
mdbook build --dest-dir "$out" "$book"
# After it, since it empties the folder.
if [ -n "$results" ]; then
    "$program" report "$results" --format html -o "$out/matrix.html"
    "$program" report "$results" --format badge -o "$out/badge.json"
    "$program" spec coverage "$results" --format html -o "$out/coverage.html"
fi
python3 "$root/docs/site/links.py" "$out"
