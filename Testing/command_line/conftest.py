"""A bundle, a scan and a way to call the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from DeepImagingLib.cli import main
from Testing.bundles import make_bundles as make
from Testing.grids import affine

GRID = affine("LPS", (2.0, 2.0, 2.5), (40, 30, 20))


@dataclass
class Outcome:
    """What a call printed and returned."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the command line with words."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spleen-like bundle with random weights; no test may change it."""
    return make.write_spleen_like(tmp_path_factory.mktemp("models") / "spleen_like")


@pytest.fixture(scope="session")
def brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of four named channels."""
    return make.write_brats_like(tmp_path_factory.mktemp("models") / "brats_like")


def write_scan(path: Path, seed: int = 0, **changes: object) -> Path:
    """Write a small made-up CT; `changes` replace its voxels ("array") or its grid ("grid")."""
    array = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(36, 32, 28)), 2) * 1500 + 50
    array = np.asarray(changes.get("array", array.astype(np.int16)))
    nibabel.save(nibabel.Nifti1Image(array, np.asarray(changes.get("grid", GRID))), path)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A made-up CT as NIfTI."""
    return write_scan(tmp_path / "scan.nii.gz")
