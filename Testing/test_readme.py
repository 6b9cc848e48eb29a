"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made torso as `ct.nii.gz` in the current folder."""
    from DeepImagingLib.phantoms import torso_ct

    images, _ = torso_ct.sample(1_000_001, (8.0, 8.0, 8.0))
    image = images["ct"]
    monkeypatch.chdir(tmp_path)
    nibabel.save(nibabel.Nifti1Image(image.numpy()[0], np.asarray(image.affine)), "ct.nii.gz")
    return tmp_path


def test_the_library_script_runs(scan: Path) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    exec(compile(_script("from DeepImagingLib import"), "README.md", "exec"), {})
    assert (scan / "organs.seg.nrrd").stat().st_size > 0


def test_the_panel_script_runs_without_its_panel(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("slicer", "PySide6"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from Testing.panels.standins import install

    install()
    monkeypatch.syspath_prepend(str(ROOT / "DeepImaging" / "DeepSegmentation"))
    names: dict[str, object] = {}
    exec(compile(_script("from DeepSegmentation import"), "README.md", "exec"), names)
    assert (scan / "panel.seg.nrrd").stat().st_size > 0
    assert names["segmentationNode"].GetSegmentation().GetNumberOfSegments() == 25
    names["slicer"].mrmlScene.Clear()


def _script(holds: str) -> str:
    """The one script of the README that holds these words."""
    (found,) = (block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if holds in block)
    return found


def test_the_first_command_line_runs(scan: Path) -> None:
    from DeepImagingLib.cli import main

    command = next(line for line in README.splitlines() if "DeepImagingLib run ct.nii.gz" in line)
    assert main(command.split("DeepImagingLib ")[1].split()) == 0
    assert {path.name for path in (scan / "out").iterdir()} == {"organs.seg.nrrd", "scene.mrb"}


def test_every_file_it_names_is_there() -> None:
    for name in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / name).exists(), name
