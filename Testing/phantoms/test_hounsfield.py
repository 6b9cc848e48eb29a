"""Hounsfield values: every material has one, and contrast phases order them as radiologists know them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from DeepImagingLib.phantoms.hounsfield import Phase, draw_values, render
from DeepImagingLib.phantoms.torso import Material

M = Material
DRAWS = 60


def draws(phase: Phase) -> npt.NDArray[np.float32]:
    """Return the means of all materials, (DRAWS, materials)."""
    return np.stack([draw_values(np.random.default_rng(seed), phase)[0] for seed in range(DRAWS)])


class TestValues:
    @pytest.mark.parametrize("phase", Phase)
    def test_every_material_has_a_value(self, phase: Phase) -> None:
        assert draws(phase).shape == (DRAWS, len(M)) and np.isfinite(draws(phase)).all()

    @pytest.mark.parametrize("phase", Phase)
    def test_gas_is_darker_than_fat_and_fat_than_muscle(self, phase: Phase) -> None:
        hu = draws(phase)
        assert (hu[:, M.GAS] < hu[:, M.FAT]).all() and (hu[:, M.FAT] < hu[:, M.MUSCLE] - 100).all()

    def test_bone_marrow_reaches_down_to_fat(self) -> None:
        hu = draws(Phase.NONE)
        assert hu[:, M.MARROW].min() < 0 and hu[:, M.CORTEX].min() > 150

    def test_all_phases_are_drawn(self) -> None:
        aortas = [draw_values(np.random.default_rng(seed))[0][M.AORTA] for seed in range(200)]
        assert 0.25 < np.mean(np.less(aortas, 60)) < 0.55
        assert max(aortas) > 450


class TestPhases:
    def test_without_contrast_agent_blood_is_no_brighter_than_organs(self) -> None:
        hu = draws(Phase.NONE)
        assert hu[:, M.AORTA].max() < 65
        assert np.ptp(hu[:, [M.AORTA, M.VEIN, M.PORTAL, M.RIGHT_BLOOD]], axis=1).max() < 10

    def test_arteries_are_the_brightest_in_the_arterial_phase(self) -> None:
        hu = draws(Phase.ARTERIAL)
        for darker in (M.MUSCLE, M.VEIN, M.PORTAL, M.LIVER):
            assert (hu[:, M.AORTA] > hu[:, darker]).all(), darker.name

    def test_the_kidneys_rim_enhances_first_and_then_all_of_it(self) -> None:
        early, later = draws(Phase.ARTERIAL), draws(Phase.VENOUS)
        assert np.median(early[:, M.KIDNEY] - early[:, M.MEDULLA]) > 40
        assert abs(np.median(later[:, M.KIDNEY] - later[:, M.MEDULLA])) < 30

    def test_the_liver_is_brightest_in_the_venous_phase(self) -> None:
        medians = {phase: np.median(draws(phase)[:, M.LIVER]) for phase in Phase}
        assert max(medians, key=lambda phase: medians[phase]) is Phase.VENOUS

    def test_portal_blood_is_bright_in_the_venous_phase(self) -> None:
        hu = draws(Phase.VENOUS)
        assert (hu[:, M.PORTAL] > hu[:, M.LIVER] - 60).all() and np.median(hu[:, M.PORTAL] - hu[:, M.LIVER]) > 30

    def test_contrast_agent_reaches_the_urine_late(self) -> None:
        assert np.median(draws(Phase.LATE)[:, M.RENAL_PELVIS]) > 100 > draws(Phase.VENOUS)[:, M.RENAL_PELVIS].max()


class TestRender:
    def test_it_is_the_same_for_the_same_seed(self) -> None:
        materials = np.random.default_rng(0).integers(0, len(M), (20, 18, 16)).astype(np.uint8)
        first, second = (render(materials, (4, 4, 4), np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_it_keeps_the_shape_and_is_finite(self) -> None:
        image = render(np.full((12, 10, 7), M.LIVER, np.uint8), (4, 4, 5), np.random.default_rng(0))
        assert image.shape == (12, 10, 7) and image.dtype == np.float32 and np.isfinite(image).all()
