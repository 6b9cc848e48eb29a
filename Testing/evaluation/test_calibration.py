"""The calibration error of right probabilities is that of chance; a fit finds what distorted them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepImagingLib.evaluation.calibration import ece, ece_by_chance, fit, platt, reliability, temperature, top_label
from DeepImagingLib.evaluation.roc import Roc
from DeepImagingLib.tasks.calibration import Calibration, logistic, logits_of

SEEDS = st.integers(0, 2**32 - 1)


def right(seed: int, count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Truths drawn from probabilities."""
    rng = np.random.default_rng(seed)
    said = logistic(rng.normal(-1, 2, count))
    return (rng.random(count) < said).astype(int), said


def chosen(seed: int, count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """One of four labels for each image, drawn from the softmax of logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4))
    # the largest of logits with Gumbel's noise is a draw from their softmax
    return np.eye(4, dtype=int)[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)], logits


class TestTheError:
    def test_of_right_probabilities_is_on_average_what_chance_makes(self) -> None:
        errors, expected = zip(*((ece(truth, said), ece_by_chance(said)) for truth, said in map(right, range(20))))
        assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.15)
        assert max(expected) < 0.025

    def test_of_wrong_ones_is_how_far_they_are_off(self) -> None:
        truth, said = right(0)
        assert ece(truth, said * 0.5) == pytest.approx(truth.mean() - said.mean() * 0.5, abs=0.005)
        assert ece([0] * 30, np.linspace(0, 1, 30)) == pytest.approx(0.5)

    @given(seed=SEEDS)
    @settings(deadline=None)
    def test_knows_no_order_of_images_among_equal_probabilities(self, seed: int) -> None:
        truth, said = right(0, 200)
        said, order = np.round(said, 1), np.random.default_rng(seed).permutation(200)
        assert ece(truth[order], said[order]) == pytest.approx(ece(truth, said))

    def test_of_one_probability_for_all_is_one_bin(self) -> None:
        bins = reliability([0, 1, 1, 1], [0.25] * 4)
        assert (bins.predicted.tolist(), bins.observed.tolist(), bins.images.tolist()) == ([0.25], [0.75], [4])
        assert ece([0, 1, 1, 1], [0.25] * 4) == 0.5


def test_bins_hold_as_many_images_each() -> None:
    truth, said = right(1)
    bins = reliability(truth, said)
    assert bins.images.tolist() == [200] * 15 and (np.diff(bins.predicted) > 0).all()
    assert (np.abs(bins.predicted - bins.observed) * bins.images).sum() / 3000 == pytest.approx(ece(truth, said))


def test_the_likeliest_label_is_right_or_not() -> None:
    was_right, sure = top_label(np.eye(3, dtype=int)[[0, 2]], np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]))
    assert was_right.tolist() == [True, False] and sure.tolist() == [0.5, 0.6]


class TestFits:
    @given(seed=SEEDS, slope=st.floats(0.3, 3), offset=st.floats(-2, 2))
    @settings(max_examples=30, deadline=None)
    def test_platt_finds_slope_and_offset(self, seed: int, slope: float, offset: float) -> None:
        truth, said = right(seed)
        found = platt(truth, (logits_of(said, exclusive=False) - offset) / slope)
        assert found[0] == pytest.approx(slope, rel=0.25) and found[1] == pytest.approx(offset, abs=0.5)

    @given(seed=SEEDS, hot=st.floats(0.2, 5))
    @settings(max_examples=30, deadline=None)
    def test_a_temperature_is_found(self, seed: int, hot: float) -> None:
        truth, logits = chosen(seed)
        assert temperature(truth, logits * hot) == pytest.approx(hot, rel=0.15)

    def test_platt_counts_truths_as_almost_certain_only(self) -> None:
        """Of two logits, the likeliest line goes through the smoothed truths: 4/5 of 3 images, 1/4 of 2."""
        slope, offset = platt(np.array([1, 1, 1, 0, 0]), np.array([2.0, 2, 2, -3, -3]))
        assert logistic(np.array([2, -3]) * slope + offset) == pytest.approx([4 / 5, 1 / 4], abs=1e-4)

    def test_a_label_of_one_class_keeps_its_logits(self) -> None:
        truth, logits = np.array([[0, 0], [0, 1], [0, 0]]), np.array([[1.0, -1], [2, 1], [3, 2]])
        found = fit(truth, logits, ("never", "sometimes"), exclusive=False)
        assert found.labels["never"] == (1.0, 0.0) and found.labels["sometimes"] != (1.0, 0.0)

    def test_logits_of_certainty_are_fitted_too(self) -> None:
        truth, said = right(3)
        slope, offset = platt(truth, logits_of(np.where(truth, said.max(), 0), exclusive=False))
        assert np.isfinite((slope, offset)).all() and slope > 0

    @pytest.mark.parametrize("exclusive", [True, False])
    def test_what_was_fitted_lowers_the_error_of_other_images_and_keeps_their_order(self, exclusive: bool) -> None:
        (truth, logits), (other, others) = ((truth, 3 * logits) for truth, logits in (chosen(4), chosen(5)))
        found = fit(truth, logits, "ABCD", exclusive=exclusive)
        plain = Calibration(1.0) if exclusive else Calibration(labels=dict.fromkeys("ABCD", (1.0, 0.0)))
        before, after = plain.apply(others), found.apply(others)
        assert ece(other[:, 0], after[:, 0]) < 0.02 < 0.05 < ece(other[:, 0], before[:, 0])
        if not exclusive:
            assert Roc(other[:, 0], after[:, 0]).area() == pytest.approx(Roc(other[:, 0], others[:, 0]).area())
