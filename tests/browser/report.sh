#!/bin/sh
# The report in a real browser: report.sh HANGLAB SCENARIO. Exit code 77, and a word about it, where there is no
# Chromium. The times are loose here, because tests run beside others; the benchmark holds the targets.
set -u
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo 'SKIPPED: there is no chromium on this machine, so nobody has looked at the HTML report in a browser' >&2
    exit 77
}
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
"$1" run "$2" --filter 'split op (B)' --runs 1 --engine sim --out "$folder" > /dev/null 2>&1 || exit 1
sh "$(dirname "$0")/check.sh" "$chromium" "$folder/report.html" 10000 1000
