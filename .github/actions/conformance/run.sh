#!/usr/bin/env bash
# Runs the checks and writes the outputs of the action. It succeeds where the run could say
# anything at all: the verdict is the last step's.
#
# LNCONFORM: the program. ADAPTER, FILTERS, LANE, SET, SPECS, SPECS_REF, EXPECTATIONS, BASELINE: the
# inputs of the action, lists one a line.
set -euo pipefail

results=.lnconform/last.jsonl
page=.lnconform/report.html
arguments=(run --format github --results "$results" --lane "$LANE")
each() {
    local option=$1 line
    while IFS= read -r line; do
        line="${line#"${line%%[![:space:]]*}"}"
        line="${line%"${line##*[![:space:]]}"}"
        [ -z "$line" ] || arguments+=(${option:+"$option"} "$line")
    done <<<"$2"
}
each --adapter "$ADAPTER"
[ -z "$SET" ] || arguments+=(--set "$SET")
[ -z "$EXPECTATIONS" ] || arguments+=(--expectations "$EXPECTATIONS")
if [ -n "$SPECS" ]; then
    arguments+=(--specs "$SPECS")
elif [ -n "$SPECS_REF" ]; then
    arguments+=(--specs .lnconform-specs)
fi
[ "$LANE" = codec ] || arguments+=(--install)
# What comes now are filters, whatever they begin with.
arguments+=(--)
each "" "$FILTERS"

# A result file of an earlier step is not this run's.
rm -f "$results"
code=0
"$LNCONFORM" "${arguments[@]}" || code=$?

verdict=failed
[ "$code" -ne 0 ] || verdict=passed
if [ -s "$results" ]; then
    "$LNCONFORM" report "$results" --format html -o "$page"
    "$LNCONFORM" report "$results" --format junit -o .lnconform/junit.xml
    "$LNCONFORM" report "$results" --format badge -o .lnconform/badge.json
fi
# 1 is an unexpected result: whether it is a new one is for the comparison to say. Everything else (a
# file that cannot be read, something that is missing) is told as it is.
if [ -n "$BASELINE" ] && [ -s "$results" ] && { [ "$code" -eq 0 ] || [ "$code" -eq 1 ]; }; then
    compared=0
    "$LNCONFORM" diff "$BASELINE" "$results" --fail-on new || compared=$?
    case "$compared" in
        0) verdict=passed ;;
        1) verdict=failed code=1 ;;
        *) verdict=failed code=$compared ;;
    esac
fi

count() {
    # The last line of a complete result file is its summary; where there is none, all is 0.
    { tail -n 1 "$results" 2>/dev/null || true; } | python3 -c '
import json, sys
try:
    end = json.loads(sys.stdin.read())
except ValueError:
    end = {}
counts = end.get("counts", {})
print("checks=%d" % sum(counts.values()))
print("passed=%d" % counts.get("passed", 0))
print("failed=%d" % counts.get("failed", 0))
print("unexpected=%d" % end.get("unexpected", 0))
'
}
{
    echo "verdict=$verdict"
    echo "exit-code=$code"
    count
    [ ! -s "$results" ] || echo "results=$results"
    [ ! -s "$page" ] || echo "page=$page"
} >>"$GITHUB_OUTPUT"
