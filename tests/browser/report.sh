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
# A command that was watched, as `hanglab watch` leaves it.
mkdir -p "$folder/evidence/watch-server/0/stacks"
cat > "$folder/evidence/watch-server/0/verdict.json" << 'END'
{"hanglab": 1, "case": "server", "title": "./server --tp 2", "engine": "watch", "run": 0, "verdict": "hang",
 "cause": "foreign-kernel", "certainty": "observed", "summary": "a kernel does not end", "stalled_ns": 1040598302,
 "devices": [{"pid": 7, "detail": "pc", "stall": "device", "watched": true, "stalled_ns": 1040598302,
              "unfinished": {"behind": 3, "what": "graph", "device": "spins", "kernel": "_Z13wait_for_peerPVi",
                             "graph_kernels": 5, "node": 3},
              "calls": [{"tid": 7, "call": "cuCtxSynchronize", "for_ns": 1040591372}], "samples": 8}]}
END
cat > "$folder/evidence/watch-server/0/pc.json" << 'END'
{"hanglab": 1, "processes": [{"process": 0, "pid": 7, "samples": 8, "lines": [
    {"samples": 8, "share": 1.0, "pc": "0x40", "kernel": "_Z13wait_for_peerPVi", "file": "wait.cu", "line": 30}]}]}
END
echo 'process 7 "server"' > "$folder/evidence/watch-server/0/stacks/rank0.txt"
"$1" report "$folder" > /dev/null || exit 1
sh "$(dirname "$0")/check.sh" "$chromium" "$folder/report.html" 10000 1000 > "$folder/said" || {
    cat "$folder/said"
    exit 1
}
cat "$folder/said"
grep -q '^ok a watched command has a page' "$folder/said"
