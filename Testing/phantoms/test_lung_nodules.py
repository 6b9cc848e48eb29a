"""Lung nodules: where the truth says they are, of the size it says, and only in lungs."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import lung_nodules, torso_ct
from DeepImagingLib.phantoms.lung_nodules import Nodule, Place, add_nodules
from DeepImagingLib.phantoms.torso import Material, Organ

SPACING = (1.25, 1.25, 1.25)


@pytest.fixture(scope="module")
def lung() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Nodule, ...]]:
    """Return materials before and after, the affine, and the nodules painted between."""
    before, organs, affine = torso_ct.draw(1_000_001, SPACING, (340, 240, 50), center=lung_nodules.CHEST)
    after = before.copy()
    nodules = lung_nodules.add_nodules(after, organs, affine, np.random.default_rng(1), count=6)
    assert np.isin(organs[after != before], (Organ.RIGHT_LUNG, Organ.LEFT_LUNG)).all()
    return before, after, affine, nodules


def test_nodules_have_the_diameters_of_the_truth(lung: tuple) -> None:
    before, after, affine, nodules = lung
    assert nodules
    kinds = (Material.NODULE, Material.SUBSOLID_NODULE)
    changed = np.argwhere(np.isin(after, kinds) & ~np.isin(before, kinds))
    points = changed @ affine[:3, :3].T + affine[:3, 3]
    for nodule in nodules:
        away = np.linalg.norm(points - nodule.center, axis=1)
        volume = (away < nodule.diameter / 2 + 0.1).sum() * np.prod(SPACING)
        assert 4 <= nodule.diameter <= 30
        assert 0.4 < volume / (np.pi / 6 * nodule.diameter**3) < 1.3


def test_every_changed_voxel_belongs_to_a_nodule(lung: tuple) -> None:
    before, after, affine, nodules = lung
    points = np.argwhere(before != after) @ affine[:3, :3].T + affine[:3, 3]
    gaps = [np.linalg.norm(points - n.center, axis=1) - n.diameter * (1 if n.spiculated else 0.5) for n in nodules]
    assert np.min(gaps, axis=0).max() <= 1


def test_nodules_lie_in_the_image_as_a_whole() -> None:
    organs = np.full((60, 60, 60), Organ.RIGHT_LUNG, np.uint8)
    for seed in range(6):
        materials = np.full(organs.shape, Material.LUNG, np.uint8)
        nodules = add_nodules(materials, organs, np.eye(4), np.random.default_rng(seed), 8)
        assert nodules and all(nodule.place is not Place.PLEURA for nodule in nodules), "there is no pleura"
        for nodule in nodules:
            assert nodule.diameter / 2 <= min(nodule.center) and max(nodule.center) <= 59 - nodule.diameter / 2


def test_a_coarse_spacing_is_refused() -> None:
    with pytest.raises(InputError, match=r"1\.25 mm or less"):
        lung_nodules.sample(0, (3, 3, 3))


@pytest.fixture(scope="module")
def chests() -> list[tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Nodule, ...]]]:
    """Return materials before, organs, affine and nodules of three chests."""
    drawn = []
    for seed in range(1_000_002, 1_000_005):
        before, organs, affine = torso_ct.draw(seed, SPACING, (340, 240, 60), center=lung_nodules.CHEST)
        drawn.append(
            (before, organs, affine, add_nodules(before.copy(), organs, affine, np.random.default_rng(seed), 8))
        )
    return drawn


def test_nodules_lie_free_by_vessels_and_by_the_pleura(chests: list) -> None:
    places = [nodule.place for *_, nodules in chests for nodule in nodules]
    assert all(places.count(place) >= len(places) / 6 for place in Place)


def test_no_nodule_lies_within_a_vessel(chests: list) -> None:
    for before, _organs, affine, nodules in chests:
        points = np.argwhere(before == Material.LUNG_VESSEL) @ affine[:3, :3].T + affine[:3, 3]
        for nodule in nodules:
            within = (np.linalg.norm(points - nodule.center, axis=1) < nodule.diameter / 2).sum() * np.prod(SPACING)
            assert within <= 0.35 * np.pi / 6 * nodule.diameter**3
