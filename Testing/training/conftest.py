"""A tiny recipe, and a training by it that ran through."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.inference.threads import one_thread
from DeepImagingLib.training import Trainer, load_recipe
from Testing.training import tiny


def make_trainer(recipe: Path, output: Path, **settings: object) -> Trainer:
    """Make the trainer of a recipe that is trusted."""
    return load_recipe(str(recipe), fingerprint(recipe)).trainer("cpu", {"output_dir": str(output), **settings})


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny recipe; no test may change it."""
    return tiny.write(tmp_path_factory.mktemp("recipes") / "tiny")


@pytest.fixture(scope="session")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a training by it; no test may change it."""
    with one_thread():  # as all tests; this fixture is made before that of each test
        return make_trainer(recipe, tmp_path_factory.mktemp("trained") / "tiny").run()


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scans of noise with a bright and a dark block."""
    folder = tmp_path_factory.mktemp("scans")
    affine = np.diag([1.5, 1.5, 2.0, 1.0])
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(4):
        values = rng.normal(40, 10, (24, 22, 20)).astype(np.float32)
        labels = np.zeros(values.shape, np.uint8)
        labels[4:12, 4:12, 4:12], labels[14:20, 4:12, 4:12] = 1, 2
        values += np.array((0, 80, -80))[labels]
        nibabel.save(nibabel.Nifti1Image(values, affine), folder / "images" / f"secret{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "labels" / f"secret{number}.nii.gz")
    return folder
