#!/usr/bin/env bash
# `./dev subject` against a package index and a compiler that fail in every way that they know.
# Usage: install.sh SOURCE; exit 77: there is no python3 or no pip here.
set -euo pipefail
source=$1
python3 -m pip --version >/dev/null 2>&1 || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "install.sh: $*" >&2; cat "$work/said" >&2; exit 1; }

# Wheels of three releases: a whole one, one without the headers, one whose JIT has other flags.
mkdir "$work/wheels" "$work/bin"
python3 - "$work/wheels" <<'END'
import sys, zipfile
comm = 'flashinfer/data/include/flashinfer/comm/'
jit = ('def gen_jit_spec(debug, x):\n    cuda_cflags = ["--threads=1", "-use_fast_math"]\n    if debug:\n'
       '        cuda_cflags += ["-G"]\n    else:\n        cuda_cflags += ["-DNDEBUG", "-O3"]\n')
for version, headers, text in ('0.6.9', True, jit), ('0.1.0', False, jit), ('0.9.0', True, 'pass\n'):
    name = 'flashinfer_python-' + version
    with zipfile.ZipFile(f'{sys.argv[1]}/{name}-py3-none-any.whl', 'w') as wheel:
        if headers:
            wheel.writestr(comm + 'trtllm_mnnvl_allreduce.cuh', '#include "trtllm_allreduce_fusion.cuh"\n')
            wheel.writestr(comm + 'trtllm_allreduce_fusion.cuh', '')
        wheel.writestr('flashinfer/jit/core.py', text)
        wheel.writestr(name + '.dist-info/METADATA', f'Metadata-Version: 2.1\nName: flashinfer-python\nVersion: {version}\n')
        wheel.writestr(name + '.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        wheel.writestr(name + '.dist-info/RECORD', '')
END

# A compiler that keeps its arguments, and fails when told to.
cat >"$work/bin/nvcc" <<'END'
#!/bin/sh
case "$*" in
--list-gpu-code) echo sm_90 sm_90a; exit ;;
--version) echo fake; exit ;;
esac
[ -z "$NVCC_FAILS" ] || { echo 'flashinfer.cu(1): error: no such member'; exit 1; }
echo "$*" >"$NVCC_SAID"
while [ "$1" != -o ]; do shift; done
echo >"$2"
END
chmod +x "$work/bin/nvcc"
export PATH=$work/bin:$PATH HANGLAB_SUBJECTS=$work/subjects PIP_NO_INDEX=1 PIP_FIND_LINKS=$work/wheels \
    NVCC_SAID=$work/nvcc HANGLAB_GPU_ARCH=sm_90a NVCC_FAILS=

# expect CODE WORDS ARGS...
expect()
{
    local code=$1 words=$2 status=0
    shift 2
    "$source/dev" subject "$@" >"$work/said" 2>&1 || status=$?
    [[ $status == "$code" ]] || die "subject $*: $status, not $code"
    grep -qF -- "$words" "$work/said" || die "subject $*: no word of '$words'"
    local left=("$HANGLAB_SUBJECTS"/.installing-*)
    [[ ! -e ${left[0]} ]] || die "subject $*: left ${left[0]}"
}

expect 64 'there is no release 0.6.99 of flashinfer-python; the latest are' flashinfer==0.6.99
expect 64 "'vllm' is no subject" vllm
expect 64 'which subject?'
expect 99 'has no flashinfer/data/include/flashinfer/comm/trtllm_mnnvl_allreduce.cuh' flashinfer==0.1.0
expect 99 'its JIT has changed' flashinfer==0.9.0
HANGLAB_GPU_ARCH=sm_80 expect 99 'the architecture sm_80 is not supported' flashinfer==0.6.9
HANGLAB_GPU_ARCH=sm_103a expect 99 'does not know the architecture sm_103a' flashinfer==0.6.9
NVCC_FAILS=1 expect 99 'error: no such member' flashinfer==0.6.9
PIP_NO_INDEX='' PIP_FIND_LINKS='' PIP_INDEX_URL=http://127.0.0.1:9/simple \
    expect 99 'is there a network?' flashinfer==0.6.9
[[ -z $(ls "$HANGLAB_SUBJECTS") ]] || die 'something is half installed'

expect 0 'installed flashinfer@0.6.9' flashinfer==0.6.9
[[ -e $HANGLAB_SUBJECTS/flashinfer@0.6.9/subject.so ]] || die 'not installed'
for flag in -use_fast_math -DNDEBUG -O3 -DHL_MNNVL_INCLUDES_TRTLLM code=sm_90a; do
    grep -qF -- "$flag" "$work/nvcc" || die "nvcc has not got $flag: $(cat "$work/nvcc")"
done
! grep -qE -- '(^| )-G ' "$work/nvcc" || die 'nvcc has got a flag for debugging'
expect 0 'is there already' flashinfer==0.6.9

# No compiler at all: a PATH of its own.
mkdir "$work/bare"
for tool in bash dirname env cat python3 mktemp uname; do
    ln -s "$(command -v "$tool")" "$work/bare/$tool"
done
if [[ ! -x /usr/local/cuda/bin/nvcc ]]; then
    PATH=$work/bare expect 99 'there is no nvcc' flashinfer==0.6.9
fi
