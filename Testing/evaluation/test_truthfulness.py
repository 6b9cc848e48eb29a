"""Heatmaps on what is there score high, those beside it low; what a network goes by shows when it is taken away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.truthfulness import Baseline, deletion, energy, insertion, pointing

SHAPES = [(12, 10), (8, 7, 6)]


def planted(shape: tuple[int, ...]) -> np.ndarray:
    """A mask of the first corner's voxels, two along each axis."""
    mask = np.zeros(shape, bool)
    mask[(slice(2),) * len(shape)] = True
    return mask


@pytest.mark.parametrize("shape", SHAPES)
class TestPointing:
    def test_a_maximum_in_the_mask_hits(self, shape) -> None:
        values = np.zeros(shape)
        values[(1,) * len(shape)] = 1
        assert pointing(values, planted(shape), (1.0,) * len(shape)) == 1

    def test_how_far_off_it_may_be_is_counted_in_mm(self, shape) -> None:
        values, spacing = np.zeros(shape), (0.5, 2.0, 3.0)[: len(shape)]
        values[(4,) + (1,) * (len(shape) - 1)] = 1  # three voxels of 0.5 mm off
        assert pointing(values, planted(shape), spacing) == pointing(values, planted(shape), spacing, 1.4) == 0
        assert pointing(values, planted(shape), spacing, 1.5) == 1

    def test_a_map_that_tells_nothing_hits_by_chance(self, shape) -> None:
        mask = planted(shape)
        assert pointing(np.zeros(shape), mask, (1.0,) * len(shape)) == pytest.approx(mask.mean())
        assert energy(np.ones(shape), mask) == pytest.approx(mask.mean()) and energy(np.zeros(shape), mask) == 0

    def test_energy_is_the_share_of_what_is_positive(self, shape) -> None:
        values = np.full(shape, -5.0)
        values[(0,) * len(shape)], values[(-1,) * len(shape)] = 3, 1
        assert energy(values, planted(shape)) == 0.75


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        (np.zeros((3, 4)), np.ones((4, 3), bool), r"\(3, 4\).*\(4, 3\)"),
        (np.full((3, 4), np.nan), np.ones((3, 4), bool), "finite"),
        (np.zeros((3, 4)), np.zeros((3, 4), bool), "holds nothing"),
    ],
)
def test_what_can_t_be_measured_is_told(values: np.ndarray, mask: np.ndarray, message: str) -> None:
    for measured in (lambda: pointing(values, mask, (1, 1)), lambda: energy(values, mask)):
        with pytest.raises(InputError, match=message):
            measured()


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("shape", SHAPES)
class TestDeletionAndInsertion:
    """Of a network that looks at the planted voxels only."""

    def areas(self, shape, channels, sign: int) -> tuple[float, float]:
        mask = planted(shape)
        image = np.broadcast_to(np.where(mask, 10.0, 0.0), channels + shape)

        def probability(seen: np.ndarray) -> float:
            assert seen.shape == image.shape
            return float(seen[..., mask].mean() / 10)

        way = {"baseline": Baseline.CONSTANT, "steps": 20}
        noise = np.random.default_rng(0).random(shape) * 0.1
        values = sign * (mask + noise)
        return deletion(image, values, probability, **way).area, insertion(image, values, probability, **way).area

    def test_a_true_map_deletes_quickly_and_inserts_quickly(self, shape, channels) -> None:
        deleted, inserted = self.areas(shape, channels, 1)
        assert deleted < 0.15 and inserted > 0.9

    def test_a_false_map_does_neither(self, shape, channels) -> None:
        deleted, inserted = self.areas(shape, channels, -1)
        assert deleted > 0.9 and inserted < 0.15


@given(steps=st.integers(1, 120), value=st.sampled_from([0.0, 1.0]))
def test_curves_go_from_the_one_image_to_the_other(steps: int, value: float) -> None:
    image = np.random.default_rng(0).random((10, 9))
    change = deletion(image, np.full((10, 9), value), lambda seen: float((seen == image).mean()), steps=steps)
    assert change.probabilities[0] == 1 and change.probabilities[-1] == 0
    assert len(change.probabilities) == steps + 1 and change.area == pytest.approx(0.5, abs=0.01)


def test_equal_values_are_not_taken_row_by_row() -> None:
    image = np.random.default_rng(0).random((20, 20))
    change = insertion(image, np.zeros((20, 20)), lambda seen: float((seen == image)[:10].mean()), steps=2)
    assert change.probabilities[1] == pytest.approx(0.5, abs=0.1)


def test_baselines_are_blurred_or_flat_channel_by_channel() -> None:
    image = np.stack([np.eye(30), 5 + np.eye(30)])
    flat, blurred = Baseline.CONSTANT.of(image, 2), Baseline.BLURRED.of(image, 2, blur=3)
    np.testing.assert_allclose(flat, np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape))
    assert blurred.std(axis=(1, 2)).max() < image.std(axis=(1, 2)).min() / 2
    np.testing.assert_allclose(blurred[1] - blurred[0], 5)
