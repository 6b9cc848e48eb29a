"""What a scanner does to true values: streaks need metal, noise needs matter, padding is a constant."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from DeepImagingLib.phantoms import scanner
from DeepImagingLib.phantoms.scanner import scan, trim_to_circle
from DeepImagingLib.phantoms.torso import Material, Organ

Bytes = npt.NDArray[np.uint8]
SPACING = (4.0, 4.0, 4.0)
SEEDS = range(8)


def cylinder(radius: float = 130.0) -> Bytes:
    """Return a column of muscle in air, (I, J, K)."""
    x, y = (np.arange(n) * 4 - 2 * n for n in (90, 80))
    inside = np.hypot(x[:, None], y[None, :]) < radius
    materials = np.where(inside, Material.MUSCLE, Material.AIR).astype(np.uint8)
    return np.repeat(materials[..., None], 24, axis=2)


def true_values(materials: Bytes) -> npt.NDArray[np.float32]:
    values = np.array([{Material.AIR: -1000, Material.METAL: 6000}.get(m, 50) for m in Material], np.float32)
    return values[materials]


def scanned(materials: Bytes, seed: int) -> npt.NDArray[np.float32]:
    return scan(true_values(materials), materials, SPACING, np.random.default_rng(seed))


def test_the_middle_keeps_its_value_or_is_shaded() -> None:
    middles = [float(np.mean(scanned(cylinder(), seed)[35:55, 30:50])) for seed in range(12)]
    assert np.median(middles) == pytest.approx(50, abs=25)
    assert min(middles) > -60 and max(middles) < 60


@pytest.mark.parametrize("seed", SEEDS)
class TestScan:
    def test_the_same_seed_gives_the_same_image(self, seed: int) -> None:
        np.testing.assert_array_equal(scanned(cylinder(), seed), scanned(cylinder(), seed))

    def test_air_stays_air(self, seed: int) -> None:
        assert np.median(scanned(cylinder(), seed)[:4]) < -950

    def test_padding_is_one_constant(self, seed: int) -> None:
        materials = cylinder()
        materials[:10] = Material.PADDING
        assert scanned(materials, seed)[:10].min() == scanned(materials, seed)[:10].max() <= -1000

    def test_input_is_left_alone(self, seed: int) -> None:
        materials = cylinder()
        values = true_values(materials)
        before = values.copy()
        scan(values, materials, SPACING, np.random.default_rng(seed))
        np.testing.assert_array_equal(values, before)

    def test_metal_casts_streaks(self, seed: int) -> None:
        with_metal = cylinder()
        with_metal[30:34, 38:42, 8:16] = Material.METAL
        clean, streaked = scanned(cylinder(), seed), scanned(with_metal, seed)
        around = np.s_[34:40, 34:46, 9:15]
        assert streaked[around].std() > 1.5 * clean[around].std()

    def test_one_slice_is_enough(self, seed: int) -> None:
        assert np.isfinite(scanned(cylinder()[..., :1], seed)).all()


def test_noise_is_stronger_through_a_wide_body_than_through_a_narrow_one() -> None:
    narrow, wide = cylinder(60), cylinder(170)
    stacked = np.concatenate([np.repeat(narrow[..., :1], 12, 2), np.repeat(wide[..., :1], 12, 2)], axis=2)
    ratios = []
    for seed in range(20):
        image = scanned(stacked, seed)[41:49, 36:44]
        ratios.append(image[..., 15:].std() / image[..., :9].std())
    assert np.median(ratios) > 1.1


class TestTrimToCircle:
    def test_what_is_cut_off_is_padding_and_background(self) -> None:
        materials = cylinder(170)
        organs = (materials == Material.MUSCLE).astype(np.uint8)
        trim_to_circle(materials, organs, SPACING, np.random.default_rng(1))
        cut = materials == Material.PADDING
        assert cut[0, 0].all() and not cut[45, 40].any()
        assert (organs[cut] == Organ.BACKGROUND).all()


def test_what_lies_between_the_arms_is_darker_in_some_scans() -> None:
    image = np.full((60, 40, 12), -1000, np.float32)
    image[15:45, 5:35] = 60
    image[2:10, 8:18] = image[50:58, 8:18] = 60  # arms beside the back
    materials = np.where(image > 0, Material.MUSCLE, Material.AIR).astype(np.uint8)
    darker = []
    for seed in range(40):
        found = scan(image.copy(), materials, (6.0, 6.0, 6.0), np.random.default_rng(seed))
        darker.append(found[20:40, 24:32].mean() - found[20:40, 9:17].mean())
    assert 4 <= sum(difference > 10 for difference in darker) <= 28
    assert np.median(darker) > -1


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_thick_slices_stay_where_they_are(count: int) -> None:
    image = np.zeros((2, 2, 240), np.float32)
    image[..., 110:130] = 1
    profile = scanner._thicken(image, count)[0, 0]
    assert (profile * np.arange(240)).sum() / profile.sum() == pytest.approx(119.5, abs=0.1)


def test_a_small_nodule_is_seen_in_thin_slices_and_not_in_all_others() -> None:
    distance = np.linalg.norm(np.mgrid[:48, :48, :48] - 23.5, axis=0)
    image = np.where(distance < 2.5, 50, -850).astype(np.float32)
    materials = np.full(image.shape, Material.LUNG, np.uint8)

    def contrasts(resolution: scanner.Resolution) -> list[float]:
        scans = [scan(image, materials, (1.0,) * 3, np.random.default_rng(n), resolution) for n in range(12)]
        return [float(one[distance < 1.5].mean() - np.median(one)) for one in scans]

    assert min(contrasts(scanner.THIN_SLICES)) > 300 > 150 > min(contrasts(scanner.ANY))
