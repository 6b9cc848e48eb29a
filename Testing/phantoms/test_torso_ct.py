"""The torso phantom: the same for a seed, plausible for an adult, and true about its own left and right."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.results import Segmentation

SPACING = (7.0, 7.0, 7.0)
WHOLE_TORSO = (560.0, 420.0, 700.0)
SEEDS = range(1_000_000, 1_000_005)


@cache
def torso(seed: int) -> tuple[npt.NDArray[np.float32], Segmentation]:
    images, truth = torso_ct.sample(seed, SPACING, WHOLE_TORSO)
    return images["ct"].numpy()[0], truth


def center_of(truth: Segmentation, name: str) -> npt.NDArray[np.float64]:
    """Return the centre of an organ in RAS mm."""
    ijk = np.argwhere(truth.mask(name)).mean(axis=0)
    return np.asarray(truth.affine[:3, :3] @ ijk + truth.affine[:3, 3])


def small(seed: int) -> npt.NDArray[np.float32]:
    images, _ = torso_ct.sample(seed, (10, 10, 10))
    return np.asarray(images["ct"].numpy())


class TestDeterminism:
    def test_the_same_seed_gives_the_same_phantom(self) -> None:
        np.testing.assert_array_equal(small(1_000_000), small(1_000_000))

    def test_another_seed_gives_another_phantom(self) -> None:
        assert not np.array_equal(small(1_000_000), small(1_000_001))

    def test_global_random_state_does_not_matter(self) -> None:
        np.random.seed(1)
        first = small(1_000_002)
        np.random.seed(2)
        np.testing.assert_array_equal(first, small(1_000_002))

    def test_a_seed_is_the_same_body_at_every_spacing(self) -> None:
        _, coarse = torso_ct.sample(1_000_000, (12, 12, 12), (480, 384, 480))
        _, fine = torso_ct.sample(1_000_000, (6, 6, 6), (480, 384, 480))
        for name in ("liver", "right lung", "heart"):
            assert np.linalg.norm(center_of(coarse, name) - center_of(fine, name)) < 6


class TestGeometry:
    def test_shape_covers_the_field_of_view(self) -> None:
        images, truth = torso_ct.sample(3, (10, 8, 12), (400, 320, 360))
        assert images["ct"].shape == (1, 40, 40, 30)
        assert truth.layers.shape == (1, 40, 40, 30)

    def test_affine_holds_the_spacing_and_centres_the_image(self) -> None:
        images, truth = torso_ct.sample(3, (10, 8, 12), (400, 320, 360))
        np.testing.assert_allclose(np.diag(truth.affine), (10, 8, 12, 1))
        np.testing.assert_allclose(truth.affine @ (19.5, 19.5, 14.5, 1), (0, 0, 0, 1))
        np.testing.assert_allclose(images["ct"].affine.numpy(), truth.affine)

    def test_types_are_those_of_a_scan_and_a_label_map(self) -> None:
        image, truth = torso(SEEDS[0])
        assert image.dtype == np.float32
        assert truth.layers.dtype == np.uint8
        assert truth.exclusive


class TestSegments:
    def test_values_follow_the_names_in_order(self) -> None:
        assert [s.value for s in torso_ct.segments()] == list(range(1, len(Organ)))
        assert all(Organ(s.value).name.lower() == s.id for s in torso_ct.segments())

    def test_ids_are_unique_and_plain(self) -> None:
        ids = [s.id for s in torso_ct.segments()]
        assert len(set(ids)) == len(ids)
        assert all(i.isascii() and " " not in i for i in ids)


@pytest.mark.parametrize("seed", SEEDS)
class TestHounsfield:
    def test_lungs_are_dark(self, seed: int) -> None:
        image, truth = torso(seed)
        lungs = truth.mask("left lung") | truth.mask("right lung")
        assert np.median(image[lungs]) < -500

    def test_spine_is_brighter_than_the_body_on_average(self, seed: int) -> None:
        image, truth = torso(seed)
        assert np.percentile(image[truth.mask("spine")], 90) > 130

    def test_liver_is_soft_tissue(self, seed: int) -> None:
        image, truth = torso(seed)
        assert -20 < np.median(image[truth.mask("liver")]) < 180

    def test_values_are_finite(self, seed: int) -> None:
        image, _ = torso(seed)
        assert np.isfinite(image).all()


class TestErrors:
    @pytest.mark.parametrize("spacing", [(0, 3, 3), (3, -1, 3), (3, 3, float("nan")), (3, 3, 500), (3, 3)])
    def test_a_bad_spacing_is_named(self, spacing: tuple[float, float, float]) -> None:
        with pytest.raises(InputError, match="spacing must be three numbers"):
            torso_ct.sample(0, spacing)

    @pytest.mark.parametrize("size", [(0, 300, 300), (300, 300, 10_000), (300, float("inf"), 300)])
    def test_a_bad_field_of_view_is_named(self, size: tuple[float, float, float]) -> None:
        with pytest.raises(InputError, match="field of view must be three numbers"):
            torso_ct.sample(0, (8, 8, 8), size)

    def test_a_negative_seed_is_named(self) -> None:
        with pytest.raises(InputError, match="seed must not be negative"):
            torso_ct.sample(-1, (8, 8, 8))

    def test_a_phantom_too_large_for_memory_is_refused(self) -> None:
        with pytest.raises(InputError, match="too large"):
            torso_ct.sample(0, (0.25, 0.25, 0.25))


def test_importing_phantoms_does_not_import_torch() -> None:
    code = "import sys, DeepImagingLib.phantoms; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
