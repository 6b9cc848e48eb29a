"""The shipped classifier of chest radiographs knows what is one and what isn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from DeepImagingLib import Options, run
from DeepImagingLib.files import as_image
from DeepImagingLib.phantoms import chest_xray, torso_ct
from DeepImagingLib.results import Classification

MODEL = "chest_xray_findings_small"
WEIGHTS = Path(__file__).parents[2] / "Resources" / "Bundles" / MODEL / "models" / "model.pt"
pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"{MODEL} has no weights yet")
SEED = 1_000_700
AFFINE = np.diag([-0.75, -0.75, 1.0, 1.0])

Picture = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def radiographs() -> list[Picture]:
    """Four of one body, (I, J) from 0 to 1, air dark."""
    body = torso_ct.draw(SEED, chest_xray.BODY_SPACING, chest_xray.BODY_SIZE)
    shots = [chest_xray.expose(body, SEED + n, photometric="MONOCHROME2")[0]["cxr"] for n in range(4)]
    return [shot.numpy()[0] / (2 ** shot.meta["bits"] - 1) for shot in shots]


def classified(picture: Picture) -> Classification:
    result = run(MODEL, as_image(np.ascontiguousarray(picture[None], np.float32), AFFINE), Options())
    assert isinstance(result, Classification)
    return result


def test_a_made_radiograph_is_a_chest(radiographs: list[Picture]) -> None:
    assert not any(classified(picture).is_unlike for picture in radiographs)


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: 1 - picture,
        lambda picture: picture[:, ::-1],
        np.rot90,
    ],
    ids=["inverted", "upside down", "on its side"],
)
def test_one_that_is_shown_otherwise_is_told(radiographs: list[Picture], change: Callable[[Picture], Picture]) -> None:
    assert all(classified(change(picture)).is_unlike for picture in radiographs)


@pytest.mark.parametrize(
    "picture",
    [np.random.default_rng(0).random((300, 300)), np.indices((300, 300)).sum(axis=0) // 40 % 2],
    ids=["noise", "chequered"],
)
def test_what_is_none_is_told(picture: Picture) -> None:
    assert classified(picture).is_unlike


def test_the_labels_are_told_without_the_one_that_tells_this(radiographs: list[Picture]) -> None:
    assert classified(radiographs[0]).labels == (
        "cardiomegaly", "effusion", "pneumothorax", "nodule", "consolidation", "no finding",
    )  # fmt: skip
