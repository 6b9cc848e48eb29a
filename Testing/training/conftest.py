"""A tiny recipe, and a training by it that ran through."""

from __future__ import annotations

from pathlib import Path

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
    """Four scans with a stone and a spleen; no test may change them."""
    return tiny.write_scans(tmp_path_factory.mktemp("scans"))
