#!/usr/bin/env bash
# The example project as its users meet it: copied out of the tree, built against the installed library alone.
# Usage: outside.sh SOURCE BUILD COMPILER; works in BUILD/outside.
set -euo pipefail
source=$1 build=$2 compiler=$3
work=$build/outside
die() { echo "outside.sh: $*" >&2; exit 1; }

rm -rf "$work"
mkdir "$work"
meson install -C "$build" --no-rebuild --quiet --tags runtime,devel,man --destdir "$work/root"
cp -r "$source/examples/criterion" "$work/example"
# Staged, it is not where it says, unless it was set up to be relocatable.
sed -i "s|^prefix=/|prefix=$work/root/|" "$(find "$work/root" -name hanglab.pc)"
PKG_CONFIG_PATH=$(dirname "$(find "$work/root" -name hanglab.pc)")
export PKG_CONFIG_PATH

manual=$(find "$work/root" -name hanglab.1)
[[ -s $manual ]] || die 'no manual page is installed'

# Every installed header compiles alone; Criterion's own are not pedantic.
include=$(pkg-config --variable=includedir hanglab)
for header in "$include"/hanglab/*.h; do
    pedantic=-pedantic-errors
    [[ $header != */criterion.h ]] || pedantic=
    # shellcheck disable=SC2046,SC2086 # words of their own
    printf '#include <hanglab/%s>\nextern int alone;\n' "$(basename "$header")" |
        $compiler -std=c11 -Wall -Wextra -Werror $pedantic -fsyntax-only \
            $(pkg-config --cflags hanglab criterion) -x c - || die "$header does not compile alone"
done

# The example passes, and says what it has to say where it is meant to fail.
meson setup "$work/build" "$work/example" >"$work/setup.log" || { cat "$work/setup.log"; die 'meson setup'; }
meson test -C "$work/build" --print-errorlogs

cd "$work/example"
status=0
HANGLAB_OUT=$work/out "$work/build/failing_tests" -j4 --xml="$work/failing.xml" --tap="$work/failing.tap" \
    2>"$work/failing.txt" || status=$?
[[ $status == 1 ]] || die "failing_tests ended with $status"
for report in "$work"/failing.{txt,tap,xml}; do
    for words in 'refused/subject.sentinel_compare=float-ftz: hang in 3 of 3 runs, expected: pass' \
        'sentinel-collision (proven)' 'rank 0, call 0, stage oneshot' 'mistake.yaml:4:20' "$work/out/evidence/"; do
        grep -qF -- "$words" "$report" || die "'$words' is not in $report"
    done
done
bundle=$(grep -o "$work/out/evidence/.*" "$work/failing.txt")
[[ -s $bundle/verdict.json ]] || die "no bundle in $bundle"
[[ $(grep -c '^not ok' "$work/failing.tap") == 2 && $(grep -c '^ok' "$work/failing.tap") == 1 ]] || die 'TAP'
python3 - "$work/failing.xml" <<'END'
import sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot().find('testsuite')
assert suite.get('tests') == '3' and suite.get('failures') == '2', suite.attrib
assert sum('evidence/refused' in failure.text for failure in suite.iter('failure')) == 1
END

# From another folder, the message says where it looked.
(cd "$work" && ! "$work/build/failing_tests" 2>failing.txt)
grep -qF "the tests run in $work" "$work/failing.txt" || die 'no word of the working directory'
# A misspelt engine is a failure.
HANGLAB_ENGINE=none "$work/build/failing_tests" >"$work/failing.txt" 2>&1 && die 'an unknown engine passes'
grep -qF 'the engine is sim, cuda or auto' "$work/failing.txt" || die 'no word of the engines'

# The example of a subject compiles against the installed header, and its layout holds; running it takes a GPU.
if command -v nvcc >/dev/null; then
    cp -r "$source/examples/subject" "$work/subject"
    make -C "$work/subject" --no-print-directory HANGLAB="$(find "$work/root" -name hanglab -type f -perm -u+x)" check \
        >"$work/subject.txt" 2>&1 || { cat "$work/subject.txt"; die 'the example of a subject'; }
    grep -qF 'right in all 3 shapes' "$work/subject.txt" || die 'no word of the layout of the example of a subject'
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir hanglab) make -C "$work/subject" --no-print-directory test \
        >"$work/subject.txt" 2>&1 || { cat "$work/subject.txt"; die 'the tests of the example of a subject'; }
    grep -qE 'Failing: 0.*Crashing: 0' "$work/subject.txt" || die 'the tests of the example of a subject did not end'
fi
