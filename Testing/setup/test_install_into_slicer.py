"""`setup_extension.py install` against a stand-in for the Slicer program: a real one can't be had here.

The stand-in is started as Slicer is, runs the script it is given over settings in a file, and then has loaded the
modules in the folders that its settings named when it started.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEY = "Modules/AdditionalPaths"
SLICER = """
import json, pathlib, sys, types
store = pathlib.Path({store!r})
on_disk = json.loads(store.read_text())
started_with = on_disk.get({key!r}) or []
started_with = [started_with] if isinstance(started_with, str) else started_with

class Settings:
    def value(self, name):  # as QSettings: a list of one comes back as that one
        value = on_disk.get(name)
        return value[0] if isinstance(value, list) and len(value) == 1 else value
    def setValue(self, name, value):
        on_disk[name] = list(value)
    def remove(self, name):
        on_disk.pop(name, None)
    def sync(self):
        if not on_disk.get("read only"):
            store.write_text(json.dumps(on_disk))

assert "--no-main-window" in sys.argv and sys.argv[-2] == "--python-script"
loaded = [file.stem for folder in started_with for file in pathlib.Path(folder).glob("*.py")]
if on_disk.get("broken"):
    loaded = []
app = types.SimpleNamespace(
    revisionUserSettings=Settings,
    applicationVersion="5.10.0",
    toSlicerHomeAbsolutePath=lambda path: path if pathlib.Path(path).is_absolute() else "/slicer/home/" + path,
    moduleManager=lambda: types.SimpleNamespace(modulesNames=lambda: ("Data", *loaded)),
)
sys.modules["slicer"] = types.SimpleNamespace(app=app, util=types.SimpleNamespace(exit=sys.exit))
with open(store.with_name("starts"), "a") as starts:
    starts.write("x")
exec(compile(pathlib.Path(sys.argv[-1]).read_text(encoding="utf-8"), sys.argv[-1], "exec"), {{"__name__": "__main__"}})
"""


class Slicer:
    """A stand-in's folder, its settings, and how often it was started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "Slicer"
        self.store = folder / "settings.json"
        folder.mkdir()
        self.write({})
        script = folder / "stand_in.py"
        script.write_text(SLICER.format(store=str(self.store), key=KEY), encoding="utf-8")
        # By way of a shell: the first line of a script can't name an interpreter whose path has spaces.
        self.program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
        self.program.chmod(0o755)

    def write(self, settings: dict[str, object]) -> None:
        self.store.write_text(json.dumps(settings), encoding="utf-8")

    @property
    def paths(self) -> object:
        return json.loads(self.store.read_text(encoding="utf-8")).get(KEY)

    @property
    def starts(self) -> int:
        there = self.store.with_name("starts")
        return len(there.read_text()) if there.exists() else 0


@pytest.fixture
def slicer(tmp_path: Path) -> Slicer:
    """A Slicer that was never told of us."""
    if sys.platform == "win32":
        pytest.skip("the stand-in is a shell script, which Windows doesn't start")
    return Slicer(tmp_path / "Slicer-5.10.0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A source tree with two modules and a shared package; its path has a space and an umlaut."""
    root = tmp_path / "a pröject"
    for name in ("One/One.py", "Two/Two.py", "DeepImagingPanel/__init__.py"):
        (root / "DeepImaging" / name).parent.mkdir(parents=True)
        (root / "DeepImaging" / name).touch()
    shutil.copy(ROOT / "setup_extension.py", root)
    return root


def install(project: Path, slicer: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Call the command as one would in a terminal."""
    command = [sys.executable, str(project / "setup_extension.py"), "install", "--slicer", str(slicer), *more]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)


def folders(project: Path) -> list[str]:
    return [str(project / "DeepImaging" / name) for name in ("One", "Two")]


def test_the_module_folders_are_added_and_seen_to_be_loaded(slicer: Slicer, project: Path) -> None:
    done = install(project, slicer.program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Slicer 5.10.0 loads One, Two from {project}\n"
    assert slicer.paths == folders(project)
    assert slicer.starts == 2


def test_a_second_call_changes_nothing(slicer: Slicer, project: Path) -> None:
    install(project, slicer.program)
    done = install(project, slicer.program)
    assert done.returncode == 0
    assert slicer.paths == folders(project)
    assert slicer.starts == 3


@pytest.mark.parametrize("others", ["/other/module", ["/other/module"], ["relative/one", "/other/module"]])
def test_paths_of_others_stay_letter_by_letter(slicer: Slicer, project: Path, others: str | list[str]) -> None:
    slicer.write({KEY: others})
    theirs = [others] if isinstance(others, str) else others
    assert install(project, slicer.program).returncode == 0
    assert slicer.paths == [*theirs, *folders(project)]
    assert install(project, slicer.program, "--remove").returncode == 0
    assert slicer.paths == theirs


def test_removing_leaves_nothing(slicer: Slicer, project: Path) -> None:
    install(project, slicer.program)
    done = install(project, slicer.program, "--remove")
    assert done.stdout.startswith("Slicer 5.10.0 no longer loads One, Two")
    assert slicer.paths is None


def test_the_folder_of_slicer_will_do(slicer: Slicer, project: Path) -> None:
    assert install(project, slicer.folder).returncode == 0


def test_the_app_of_macos_will_do(slicer: Slicer, project: Path, tmp_path: Path) -> None:
    inside = tmp_path / "Slicer.app" / "Contents" / "MacOS"
    inside.mkdir(parents=True)
    shutil.copy(slicer.program, inside)
    assert install(project, tmp_path / "Slicer.app").returncode == 0
    assert slicer.paths == folders(project)


def test_settings_that_are_not_kept_are_noticed(slicer: Slicer, project: Path) -> None:
    slicer.write({"read only": True})
    assert refusal(project, slicer.program, code=1).endswith("end it where it is open, then call this again.")


def test_modules_that_do_not_load_are_noticed(slicer: Slicer, project: Path) -> None:
    slicer.write({"broken": True})
    assert "could not load it" in refusal(project, slicer.program, code=1)


def test_what_is_not_there_is_said(project: Path, tmp_path: Path) -> None:
    assert "is not there: name the program Slicer" in refusal(project, tmp_path / "nowhere", code=2)


def test_a_folder_without_slicer_is_said(project: Path, tmp_path: Path) -> None:
    assert f"{tmp_path} is no Slicer" in refusal(project, tmp_path, code=2)


def test_another_program_is_said(project: Path) -> None:
    assert "without an answer: name the program Slicer itself" in refusal(project, Path("/bin/ls"), code=1)


def refusal(project: Path, slicer: Path, *, code: int) -> str:
    """The one sentence of a call that fails."""
    done = install(project, slicer)
    assert done.returncode == code, done.stdout + done.stderr
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1
    return done.stderr.strip()
