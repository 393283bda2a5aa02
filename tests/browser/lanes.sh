#!/bin/sh
# The lanes of an explored hang in a real browser: lanes.sh HANGLAB SCENARIO. Exit code 77, and a word about it,
# where there is no Chromium.
set -u
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo 'SKIPPED: there is no chromium on this machine, so nobody has looked at the lanes in a browser' >&2
    exit 77
}
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
"$1" explore "$2" --filter late-clear --filter mnnvl --filter eager --ranks 3 --tokens 1 --out "$folder" > "$folder/text"
turns=$(sed -n 's/.* steps in \([0-9]*\) turns:.*/\1/p' "$folder/text")
timeout 60 "$chromium" --headless=new --no-sandbox --disable-gpu --user-data-dir="$folder/profile" --dump-dom \
    "file://$folder/report.html" > "$folder/dom" 2> "$folder/log"
shown=$(grep -o 'class="lane has-it"' "$folder/dom" | wc -l)
echo "$turns turns, $shown shown"
[ -n "$turns" ] && [ "$turns" -eq "$shown" ] || exit 1
grep -q 'If the second comes before the first' "$folder/dom" || {
    echo 'the two steps that decide are not shown'
    exit 1
}
