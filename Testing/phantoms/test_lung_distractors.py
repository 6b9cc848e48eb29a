"""What is no nodule lies in lungs and bones, and no nodule hides among it."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.lung_distractors import add_distractors, clear_specks
from DeepImagingLib.phantoms.torso import Material, Organ

SPACING = (1.25, 1.25, 1.25)


@pytest.fixture
def chest() -> tuple[np.ndarray, np.ndarray]:
    """Materials and organs: lung, a wall of muscle, a rib."""
    materials = np.full((64, 64, 64), Material.LUNG, np.uint8)
    organs = np.full(materials.shape, Organ.RIGHT_LUNG, np.uint8)
    materials[:10], organs[:10] = Material.MUSCLE, Organ.OTHER_TISSUE
    materials[:6], organs[:6] = Material.MARROW, Organ.RIBS
    return materials, organs


def test_each_lies_where_it_belongs(chest: tuple[np.ndarray, np.ndarray]) -> None:
    materials, organs = chest
    before = materials.copy()
    for seed in range(4):
        thin = add_distractors(materials, organs, SPACING, np.random.default_rng(seed))
        assert thin.min() >= 0 and thin.max() <= 1
        assert 0.002 < (thin > 0.1).mean() < 0.2
    changed = before != materials
    assert not changed[6:10].any()
    assert set(materials[changed & (organs == Organ.RIBS)]) <= {Material.CORTEX}
    inside = set(materials[changed & (organs == Organ.RIGHT_LUNG)])
    assert inside <= {Material.GAS, Material.SOFT, Material.CALCIUM}


def test_the_same_seed_gives_the_same(chest: tuple[np.ndarray, np.ndarray]) -> None:
    materials, organs = chest
    first, second = (add_distractors(materials.copy(), organs, SPACING, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_thin_things_are_brighter_than_lung_and_nothing_else_changes() -> None:
    materials = np.full((40, 40, 40), Material.LUNG, np.uint8)
    materials[20:] = Material.LIVER
    thin = np.zeros(materials.shape, np.float32)
    thin[8:12, 10:30, 10:30] = thin[28:32, 10:30, 10:30] = 1
    with_, without = (render(materials, SPACING, np.random.default_rng(1), one) for one in (thin, None))
    difference = with_ - without
    assert difference[10, 20, 20] > 100
    assert np.abs(difference[26:34, 12:28, 12:28]).max() < 60


@pytest.mark.parametrize("radius", [4, 9, 14])
def test_consolidation_like_a_nodule_or_a_mass_gets_its_air_back_and_a_lobe_stays(radius: int) -> None:
    i, j, k = np.mgrid[:64, :64, :64]
    lump = (i - 16) ** 2 + (j - 16) ** 2 + (k - 16) ** 2 < radius**2
    lobe = i > 32
    materials = np.where(lump | lobe, Material.CONSOLIDATION, Material.LUNG).astype(np.uint8)
    clear_specks(materials, SPACING)
    assert (materials[lump] == Material.LUNG).all() and (materials[lobe] == Material.CONSOLIDATION).all()
