#!/usr/bin/env python3
"""Every set-up command of DeepImaging: `demo`, `test`, `install`, `package`, with the standard library alone.

`demo` and `test` make `.venv` beside this file, or repair it, then run inside it. An unfit Python must still be
able to read this file and say which one is needed, so its syntax stays that of Python 3.6.
"""

import argparse
import errno
import hashlib
import json
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

ROOT = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 10), (3, 12)
EXTRAS = "headless,test"
NEEDED_GB = 4.0  # .venv with PyTorch's CPU build takes 2.5 GB; the rest is for pip's downloads and cache
REQUIREMENTS = "DeepImagingLib/requirements.txt"
WHEELS = "https://download.pytorch.org/whl"
SLICER_SECONDS = 300.0  # a first start reads every module
NOTE = "deepimaging-setup.json"  # in .venv: whose it is, and what a finished set-up put there
SETUP_VERSION = "1"  # raise it when a finished .venv has to be installed again
READY, INSTALL, REMAKE = "ready", "install", "remake"


class SetupError(Exception):
    """What went wrong, as the one sentence that is shown, and the exit code."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


# --- the Python and the machine this runs on ---


def python_problem(version: Tuple[int, ...], fitting: Callable[[], Optional[str]]) -> Optional[str]:
    """Say in one sentence why this Python won't do, and which one would; None if it will."""
    if OLDEST <= version[:2] <= NEWEST:
        return None
    found = ".".join(str(part) for part in version[:3])
    command = fitting()
    remedy = "call `%s setup_extension.py ...`" % command if command else "install Python 3.12 and call it with that"
    return "DeepImaging needs Python 3.10, 3.11 or 3.12, and this is Python %s: %s." % (found, remedy)


def fitting_python() -> Optional[str]:
    """Find the command of a Python that will do, as it would be typed; None if there is none."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        command = ["py", "-3.%d" % minor] if os.name == "nt" else ["python3.%d" % minor]
        if shutil.which(command[0]) and output_of(command + ["-c", "print('runs')"]) == "runs":
            return " ".join(command)
    return None


def machine_problem(system: str, machine: str, mac_release: str, bits: int) -> Optional[str]:
    """Say in one sentence why PyTorch has no build for this machine; None if it has one."""
    if bits < 64:
        return "This is a 32-bit Python and PyTorch needs a 64-bit one: install that and call it again."
    if system == "Darwin" and machine == "x86_64":
        return "PyTorch has no build for Intel Macs (or for an Intel Python on Apple silicon): use an arm64 Python."
    if system == "Darwin" and 11 <= int(mac_release.split(".")[0] or 0) < 14:
        return "PyTorch needs macOS 14 or later, and this is macOS %s: update macOS and call it again." % mac_release
    return None


def output_of(command: List[str], seconds: float = 20.0) -> Optional[str]:
    """Run a short command and give what it printed; None if it can't run, fails or hangs."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def has_nvidia() -> bool:
    """Tell whether an NVIDIA GPU can be used here."""
    listed = output_of(["nvidia-smi", "-L"]) if shutil.which("nvidia-smi") else None
    return "GPU" in (listed or "") or os.path.isdir("/proc/driver/nvidia/gpus")


def reachable(url: str, seconds: float = 6.0) -> bool:
    """Tell whether a wheel index answers, within a time that holds for the name look-up too."""
    answers = []  # type: List[bool]

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                answers.append(answer.status == 200)
        except (OSError, HTTPException, ValueError):
            answers.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[:1] == [True]


def torch_source(system: str, gpu: bool, answers: Callable[[str], bool]) -> Tuple[List[str], str]:
    """Choose where PyTorch comes from: arguments for pip, and a line on what that costs, if anything."""
    if system == "Darwin" or (system == "Windows") != gpu:
        return [], ""  # what PyPI has is right: Linux with CUDA, Windows without, macOS with MPS
    index = WHEELS + ("/cu130" if gpu else "/cpu")
    if answers(index + "/torch/"):
        return ["--index-url", index], ""
    if gpu:
        return [], "download.pytorch.org can't be reached: taking PyPI's build, which leaves the NVIDIA GPU unused"
    return [], "download.pytorch.org can't be reached: taking pip's own choice; PyPI's build adds up to 3 GB of CUDA"


# --- what is shown ---


class Progress:
    """Stage lines with the seconds since the start, and below them, on a terminal, one live line of what pip does."""

    def __init__(self, total: int) -> None:
        self.start = time.monotonic()
        self.total = total
        self.number = 0
        self.live = sys.stdout.isatty()
        self.text = ""

    def seconds(self) -> float:
        """Give the seconds since the start."""
        return time.monotonic() - self.start

    def stage(self, text: str) -> None:
        """Begin the next stage."""
        self.number += 1
        self.line("[%d/%d] %4.0f s  %s" % (self.number, self.total, self.seconds(), text))

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.wipe()
        print(text, flush=True)

    def show(self, text: str, weighty: bool) -> None:
        """Tell what is being done now; where no line can be rewritten, only what takes long."""
        self.text = text
        if self.live:
            self.tick()
        elif weighty:
            print("              " + text, flush=True)

    def tick(self) -> None:
        """Rewrite the live line, so that its seconds go on."""
        if self.live and self.text:
            width = shutil.get_terminal_size().columns - 1
            line = "      %4.0f s  %s" % (self.seconds(), self.text)
            print("\r" + line[:width].ljust(width), end="", flush=True)

    def wipe(self) -> None:
        """Clear the live line."""
        if self.live and self.text:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1), end="\r", flush=True)
        self.text = ""


def activity(line: str) -> Optional[Tuple[str, bool]]:
    """Say in a few words what a line of pip's output means, and whether it takes long; None if it says nothing new."""
    progress = re.match(r"Progress (\d+) of (\d+)", line)
    if progress and int(progress.group(2)):
        done, size = int(progress.group(1)), int(progress.group(2))
        return "downloading: %d %% of %.0f MB" % (100 * done // size, size / 1e6), False
    load = re.match(r"\s*(Downloading|Using cached) (?:\S*/)?([^\s/]+) \(([\d.]+) (B|kB|MB|GB)\)", line)
    if load and not load.group(2).endswith(".metadata"):
        name = "-".join(load.group(2).split("-")[:2])
        bytes_ = float(load.group(3)) * {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}[load.group(4)]
        weighty = load.group(1) == "Downloading" and bytes_ > 9e6
        return "%s %s (%s %s)" % (load.group(1).lower(), name, load.group(3), load.group(4)), weighty
    found = re.match(r"\s*Collecting ([A-Za-z0-9._-]+)", line)
    if found:
        return "finding " + found.group(1), False
    if line.startswith("Installing collected packages:"):
        return "unpacking %d packages" % (line.count(",") + 1), True
    if "Retrying (Retry" in line:
        return "the connection fails, trying again", True
    return None


# --- what pip's troubles mean ---

FULL_DISK = r"No space left on device|\[Errno 28\]|WinError 112|Disk quota exceeded"
NO_NETWORK = (
    r"Failed to establish a new connection|NewConnectionError|name resolution|Name or service not known|"
    r"getaddrinfo failed|nodename nor servname|ConnectTimeout|Read timed out|ReadTimeout|Network is unreachable|"
    r"Connection refused|ProxyError|Cannot connect to proxy|Max retries exceeded|Connection reset|"
    r"Connection aborted|RemoteDisconnected|IncompleteRead|Connection broken"
)
UNTRUSTED = r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"
NOT_FOUND = r"Could not find a version that satisfies the requirement (\S+)|No matching distribution found for (\S+)"


def explain(output: str, log: Path) -> str:
    """Turn what pip or venv printed before it failed into one sentence that says what to do."""
    after = "then call this again, it goes on from what is there (all of the output: %s)." % log
    missing = re.search(NOT_FOUND, output)
    if re.search(FULL_DISK, output):
        return "The disk is full: %s, %s" % (free_some(log.parent), after)
    if re.search(UNTRUSTED, output):
        return "The package index's certificate isn't trusted here: name the right one in PIP_CERT, " + after
    if re.search(NO_NETWORK, output):
        return "No network: pip can't reach its package index: connect, or set HTTPS_PROXY behind a proxy, " + after
    if missing:
        name = missing.group(1) or missing.group(2)
        remedy = "connect to the network, or mend pip's settings (PIP_NO_INDEX, pip.conf)"
        return "pip finds no %s: %s, %s" % (name, remedy, after)
    if "Permission denied" in output or "WinError 5]" in output:
        return "A file may not be written (%s): end programs that use .venv, %s" % (telling_line(output), after)
    return "The set-up failed with `%s`: mend that, %s" % (telling_line(output), after)


def telling_line(output: str) -> str:
    """Pick the last line that names an error, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error|\w*Error|Fatal)\b", line)]
    return (errors or lines or ["no output"])[-1][:200]


def free_some(folder: Path) -> str:
    """Say how much room the set-up needs and how much there is."""
    there = next(place for place in [folder] + list(folder.parents) if place.exists())
    free = shutil.disk_usage(str(there)).free / 1e9
    return "%s has %.1f GB free and the set-up needs about %.0f GB, so free some" % (there, free, NEEDED_GB)


# --- judging .venv ---

# Runs in .venv's own Python: which packages are there, and which of them lack (part of) a file that pip put there.
PROBE = r"""
import csv, json, pathlib, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
def whole(info):
    try:
        with open(info / "RECORD", encoding="utf-8", newline="") as record:
            rows = [row for row in csv.reader(record) if row and not row[0].endswith(".pyc")]
        return all((site / row[0]).stat().st_size == int(row[2] or (site / row[0]).stat().st_size) for row in rows)
    except (OSError, ValueError, IndexError):
        return False
infos = sorted(site.glob("*.dist-info"))
broken = [str(info) for info in infos if info.name.startswith("~") or not whole(info)]
found = [info.name[:-10] for info in infos if str(info) not in broken]
print(json.dumps({"python": sys.version_info[:2], "found": found, "broken": broken}))
"""


class Verdict(NamedTuple):
    """What has to be done with .venv, why, and what the probe found in it."""

    need: str
    why: str
    found: List[str]
    broken: List[str]


def venv_python(venv: Path) -> Path:
    """Give the path of an environment's interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def probe(venv: Path) -> Optional[Dict[str, Any]]:
    """Ask an environment's own Python what is installed; None if it does not run."""
    printed = output_of([str(venv_python(venv)), "-I", "-c", PROBE], seconds=120.0)
    try:
        return dict(json.loads(printed or ""))
    except ValueError:
        return None


def read_note(venv: Path) -> Dict[str, Any]:
    """Read what an earlier set-up noted in .venv; empty if there is nothing to read."""
    try:
        return dict(json.loads((venv / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_note(venv: Path, root: Path, key: str, packages: List[str]) -> None:
    """Note whose .venv this is and, by the key, that the set-up is complete ("" before it is)."""
    note = {"root": str(root), "key": key, "packages": packages}
    (venv / NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def key_of(root: Path) -> str:
    """Hash all that decides what a finished .venv holds."""
    asked = (root / "pyproject.toml").read_bytes() + (root / REQUIREMENTS).read_bytes()
    about = "|".join([SETUP_VERSION, platform.system(), platform.machine(), EXTRAS])
    return hashlib.sha256(asked + about.encode()).hexdigest()


def judge(root: Path, venv: Path) -> Verdict:
    """Say within a second whether .venv can be used, needs an installation, or has to be made anew."""
    seen = probe(venv) if venv_python(venv).exists() else None
    found, broken = (seen["found"], seen["broken"]) if seen else ([], [])
    note = read_note(venv)
    lost = sorted(set(note.get("packages", [])) - set(found))
    verdicts = [
        (REMAKE, "there is none yet", not venv.exists()),
        (REMAKE, "it is half-made", seen is None or not any(name.startswith("pip-") for name in found)),
        (REMAKE, "it belongs to another folder", note.get("root", str(root)) != str(root)),
        (REMAKE, "it is of another Python", seen is not None and tuple(seen["python"]) != sys.version_info[:2]),
        (INSTALL, "%s damaged" % " ".join(Path(path).name for path in broken[:2]), bool(broken)),
        (INSTALL, "an earlier set-up was not finished", not note.get("key")),
        (INSTALL, "other packages are asked for now", note.get("key") != key_of(root)),
        (INSTALL, "%s lost" % " ".join(lost[:2]), bool(lost)),
    ]
    need, why = next(((need, why) for need, why, applies in verdicts if applies), (READY, ""))
    return Verdict(need, why, found, broken)


# --- making and repairing .venv ---


def ensure_environment(root: Path, purpose: str) -> Path:
    """Make .venv, repair it, or find it ready; give its Python. `purpose` is what the last stage will be."""
    venv = root / ".venv"
    verdict = judge(root, venv)
    progress = Progress(2 if verdict.need == READY else 4)
    if verdict.need == READY:
        progress.stage(".venv is ready")
    else:
        set_up(root, venv, verdict, progress)
    progress.stage(purpose)
    return venv_python(venv)


def set_up(root: Path, venv: Path, verdict: Verdict, progress: Progress) -> None:
    """Walk the three stages to a finished .venv, from as far as it is already."""
    check_machine()
    if verdict.need == REMAKE:
        progress.stage("making .venv (%s)" % verdict.why)
        maker = base_python(venv)  # looked up first: this may be the very Python that is deleted next
        remove_venv(venv)
        check_room(root)
        make_venv(venv, maker)
    else:
        progress.stage("repairing .venv (%s)" % verdict.why)
        for info in verdict.broken:  # pip would take these packages for installed
            shutil.rmtree(info)
    write_note(venv, root, "", [])
    install_torch(root, venv, verdict.found if verdict.need == INSTALL else [], progress)
    progress.stage("installing MONAI, 3D Slicer's core and the rest")
    pip_install(root, venv, ["-e", ".[%s]" % EXTRAS], progress)
    finish(root, venv)


def check_machine() -> None:
    """Refuse early a machine that PyTorch has no build for."""
    bits = 64 if sys.maxsize > 2**32 else 32
    problem = machine_problem(platform.system(), platform.machine(), platform.mac_ver()[0], bits)
    if problem:
        raise SetupError(problem)


def check_room(root: Path) -> None:
    """Refuse early a disk that would be full before the end."""
    if shutil.disk_usage(str(root)).free < NEEDED_GB * 1e9:
        raise SetupError("The disk is too full: %s, then call this again." % free_some(root))


def make_venv(venv: Path, maker: str) -> None:
    """Make the environment with the venv of the Python `maker`."""
    made = subprocess.run(
        [maker, "-m", "venv", str(venv)],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = made.stdout.decode("utf-8", "replace")
    if made.returncode and re.search(r"ensurepip|No module named '?venv", output) and not re.search(FULL_DISK, output):
        remedy = "`apt install python%d.%d-venv` on Debian or Ubuntu" % sys.version_info[:2]
        raise SetupError("This Python can't make environments: %s, then call this again." % remedy)
    if made.returncode:
        raise SetupError(explain(output, venv / "setup.log"))


def remove_venv(venv: Path) -> None:
    """Delete an environment, and refuse to delete anything that doesn't look like one."""
    if not venv.exists() and not venv.is_symlink():
        return
    if not looks_like_venv(venv):
        raise SetupError("%s is no environment that this made: move it away, then call this again." % venv)
    try:
        shutil.rmtree(str(venv))
    except OSError as error:
        remedy = "end programs that use it, then call this again"
        raise SetupError("%s can't be deleted (%s): %s." % (venv, error, remedy)) from None


def looks_like_venv(folder: Path) -> bool:
    """Tell whether a folder is an environment or the beginning of one."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = {entry.name for entry in folder.iterdir()}
    return not names or bool(names & {"pyvenv.cfg", "bin", "lib", "include", "Scripts", "Lib", "Include", "setup.log"})


def base_python(venv: Path) -> str:
    """Give the interpreter that makes .venv: this one, or the one behind it where this is .venv's own."""
    if Path(sys.prefix).resolve() != venv.resolve():
        return sys.executable
    return str(getattr(sys, "_base_executable", "")) if os.name == "nt" else os.path.realpath(sys.executable)


def install_torch(root: Path, venv: Path, found: List[str], progress: Progress) -> None:
    """Install PyTorch in the build that suits this machine, unless it is there."""
    wanted, *beside = torch_requirements(root)
    there = [name for name in found if re.match(re.escape(wanted.replace("==", "-")) + r"(\+|$)", name)]
    if there:
        progress.stage("%s is there" % there[0])
        return
    check_room(root)
    progress.stage("installing PyTorch")
    source, cost = torch_source(platform.system(), has_nvidia(), reachable)
    if cost:
        progress.line("              " + cost)
    pip_install(root, venv, [wanted] + beside + source, progress)


def torch_requirements(root: Path) -> List[str]:
    """Read the pins of PyTorch, and of what is built for it, from pyproject.toml, their only place."""
    pins = re.findall(r'"(torch(?:vision)?==[^"]+)"', (root / "pyproject.toml").read_text(encoding="utf-8"))
    if not pins or not pins[0].startswith("torch=="):
        raise SetupError("pyproject.toml pins no torch: restore it, then call this again.")
    return list(pins)


def finish(root: Path, venv: Path) -> None:
    """Look once more at what was installed, and note that it is complete."""
    seen = probe(venv)
    if seen is None or seen["broken"]:
        log = venv / "setup.log"
        raise SetupError("What pip installed is not whole (all of the output: %s): call this again." % log)
    write_note(venv, root, key_of(root), seen["found"])


def child_environment() -> Dict[str, str]:
    """Give the environment variables for .venv's Python: the user's, less what would mix other packages in."""
    mixing = {"PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"}
    variables = {name: value for name, value in os.environ.items() if name not in mixing}
    variables.update(PYTHONNOUSERSITE="1", PYTHONUNBUFFERED="1", PYTHONUTF8="1")
    return variables


def pip_install(root: Path, venv: Path, arguments: List[str], progress: Progress) -> None:
    """Install with .venv's pip as the user has it configured, showing what it does and logging all of it."""
    variables = child_environment()
    variables.update(PIP_USER="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_COLOR="1")
    variables.setdefault("PIP_RETRIES", "2")  # a dead network is said in seconds, not minutes
    command = [str(venv_python(venv)), "-m", "pip", "install", "--progress-bar", progress_bar(venv)] + arguments
    lines = []
    with open(str(venv / "setup.log"), "a", encoding="utf-8") as log:
        log.write("\n$ %s\n" % " ".join(command))
        process = start(command, root, variables)
        for line in lines_of(process, progress.tick):
            doing = activity(line)
            if doing:
                progress.show(*doing)
            if not line.startswith("Progress "):
                log.write(line + "\n")
                lines.append(line)
    progress.wipe()
    if process.returncode:
        raise SetupError(explain("\n".join(lines[-80:]), venv / "setup.log"))


def start(command: List[str], folder: Path, variables: Dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process whose output, errors and all, is read here."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=str(folder), env=variables, stdin=nothing, stdout=pipe, stderr=subprocess.STDOUT
    )


def progress_bar(venv: Path) -> str:
    """Give pip's way to report bytes: as plain lines from 24.1 on, before that not at all."""
    version = re.match(r"pip (\d+)\.(\d+)", output_of([str(venv_python(venv)), "-m", "pip", "--version"]) or "")
    return "raw" if version and (int(version.group(1)), int(version.group(2))) >= (24, 1) else "off"


def lines_of(process: "subprocess.Popen[bytes]", tick: Callable[[], None]) -> Iterator[str]:
    """Yield a process's lines as they come, ticking while none does; end the process if the reader stops early."""
    lines = queue.Queue()  # type: queue.Queue[Optional[str]]

    def read() -> None:
        for raw in process.stdout or []:
            lines.put(raw.decode("utf-8", "replace").rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                tick()
                continue
            if line is None:
                break
            yield line
        process.wait()
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that still runs, kindly first."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# --- the commands ---


def demo(input_file: Optional[str], output: Optional[str]) -> int:
    """Run the main job on FILE, or on a torso CT made on the spot, and leave what it makes in a folder."""
    if input_file and not os.path.exists(input_file):
        raise SetupError("There is no %s: give --input a file or a DICOM folder." % input_file, code=2)
    arguments = ["-m", "DeepImagingLib.demo", "--output", os.path.abspath(output or str(ROOT / "demo"))]
    if input_file:
        arguments += ["--input", os.path.abspath(input_file)]
    return run_python(ensure_environment(ROOT, "running the demo"), arguments, child_environment())


def test(arguments: List[str]) -> int:
    """Run the tests in the same environment; what follows `test` goes to pytest."""
    python = ensure_environment(ROOT, "running the tests")
    variables = child_environment()
    variables.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))  # two workers share the cores
    return run_python(python, ["-m", "pytest", "-n", "2", "--dist", "loadfile"] + arguments, variables)


def run_python(python: Path, arguments: List[str], variables: Dict[str, str]) -> int:
    """Run .venv's Python in the repository's root and give its exit code."""
    code = subprocess.call([str(python)] + arguments, cwd=str(ROOT), env=variables)
    if code < 0:
        raise SetupError("It was ended by signal %d: where that is 9, the memory was probably full." % -code)
    return code


# Runs in Slicer, with ASKED defined above it. Settings of others stay as they are, letter by letter.
IN_SLICER = r"""
import json, os
import slicer
KEY = "Modules/AdditionalPaths"
def place(path):
    return os.path.normcase(os.path.realpath(slicer.app.toSlicerHomeAbsolutePath(path)))
try:
    settings = slicer.app.revisionUserSettings()
    value = settings.value(KEY) or []
    found = [value] if isinstance(value, str) else list(value)
    if ASKED["remove"]:
        wanted = [path for path in found if place(path) not in map(place, ASKED["folders"])]
    else:
        wanted = found + [path for path in ASKED["folders"] if place(path) not in map(place, found)]
    if ASKED["change"] and wanted != found:
        settings.setValue(KEY, wanted) if wanted else settings.remove(KEY)
        settings.sync()
    modules = [str(name) for name in slicer.app.moduleManager().modulesNames()]
    answer = {"version": str(slicer.app.applicationVersion), "pending": wanted != found, "modules": modules}
except Exception as error:
    answer = {"error": "%s: %s" % (type(error).__name__, error)}
with open(ASKED["answer"], "w", encoding="utf-8") as file:
    json.dump(answer, file)
slicer.util.exit(0)
"""


def install(given: Path, remove: bool, root: Path = ROOT) -> int:
    """Add this source tree's modules to those that a Slicer loads when it starts, or take them out again."""
    slicer = slicer_program(given)
    folders = [folder for folder in module_folders(root) if (folder / (folder.name + ".py")).exists()]
    before = ask_slicer(slicer, folders, remove, change=True)
    after = ask_slicer(slicer, folders, remove, change=False) if before["pending"] else before
    lost = [folder.name for folder in folders if folder.name not in after["modules"]]
    if after["pending"]:
        raise SetupError("%s did not keep its new settings: end it where it is open, then call this again." % slicer)
    if lost and not remove:
        where = "open it and look into its log (Help > Report a Bug) for the reason"
        raise SetupError("%s knows where %s lies but could not load it: %s." % (slicer, lost[0], where))
    names = ", ".join(folder.name for folder in folders)
    done = "no longer loads" if remove else "loads"
    print("Slicer %s %s %s from %s" % (after["version"], done, names, root), flush=True)
    return 0


def slicer_program(given: Path) -> Path:
    """Find the program in what was named as Slicer: itself, the folder that it lies in, or its app on macOS."""
    there = given.expanduser().absolute()
    inside = ("", "Slicer", "Slicer.exe", "Contents/MacOS/Slicer", "Slicer.app/Contents/MacOS/Slicer")
    for program in (there / name for name in inside):
        if program.is_file() and os.access(str(program), os.X_OK):
            return program
    what = "is no Slicer" if there.exists() else "is not there"
    raise SetupError("%s %s: name the program Slicer or the folder that it lies in." % (there, what), code=2)


def ask_slicer(slicer: Path, folders: List[Path], remove: bool, change: bool) -> Dict[str, Any]:
    """Start Slicer without a window, and read from a file what it answers: on Windows it can't print."""
    with tempfile.TemporaryDirectory() as scratch:
        script, answer = Path(scratch) / "in_slicer.py", Path(scratch) / "answer.json"
        paths = [folder.as_posix() for folder in folders]
        asked = {"folders": paths, "remove": remove, "change": change, "answer": str(answer)}
        script.write_text("ASKED = %r\n%s" % (asked, IN_SLICER), encoding="utf-8")
        command = [str(slicer), "--no-splash", "--no-main-window", "--ignore-slicerrc", "--exit-after-startup"]
        try:
            output_of(command + ["--python-script", str(script)], seconds=SLICER_SECONDS)
            told = dict(json.loads(answer.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            why = "ended, or took over %.0f s" % SLICER_SECONDS
            raise SetupError("%s %s without an answer: name the program Slicer itself." % (slicer, why)) from None
    if "error" in told:
        raise SetupError("%s can't be set up (%s): mend that, then call this again." % (slicer, told["error"]))
    return told


def package(target: Path, root: Path = ROOT) -> int:
    """Copy the tree that a build of the extension installs: modules, library, bundles and licence."""
    files = installed_files(root)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SetupError("%s is not empty: name a new folder." % target, code=2)
    try:
        for name, source in sorted(files.items()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(source), str(target / name))
    except OSError as error:
        shutil.rmtree(str(target), ignore_errors=True)
        remedy = "make room there, or name another folder"
        raise SetupError("%s can't be written (%s): %s." % (target, error, remedy)) from None
    print("%d files in %s" % (len(files), target), flush=True)
    return 0


def installed_files(root: Path) -> Dict[str, Path]:
    """Map each installed file's name to its source; modules lie flat and share one Resources folder."""
    sources = [(root, root / name) for name in ("DeepImagingLib", "Resources/Bundles", "LICENSE")]
    sources += [(folder, entry) for folder in module_folders(root) for entry in module_entries(folder)]
    files = {}  # type: Dict[str, Path]
    for base, entry in sources:
        for source in shipped(entry):
            name = source.relative_to(base).as_posix()
            if name in files:
                raise SetupError("%s and %s would be installed as one file: rename one." % (files[name], source))
            files[name] = source
    return files


def module_folders(root: Path) -> List[Path]:
    """List the folders that hold module files: DeepImaging/ and those in it that are no package."""
    top = root / "DeepImaging"
    inner = [path for path in sorted(top.glob("*")) if path.is_dir() and not (path / "__init__.py").exists()]
    return [top] + [path for path in inner if path.name not in ("Resources", "Testing", "__pycache__")]


def module_entries(folder: Path) -> List[Path]:
    """List what is installed of a module folder: its module files, its packages and its resources."""
    packages = [path.parent for path in sorted(folder.glob("*/__init__.py"))]
    return sorted(folder.glob("*.py")) + packages + [folder / "Resources"]


def shipped(entry: Path) -> List[Path]:
    """List the files of a file or folder that are installed: no caches, no tests, nothing hidden."""
    if entry.is_file():
        return [entry]
    left_out = {"__pycache__", "Testing", "tests"}
    files = [path for path in sorted(entry.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    return [f for f in files if not any(p in left_out or p.startswith(".") for p in f.relative_to(entry).parts)]


def parse(argv: List[str]) -> argparse.Namespace:
    """Read the command line; all that follows `test` is pytest's."""
    parser = argparse.ArgumentParser(prog="setup_extension.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", metavar="demo | test | install | package")
    commands.required = True
    for_demo = commands.add_parser("demo", help="set up, then run the main job and show what it made")
    for_demo.add_argument("--input", metavar="FILE", help="a scan of your own (default: a torso CT made on the spot)")
    for_demo.add_argument("--output", metavar="DIR", help="where the results go (default: demo/ beside this file)")
    commands.add_parser("test", help="set up, then run the tests; further arguments go to pytest", add_help=False)
    for_install = commands.add_parser("install", help="let a 3D Slicer load the modules of this folder")
    for_install.add_argument("--slicer", metavar="PATH", type=Path, required=True, help="the program, folder or app")
    for_install.add_argument("--remove", action="store_true", help="let it load them no longer")
    for_package = commands.add_parser("package", help="copy the tree that a build of the extension installs")
    for_package.add_argument("folder", metavar="DIR", type=Path, help="a new or empty folder")
    if argv[:1] == ["test"]:
        return argparse.Namespace(command="test", arguments=argv[1:])
    return parser.parse_args(argv)


def run_command(argv: List[str]) -> int:
    """Run what the command line asks for and give the exit code."""
    asked = parse(argv)
    if asked.command == "demo":
        return demo(asked.input, asked.output)
    if asked.command == "test":
        return test(asked.arguments)
    if asked.command == "install":
        return install(asked.slicer, asked.remove)
    return package(asked.folder)


def main(argv: Optional[List[str]] = None) -> int:
    """Run a command; whatever goes wrong becomes one sentence and an exit code."""
    problem = python_problem(sys.version_info[:3], fitting_python)
    try:
        if problem:
            raise SetupError(problem, code=2)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a path may not fit the console's encoding
        return run_command(sys.argv[1:] if argv is None else argv)
    except SetupError as error:
        sentence, code = str(error), error.code
    except KeyboardInterrupt:
        sentence, code = "Stopped; the next call goes on from what is there.", 130
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        sentence = "The disk is full: %s." % free_some(ROOT) if full else "%s: mend that, then call this again." % error
        code = 1
    print("\n" * sys.stdout.isatty() + sentence, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that pip ends with this, as on Ctrl-C
    sys.exit(main())
