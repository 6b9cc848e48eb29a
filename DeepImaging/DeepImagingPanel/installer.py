"""Installing into Slicer's Python what the library runs on: planned, told line by line, checked and repaired."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from DeepImagingLib.errors import DeepImagingError
from DeepImagingLib.hosts.process import interpreter
from DeepImagingPanel.requirements import NEVER, TORCH, Needed, installed, needed

REQUESTER = "DeepImaging"
DAMAGED = "damaged"
CHECK_SECONDS = 300.0
_NOT_FOUND = re.compile(r"(?:satisfies the requirement|No matching distribution found for) ([\w.-]+)")
_IMPORTER = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        print("damaged", name, flush=True)
    else:
        print("whole", name, flush=True)
"""


class InstallError(DeepImagingError):
    """What is needed is not there yet; says what to do next."""


@dataclass(frozen=True)
class Item:
    """A package to install, and why: "not installed", "1.5.0 is installed" or `DAMAGED`."""

    package: Needed
    why: str

    @property
    def told(self) -> str:
        """Say why."""
        return _("damaged") if self.why == DAMAGED else self.why


@dataclass(frozen=True)
class Plan:
    """What will be installed; false where there is nothing to do."""

    items: tuple[Item, ...]

    def __bool__(self) -> bool:
        return bool(self.items)

    @property
    def size(self) -> str:
        """Say how much there is to download."""
        return _megabytes(sum(i.package.least for i in self.items), sum(i.package.most for i in self.items))

    def lines(self) -> list[str]:
        """Say of each package what will be installed, how large it is and why."""
        return [f"{i.package.asked}, {_megabytes(i.package.least, i.package.most)} ({i.told})" for i in self.items]


def _megabytes(least: float, most: float) -> str:
    if least == most:
        return _("about {size} MB").format(size=f"{most:.3g}")
    return _("{least} to {most} MB").format(least=f"{least:.0f}", most=f"{most:.0f}")


class Installer:
    """Installs what is needed when the user says so; nothing is downloaded or imported before.

    Example:
        installer = Installer()
        if plan := installer.plan():
            print(plan.size, *plan.lines(), sep="\\n")
            installer.install(print)
    """

    def plan(self, look_closer: bool = False) -> Plan:
        """Say what is missing, from what pip has noted alone.

        Args:
            look_closer: Import what is there as well, in a second interpreter, and plan to repair what fails.
        """
        items = [Item(package, _why(package)) for package in needed() if not package.isFound()]
        if look_closer:
            items += [Item(package, DAMAGED) for package in _damaged([one for one in needed() if one.isFound()])]
        return Plan(tuple(items))

    def install(self, log: Callable[[str], None], from_folder: str | os.PathLike[str] | None = None) -> None:
        """Install what is missing, import it to see that it works, and install again what doesn't.

        After a failure it can be called again, and goes on from what is there.

        Args:
            log: Is given each line of what pip says, as it comes.
            from_folder: A folder of wheels: nothing is downloaded then.

        Raises:
            InstallError: Something is still missing or damaged.
        """
        said: list[str] = []
        try:
            with contextlib.redirect_stdout(_Lines([said.append, log])):
                for _attempt in range(2):
                    if not (plan := self._toDo()):
                        return
                    _carryOut(plan, None if from_folder is None else Path(from_folder))
                plan = self._toDo()
        except DeepImagingError:
            raise
        except Exception as error:  # pip's, Slicer's or PyTorchUtils' own
            raise InstallError(_sentence("\n".join([*said[-80:], str(error)]), from_folder)) from error
        if plan:
            names = ", ".join(f"{item.package.name} ({item.told})" for item in plan.items)
            raise InstallError(
                _("The installation ended without an error, but left {names}: restart Slicer, {again}.").format(
                    names=names, again=_again()
                )
            )

    def _toDo(self) -> Plan:
        return self.plan() or self.plan(look_closer=True)


def offlineCommand() -> str:
    """Return what to run on a connected computer of the same kind to fill a folder for `install(from_folder=…)`."""
    packages = " ".join(f'"{package.asked}"' for package in needed())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"python{version} -m pip download --only-binary :all: --dest wheels {packages}"


# --- what is there ---


def _why(package: Needed) -> str:
    found = installed(package.name)
    return _("{version} is installed").format(version=found) if found else _("not installed")


def _damaged(packages: Sequence[Needed]) -> list[Needed]:
    """Return which packages can't be imported; where that is PyTorch, it alone, since others fail by it."""
    broken: list[Needed] = []
    left = list(packages)
    while left:
        verdicts = _imported([package.module for package in left])
        broken += [package for package, verdict in zip(left, verdicts) if verdict != f"whole {package.module}"]
        left = left[len(verdicts) :]
        broken += left[:1]  # it took the interpreter down, or hung
        left = left[1:]
    torch = [package for package in broken if package.name == TORCH]
    return torch or broken


def _imported(modules: Sequence[str]) -> list[str]:
    """Import modules in a second interpreter, while Slicer goes on, and return its verdicts as far as it came."""
    process = subprocess.Popen(
        [interpreter(), "-c", _IMPORTER, *modules],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    deadline = time.monotonic() + CHECK_SECONDS
    while True:
        try:
            said = process.communicate(timeout=0.05)[0]
            return [line for line in said.splitlines() if line.startswith(("whole ", "damaged "))]
        except subprocess.TimeoutExpired:
            slicer.app.processEvents()
            if time.monotonic() > deadline:
                process.kill()


# --- installing ---


def _carryOut(plan: Plan, folder: Path | None) -> None:
    rest = [item for item in plan.items if item.package.name != TORCH]
    for item in plan.items:
        if item.package.name == TORCH:
            _installTorch(item, folder)
    repaired = [item.package.asked for item in rest if item.why == DAMAGED]
    missing = [item.package.asked for item in rest if item.why != DAMAGED]
    with _constraints([*NEVER, TORCH]) as constraints:
        if repaired:
            _pip([*repaired, "--force-reinstall", "--no-deps"], constraints, folder)
        if missing and folder is None and _canEnsure():
            slicer.packaging.pip_ensure(missing, constraints=constraints, prompt_install=False, requester=REQUESTER)
        elif missing:
            _pip(missing, constraints, folder)


def _installTorch(item: Item, folder: Path | None) -> None:
    """Have PyTorchUtils install PyTorch; it knows no folders, so from one pip takes what the user put there."""
    if folder is not None:
        repair = ["--force-reinstall", "--no-deps"] if item.why == DAMAGED else []
        with _constraints(NEVER) as constraints:
            return _pip([item.package.asked, *repair], constraints, folder)
    try:
        import PyTorchUtils
    except ImportError as error:
        raise InstallError(
            _(
                "PyTorch comes through Slicer's extension PyTorch, which is not installed: get it in the Extensions "
                "Manager (View menu), restart Slicer, then install again."
            )
        ) from error
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if item.why == DAMAGED:
        logic.uninstallTorch()
    if logic.installTorch(askConfirmation=True, torchVersionRequirement=item.package.versions) is None:
        raise InstallError(_("PyTorch was not installed, since that was declined: install again when it suits you."))
    return None


def _canEnsure() -> bool:
    """Tell whether this Slicer has `slicer.packaging`, as from 5.11 on."""
    try:
        import slicer.packaging
    except ImportError:
        return False
    return hasattr(slicer.packaging, "pip_ensure")


def _pip(arguments: Sequence[str], constraints: str, folder: Path | None) -> None:
    source = [] if folder is None else ["--no-index", "--find-links", str(folder)]
    slicer.util.pip_install([*arguments, "-c", constraints, *source])


@contextlib.contextmanager
def _constraints(names: Sequence[str]) -> Iterator[str]:
    """Give a file by which pip leaves these packages as they are, and installs none that isn't there."""
    found = {name: installed(name) for name in names}
    lines = [f"{name}=={version}" if version else f"{name}<0" for name, version in found.items()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("\n".join(lines), encoding="utf-8")
        yield str(file)


# --- telling ---


class _Lines(io.TextIOBase):
    """Passes on, line by line, what is printed: pip's output reaches us no other way in every Slicer."""

    def __init__(self, listeners: Sequence[Callable[[str], object]]) -> None:
        self._listeners = listeners
        self._console = sys.stdout
        self._rest = ""

    def write(self, text: str) -> int:
        self._console.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            for listener in self._listeners:
                listener(line)
        return len(text)

    def flush(self) -> None:
        self._console.flush()


def _sentence(said: str, folder: str | os.PathLike[str] | None) -> str:
    """Turn what was said before a failure into one sentence with the next step."""
    for pattern, sentence in _troubles().items():
        if re.search(pattern, said):
            return sentence.format(again=_again())
    absent = _NOT_FOUND.search(said)
    if absent and folder is not None:
        sentence = _("The folder {folder} has no wheel of {name} that fits here: put it there, {again}.")
        return sentence.format(folder=folder, name=absent[1], again=_again())
    if absent:
        sentence = _("pip finds no {name} for this Slicer: connect to the network, or mend pip's settings, {again}.")
        return sentence.format(name=absent[1], again=_again())
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error|\w*Error)\b", line)]
    last = (errors or lines or [_("nothing was said")])[-1][:200]
    return _("The installation failed ({reason}): mend that, {again}.").format(reason=last, again=_again())


def _again() -> str:
    return _("then install again: it goes on from what is there")


def _troubles() -> dict[str, str]:
    """Return what is known to go wrong, by what is said then."""
    return {
        r"No space left|\[Errno 28\]|WinError 112|quota exceeded": _("The disk is full: free some space, {again}."),
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed": _(
            "The package index's certificate isn't trusted here: name the right one in PIP_CERT, {again}."
        ),
        r"NewConnectionError|name resolution|Name or service not known|getaddrinfo failed|nodename nor servname|"
        r"[Tt]imed? ?out|unreachable|ProxyError|to proxy|Max retries|Connection (refused|reset|aborted|broken)": _(
            "The package index can't be reached: connect, set HTTPS_PROXY behind a proxy, or choose a folder of "
            "wheels, {again}."
        ),
        r"Permission denied|Access is denied|WinError 5\b|WinError 32": _(
            "A file of Slicer's Python can't be written: restart Slicer with no other one open, {again}."
        ),
    }
