"""The script that runs a batch in Slicer, here in plain Python and with a stand-in for Slicer's way to leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.command_line.conftest import write_scan

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "Resources" / "Examples" / "batch_in_slicer.py"


@pytest.fixture
def example(tmp_path):
    """Call the script as Slicer does; returns its exit code and what it printed."""

    def call(*words: object, path: Path = ROOT) -> tuple[int, str]:
        command = [sys.executable, str(SCRIPT), *map(str, words)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    return call


def test_it_segments_what_it_can_and_says_so(example, bundle, tmp_path) -> None:
    (tmp_path / "scans").mkdir()
    write_scan(tmp_path / "scans" / "good.nii.gz")
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(b"no image")
    code, said = example("--", "scans", "out", bundle)
    assert code == 1
    assert "bad: 'bad.nii.gz' is not a readable NIfTI file" in said
    assert {path.name for path in (tmp_path / "out").glob("good*")} == {"good.json", "good.seg.nrrd"}


def test_in_slicer_it_leaves_by_slicers_own_exit(example, tmp_path) -> None:
    """Slicer has imported itself before it runs a script; a start-up file of Python does that here."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "slicer = sys.modules['slicer'] = types.ModuleType('slicer')\n"
        "slicer.app = object()\n"
        "slicer.util = types.SimpleNamespace(exit=lambda status: print(f'Slicer ends with {status}'))\n"
    )
    code, said = example("--", "absent", "out", path=tmp_path)
    assert code == 0, "the process goes on: Slicer ends it later"
    assert "Slicer ends with 2" in said


def test_wrong_words(example) -> None:
    assert example("--", "only one")[0] == 2
