"""What several tests share: where real scans are, grids of every orientation, small images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
DATA_VARIABLE = "DEEPIMAGING_TEST_DATA"


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """The folder of real scans; the test is skipped where it is absent."""
    folder = Path(os.environ.get(DATA_VARIABLE) or HERE.parents[1] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real scans are not here; name their folder in {DATA_VARIABLE}")
    return folder


@pytest.fixture
def blob() -> np.ndarray:
    """(20, 24, 16) int16: a bright, lopsided ball on dark noise, in no way symmetric."""
    rng = np.random.default_rng(0)
    i, j, k = np.mgrid[0:20, 0:24, 0:16]
    inside = (i - 7) ** 2 + (j - 14) ** 2 + (1.5 * (k - 6)) ** 2 < 25
    return (np.where(inside, 200, -500) + rng.integers(-20, 20, inside.shape)).astype(np.int16)


@pytest.fixture(autouse=True)
def own_model_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own models out of the tests."""
    monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path_factory.getbasetemp() / "no-models"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on many threads, and much slower where the tests themselves run in parallel."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
