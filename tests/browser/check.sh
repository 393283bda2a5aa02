#!/bin/sh
# Opens a report in headless Chromium and uses it: check.sh CHROMIUM PAGE [FIRST_PAINT_MS FILTER_MS]
# Exit code 0: all good; 1: something is not, or slower than it may be. The page itself stays as it is: the
# check is put behind a copy of it.
set -u
chromium=$1 page=$2 paint_ms=${3:-1000} filter_ms=${4:-100}
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
{
    cat "$page"
    printf '<script>\n'
    cat "$(dirname "$0")/check.js"
    printf '</script>\n'
} > "$folder/page.html"

"$chromium" --headless=new --no-sandbox --disable-gpu --user-data-dir="$folder/profile" \
    --enable-logging=stderr "file://$folder/page.html" > "$folder/log" 2>&1 &
browser=$!
waited=0
until grep -q 'check: done' "$folder/log" || [ $waited -ge 300 ] || ! kill -0 $browser 2> /dev/null; do
    sleep 0.1
    waited=$((waited + 1))
done
kill $browser 2> /dev/null
wait $browser 2> /dev/null

sed -n 's/.*"check: \(.*\)", source:.*/\1/p' "$folder/log" > "$folder/lines"
cat "$folder/lines"
number() { sed -n "s/^$1 //p" "$folder/lines"; }
grep -q '^done' "$folder/lines" || {
    echo 'not ok: the check has not come to its end'
    tail -5 "$folder/log"
    exit 1
}
grep -q '^not ok' "$folder/lines" && exit 1
awk -v paint="$(number paint_ms)" -v filter="$(number filter_ms)" -v paint_max="$paint_ms" \
    -v filter_max="$filter_ms" 'BEGIN {
        if (!(paint > 0 && paint <= paint_max)) { print "not ok: first paint after " paint " ms"; exit 1 }
        if (!(filter > 0 && filter <= filter_max)) { print "not ok: filter takes " filter " ms"; exit 1 }
    }'
