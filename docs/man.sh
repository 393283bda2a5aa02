#!/usr/bin/env bash
# Writes hanglab.1 from what the program says of itself, so that the two cannot disagree. Usage: man.sh HANGLAB
set -euo pipefail
hanglab=$1
export ARGP_HELP_FMT=rmargin=76

# Text as it is: no backslash and no leading dot or quote means anything.
plain() { printf '.EX\n'; sed -e 's/\\/\\e/g' -e "s/^[.']/\\\\\&&/" -e 's/-/\\-/g'; printf '.EE\n'; }

version=$("$hanglab" --version)
cat <<END
.TH HANGLAB 1 "" "$version"
.SH NAME
hanglab \\- finds out which configurations of a fused GPU allreduce hang, and why
.SH SYNOPSIS
.B hanglab
.I command
.RI [ option ...]
.RI [ argument ...]
.SH DESCRIPTION
Inference engines fuse allreduce, residual add and RMSNorm into one kernel that waits for words that its
peers write. When such a wait never ends, a server stands still and no log says why.
.B hanglab
runs those protocols under the engines' real schedules, with faults injected, and names the waiting rank,
the word it waits for, what that word holds, and the cause. It needs no GPU.
.SH COMMANDS
END
for command in $("$hanglab" --help | awk '/^  [a-z]/ { print $1 }'); do
    printf '.SS hanglab %s\n' "$command"
    "$hanglab" "$command" --help | plain
done
cat <<'END'
.SH EXIT STATUS
0 all as expected; 1 an unexpected hang; 2 an unexpected wrong result or crash; 3 inconclusive; 64 wrong usage
or a bad scenario; 77 asked for a GPU and there is none; 99 hanglab's own failure. 1 outranks 2 outranks 3.
.SH ENVIRONMENT
.TP
.B NO_COLOR
No colours, even on a terminal.
.SH FILES
.TP
.I hanglab-out/evidence/
An evidence bundle for each case that hung, was wrong or crashed.
END
