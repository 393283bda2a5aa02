#!/usr/bin/env python3
"""Installs a FlashInfer release as a subject: its wheel from pip, the headers in it, the adapter compiled.

Called by `./dev subject flashinfer==X`. Everything is made in a temporary folder beside the folder of
subjects and moved into place at the end, so a release is there whole or not at all. Nothing of the wheel
is kept but the compiled kernels; no torch is needed.

Exit codes: 0 installed; 64 a release that does not exist, or wrong usage; 99 anything that is missing here
(network, pip, nvcc) or that this release or GPU does not support.
"""
import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ADAPTER = os.path.join(HERE, "flashinfer.cu")
PUBLIC_HEADER = os.path.join(HERE, "../../framework/include/hanglab/subject.h")
COMM = "flashinfer/data/include/flashinfer/comm/"
MNNVL, TRTLLM = COMM + "trtllm_mnnvl_allreduce.cuh", COMM + "trtllm_allreduce_fusion.cuh"
JIT = "flashinfer/jit/core.py"
NETWORK = re.compile("NewConnectionError|Failed to establish|Name or service not known|Temporary failure in name|"
                     "timed out|ConnectTimeout|ProxyError|Max retries|Connection refused|unreachable")


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def say(text):
    print("hanglab: " + text, file=sys.stderr, flush=True)


def folder_of_subjects():
    """As framework/subject/find.c."""
    own, data, home = (os.environ.get(name) for name in ("HANGLAB_SUBJECTS", "XDG_DATA_HOME", "HOME"))
    if own:
        return own
    if data and data.startswith("/"):
        return os.path.join(data, "hanglab/subjects")
    if home:
        return os.path.join(home, ".local/share/hanglab/subjects")
    raise Failure(99, "there is no folder for subjects: set HANGLAB_SUBJECTS")


def find_nvcc():
    roots = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc") or next((p for r in roots if r and os.access(p := r + "/bin/nvcc", os.X_OK)), None)
    if not nvcc:
        raise Failure(99, "there is no nvcc in PATH, CUDA_HOME or /usr/local/cuda: FlashInfer's kernels are compiled "
                          "here, so install the CUDA toolkit (12.8 or later)")
    return nvcc


def architecture(nvcc):
    """HANGLAB_GPU_ARCH, else that of the GPU here, else the H100's. FlashInfer's two allreduces have 9 and 10."""
    arch = os.environ.get("HANGLAB_GPU_ARCH")
    if not arch and shutil.which("nvidia-smi"):
        found = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
                               capture_output=True, text=True)
        cap = found.stdout.split("\n")[0].strip().replace(".", "")
        arch = f"sm_{cap}a" if found.returncode == 0 and cap.isdigit() else None
    arch = arch or "sm_90a"
    number = re.fullmatch(r"sm_(\d+)[a-z]?", arch)
    if not number or int(number[1]) // 10 not in (9, 10):
        raise Failure(99, f"the architecture {arch} is not supported: FlashInfer's fused allreduces are for sm_90 and "
                          "sm_100 (HANGLAB_GPU_ARCH=sm_90a asks for another than this machine's)")
    known = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True).stdout.split()
    if known and arch not in known and arch.rstrip("abcdef") not in known:
        raise Failure(99, f"{nvcc} does not know the architecture {arch}: it is too old (it knows {', '.join(known)})")
    return arch


def pip(*arguments):
    run = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", *arguments],
                         capture_output=True, text=True, stdin=subprocess.DEVNULL)
    text = run.stdout + run.stderr
    if run.returncode != 0 and "No module named pip" in text:
        raise Failure(99, "there is no pip (python3-pip), which fetches the release")
    return run.returncode, text


def download(release, into):
    """The wheel of a release; of the newest one when `release` is empty."""
    wanted = "flashinfer-python" + (f"=={release}" if release else "")
    code, text = pip("download", "--no-deps", "--only-binary", ":all:", "--dest", into, wanted)
    if code == 0:
        return os.path.join(into, next(name for name in os.listdir(into) if name.endswith(".whl")))
    versions = re.search(r"from versions: ([^)]*)\)", text)
    known = versions[1].split(", ") if versions and versions[1] != "none" else []
    if known:
        raise Failure(64, f"there is no release {release} of flashinfer-python; the latest are "
                          f"{', '.join(known[-6:])}")
    if NETWORK.search(text):
        raise Failure(99, "pip cannot reach the package index: is there a network? (PIP_FIND_LINKS and PIP_NO_INDEX "
                          "let it take wheels from a folder)")
    raise Failure(99, "pip cannot get flashinfer-python:\n" + "\n".join(text.strip().split("\n")[-4:]))


def unpack(wheel, into):
    with zipfile.ZipFile(wheel) as package:
        names = set(package.namelist())
        for header in (MNNVL, TRTLLM):
            if header not in names:
                raise Failure(99, f"{os.path.basename(wheel)} has no {header}: this release has no such allreduce yet, "
                                  "or keeps it elsewhere")
        package.extractall(into, [n for n in names if n.startswith(("flashinfer/data/include/",
                                                                   "flashinfer/data/spdlog/")) or n == JIT])


def flags_of(jit):
    """The flags that the release's own JIT gives nvcc: what gen_jit_spec() puts into cuda_cflags unless debugging."""
    flags = []

    def visit(statement):
        if isinstance(statement, ast.If):
            if re.search("debug|LINEINFO", ast.unparse(statement.test)):
                for inner in statement.orelse:
                    visit(inner)
                return
            for inner in statement.body:
                visit(inner)
        elif "cuda_cflags" in ast.unparse(statement).split("=")[0]:
            flags.extend(n.value for n in ast.walk(statement)
                         if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value.startswith("-"))

    with open(jit, encoding="utf-8") as source:
        for node in ast.walk(ast.parse(source.read())):
            if isinstance(node, ast.FunctionDef) and node.name == "gen_jit_spec":
                for statement in node.body:
                    visit(statement)
    flags = [f for f in dict.fromkeys(flags) if not f.startswith("--threads") and f != "-std="]
    if "-O3" not in flags:
        raise Failure(99, f"cannot find the compiler's flags in {JIT} of this release: its JIT has changed")
    return flags


def compile_adapter(nvcc, arch, package, release, target):
    data = os.path.join(package, "flashinfer/data")
    with open(os.path.join(package, MNNVL), encoding="utf-8") as header:
        includes_trtllm = "trtllm_allreduce_fusion.cuh" in header.read()
    command = [nvcc, *flags_of(os.path.join(package, JIT)), "--expt-relaxed-constexpr",
               "-static-global-template-stub=false", # jit/cpp_ext.py, CUDA 12.8 and later
               "-w", "-gencode", f"arch={arch.replace('sm_', 'compute_')},code={arch}", "-lineinfo",
               f'-DHL_RELEASE="{release}"', *(["-DHL_MNNVL_INCLUDES_TRTLLM"] if includes_trtllm else []),
               f"-I{data}/include", f"-I{data}/spdlog/include", f"-I{os.path.dirname(os.path.dirname(PUBLIC_HEADER))}",
               "-shared", "-cudart", "static", "-Xcompiler", "-fPIC,-fvisibility=hidden", ADAPTER, "-o", target]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        errors = [line for line in (built.stdout + built.stderr).split("\n") if "error" in line][:5]
        raise Failure(99, f"release {release} does not compile with the adapter:\n  " + "\n  ".join(errors))
    return command


def fingerprint(nvcc, arch):
    """What a build depends on besides the release."""
    digest = hashlib.sha256(arch.encode())
    for path in (ADAPTER, PUBLIC_HEADER, os.path.abspath(__file__)):
        with open(path, "rb") as source:
            digest.update(source.read())
    digest.update(subprocess.run([nvcc, "--version"], capture_output=True).stdout)
    return digest.hexdigest()


def is_built(place, stamp):
    try:
        with open(os.path.join(place, "build.txt"), encoding="utf-8") as text:
            return text.readline().strip() == stamp and os.path.exists(os.path.join(place, "subject.so"))
    except OSError:
        return False


def put_in_place(made, place):
    old = made + ".old"
    if os.path.exists(place):
        os.rename(place, old)
    os.rename(made, place)
    shutil.rmtree(old, ignore_errors=True)


def install(wanted, folder, nvcc, arch):
    name = re.fullmatch(r"flashinfer(?:==([0-9][0-9A-Za-z.]*))?", wanted)
    if not name:
        raise Failure(64, f"'{wanted}' is no subject: it is flashinfer==RELEASE, or flashinfer for the newest one")
    release, stamp = name[1] or "", fingerprint(nvcc, arch)
    if release and is_built(os.path.join(folder, "flashinfer@" + release), stamp):
        say(f"flashinfer@{release} is there already")
        return
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=folder) as work:
        say(f"fetching {wanted}")
        wheel = download(release, work)
        release = os.path.basename(wheel).split("-")[1]
        package, made = os.path.join(work, "package"), os.path.join(work, "made")
        os.mkdir(made)
        unpack(wheel, package)
        say(f"compiling flashinfer@{release} for {arch} (about a minute)")
        command = compile_adapter(nvcc, arch, package, release, os.path.join(made, "subject.so"))
        with open(os.path.join(made, "build.txt"), "w", encoding="utf-8") as text:
            text.write(stamp + "\n" + os.path.basename(wheel) + "\n" + " ".join(command[1:]) + "\n")
        put_in_place(made, os.path.join(folder, "flashinfer@" + release))
    say(f"installed flashinfer@{release} in {folder}")


def main(arguments):
    if not arguments:
        raise Failure(64, "which subject? flashinfer==RELEASE, such as flashinfer==0.6.9")
    folder, nvcc = folder_of_subjects(), find_nvcc()
    arch = architecture(nvcc)
    for wanted in arguments:
        install(wanted, folder, nvcc, arch)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(99)) # so that the temporary folder goes
    try:
        main(sys.argv[1:])
    except Failure as failure:
        say(str(failure))
        sys.exit(failure.code)
    except OSError as error:
        say(f"{error.filename or 'a file'}: {error.strerror}")
        sys.exit(99)
