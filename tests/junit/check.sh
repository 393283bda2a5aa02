#!/bin/sh
# A JUnit report of cases that pass, fail and are skipped, held against the schema: check.sh HANGLAB.
set -u
command -v xmllint > /dev/null || {
    echo 'SKIPPED: there is no xmllint (Debian: libxml2-utils), so JUnit was not held against its schema' >&2
    exit 77
}
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
cat > "$folder/two.yaml" << 'END'
hanglab: 1
name: two
world: {ranks: 2}
subject: {backend: mnnvl, dtype: bf16, hidden: 4096, sentinel_compare: float-ftz}
schedule: {mode: eager, layers: 1, sizes: [4], replays: 1}
payload: {pattern: subnormal}
matrix:
  payload.rows: [real, pattern]
END
report() { "$@" --engine sim --runs 1 --format junit --out "$folder/out" 2> /dev/null; }
report "$1" run "$folder/two.yaml" > "$folder/junit.xml"
[ $? -eq 1 ] || { echo 'an unexpected hang was to be expected'; exit 1; }
report "$1" run "$folder/two.yaml" --time-budget 0.000001 > "$folder/skipped.xml"
grep -q '<failure' "$folder/junit.xml" && grep -q '<skipped' "$folder/skipped.xml" || {
    cat "$folder"/*.xml
    exit 1
}
xmllint --noout --schema "$(dirname "$0")/junit.xsd" "$folder/junit.xml" "$folder/skipped.xml"
