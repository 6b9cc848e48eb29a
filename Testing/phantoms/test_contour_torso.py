"""The contour torso phantom: the same for a seed, sizes of adults, true left and right, and organs that touch."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import distance_transform_edt

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import contour_torso, torso_ct
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.results import Segmentation

SPACING = (3.5, 3.5, 5.0)
FIELD_OF_VIEW = (500.0, 400.0, 760.0)
SEEDS = (1_000_001, 1_000_013)
SLAB = (420.0, 340.0, 60.0)

MILLILITRES = {
    # wide around the reference man and woman of ICRP Publication 89 (2002), for small and large ones
    Organ.RIGHT_LUNG: (900, 4200),
    Organ.LEFT_LUNG: (800, 4000),
    Organ.HEART: (350, 1500),
    Organ.AORTA: (80, 450),
    Organ.LIVER: (900, 2700),
    Organ.SPLEEN: (60, 480),
    Organ.RIGHT_KIDNEY: (70, 280),
    Organ.LEFT_KIDNEY: (70, 280),
    Organ.URINARY_BLADDER: (40, 650),
    Organ.STOMACH: (80, 800),
    Organ.PANCREAS: (20, 150),
    Organ.BOWEL: (500, 3500),
    Organ.VENA_CAVA: (40, 250),
    Organ.PULMONARY_VESSELS: (20, 150),
    Organ.AIRWAYS: (15, 100),
    Organ.SPINE: (250, 900),
    Organ.RIBS: (180, 700),
    Organ.HIPS: (350, 1000),
    Organ.SACRUM: (120, 450),
    Organ.FEMURS: (100, 700),
}


@cache
def torso(seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    images, truth = contour_torso.sample(seed, SPACING, FIELD_OF_VIEW)
    return images["ct"].numpy()[0], truth.layers[0]


@cache
def slab(seed: int, *spacing: float) -> tuple[npt.NDArray[np.float32], Segmentation]:
    images, truth = contour_torso.sample(seed, spacing or (6.0, 6.0, 6.0), SLAB)
    return images["ct"].numpy()[0], truth


def center(seed: int, organ: Organ) -> npt.NDArray[np.float64]:
    """Return an organ's middle in mm from the image's corner: right, front, top."""
    return np.asarray(np.argwhere(torso(seed)[1] == organ).mean(axis=0) * SPACING)


def gap(seed: int, one: Organ, other: Organ) -> float:
    """Return the distance between two organs, in mm from voxel to voxel."""
    organs = torso(seed)[1]
    return float(distance_transform_edt(organs != one, sampling=SPACING)[organs == other].min())


class TestDeterminism:
    def test_the_same_seed_gives_the_same_phantom(self) -> None:
        again, _ = contour_torso.sample(3, (6.0, 6.0, 6.0), SLAB)
        np.testing.assert_array_equal(slab(3)[0], again["ct"].numpy()[0])

    def test_another_seed_gives_another_phantom(self) -> None:
        assert not np.array_equal(slab(3)[0], slab(4)[0])

    @pytest.mark.slow
    def test_a_seed_is_one_body_at_every_spacing(self) -> None:
        coarse, fine = slab(3, 6.0, 6.0, 6.0)[1].layers, slab(3, 3.0, 3.0, 3.0)[1].layers
        for organ in (Organ.OTHER_TISSUE, Organ.LIVER, Organ.SPINE):
            assert 8 * np.count_nonzero(coarse == organ) == pytest.approx(np.count_nonzero(fine == organ), rel=0.12)


class TestGeometry:
    def test_image_and_truth_share_shape_and_a_centred_grid(self) -> None:
        images, truth = contour_torso.sample(3, (6.0, 5.0, 10.0), SLAB)
        shape = np.array([70, 68, 6])
        assert tuple(images["ct"].shape) == (1, *shape) == truth.layers.shape
        np.testing.assert_array_equal(images["ct"].affine.numpy(), truth.affine)
        np.testing.assert_allclose(truth.affine[:3, :3] @ ((shape - 1) / 2) + truth.affine[:3, 3], 0, atol=1e-9)

    def test_the_truth_is_named_as_that_of_the_other_phantoms(self) -> None:
        assert slab(3)[1].segments == torso_ct.segments()

    @pytest.mark.parametrize(
        "bad", [{"seed": -1}, {"seed": 0, "spacing": (0, 1, 1)}, {"seed": 0, "field_of_view": (9,) * 3}]
    )
    def test_what_cannot_be_drawn_is_refused(self, bad: dict[str, object]) -> None:
        with pytest.raises(InputError):
            contour_torso.sample(**bad)  # type: ignore[arg-type]


@pytest.mark.slow  # half a minute a body
@pytest.mark.parametrize("seed", SEEDS)
class TestAnatomy:
    def test_volumes_are_those_of_adults(self, seed: int) -> None:
        counts = np.bincount(torso(seed)[1].ravel(), minlength=24) * np.prod(SPACING) / 1000
        odd = {o.name: counts[o] for o, (low, high) in MILLILITRES.items() if not low <= counts[o] <= high}
        assert not odd

    def test_right_is_right(self, seed: int) -> None:
        spine = center(seed, Organ.SPINE)[0]
        for organ in (Organ.LIVER, Organ.RIGHT_LUNG, Organ.RIGHT_KIDNEY, Organ.VENA_CAVA):
            assert center(seed, organ)[0] > spine
        for organ in (Organ.SPLEEN, Organ.LEFT_LUNG, Organ.LEFT_KIDNEY, Organ.HEART, Organ.STOMACH):
            assert center(seed, organ)[0] < spine

    def test_organs_lie_above_one_another_in_order(self, seed: int) -> None:
        order = (Organ.URINARY_BLADDER, Organ.RIGHT_KIDNEY, Organ.LIVER, Organ.HEART, Organ.AIRWAYS)
        heights = [center(seed, organ)[2] for organ in order]
        assert heights == sorted(heights)

    @pytest.mark.parametrize(
        ("one", "other", "most"),
        [
            (Organ.AORTA, Organ.SPINE, 8),
            (Organ.AORTA, Organ.HEART, 4),
            (Organ.LIVER, Organ.RIGHT_LUNG, 8),
            (Organ.LIVER, Organ.RIBS, 14),
            (Organ.SPLEEN, Organ.RIBS, 14),
            (Organ.SPLEEN, Organ.LEFT_LUNG, 12),
            (Organ.VENA_CAVA, Organ.LIVER, 4),
            (Organ.FEMURS, Organ.HIPS, 8),
            (Organ.SACRUM, Organ.HIPS, 6),
            (Organ.RIBS, Organ.SPINE, 6),
        ],
    )
    def test_neighbours_touch(self, seed: int, one: Organ, other: Organ, most: float) -> None:
        assert gap(seed, one, other) <= most

    def test_tissues_lie_in_the_order_of_their_hounsfield_values(self, seed: int) -> None:
        ct, organs = torso(seed)
        lung, liver, bone = (np.median(ct[organs == o]) for o in (Organ.RIGHT_LUNG, Organ.LIVER, Organ.RIBS))
        assert -950 < lung < -700
        assert 0 < liver < 180 < bone

    def test_there_is_air_around_the_body_and_noise_in_it(self, seed: int) -> None:
        ct, organs = torso(seed)
        assert np.median(ct[organs == Organ.BACKGROUND]) < -950
        assert np.std(ct[organs == Organ.LIVER]) > 3


@pytest.mark.slow
def test_bodies_differ_in_size() -> None:
    bodies = [np.count_nonzero(torso(seed)[1]) for seed in SEEDS]
    assert max(bodies) / min(bodies) > 1.1
