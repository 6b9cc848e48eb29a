"""Areas under ROC curves are MONAI's, whatever the scale of the scores; intervals hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import compute_roc_auc

from DeepImagingLib.evaluation.bootstrap import mean_of
from DeepImagingLib.evaluation.roc import Roc, aurocs, rates


def drawn(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Truths of both classes, and scores of which many are equal."""
    rng = np.random.default_rng(seed)
    truth = np.append(rng.integers(0, 2, count - 2), (0, 1))
    return truth, np.round(rng.normal(size=count) + truth, 1)


SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS)
def test_the_area_is_monai_s(seed: int) -> None:
    truth, scores = drawn(seed)
    assert Roc(truth, scores).area() == pytest.approx(compute_roc_auc(torch.tensor(scores), torch.tensor(truth)))


@given(seed=SEEDS, power=st.sampled_from([1, 3, 5]), factor=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_the_area_stays_under_rising_maps_and_turns_under_falling_ones(seed, power, factor, offset) -> None:
    truth, scores = drawn(seed)
    area = Roc(truth, scores).area()
    assert Roc(truth, np.round(scores**power * 1e6) * factor + offset).area() == pytest.approx(area)
    assert Roc(truth, -scores).area() == pytest.approx(1 - area)


@given(seed=SEEDS)
def test_weights_count_images_as_often(seed: int) -> None:
    truth, scores = drawn(seed)
    times = np.random.default_rng(seed).integers(0, 3, len(truth))
    often = Roc(np.repeat(truth, times), np.repeat(scores, times)).area()
    assert Roc(truth, scores).area(times.astype(float)) == pytest.approx(often, nan_ok=True)


def test_points_are_those_one_counts_by_hand() -> None:
    false, true = Roc([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1]).points()
    assert false.tolist() == [0, 0, 0.5, 1] and true.tolist() == [0, 0.5, 1, 1]


def test_a_label_of_one_class_only_is_not_known_and_left_out_of_the_mean() -> None:
    truth = np.array([[0, 1, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]])
    told = aurocs(truth, np.array([[0.1, 0.5, 0.5], [0.9, 0.4, 0.5], [0.3, 0.3, 0.5], [0.2, 0.2, 0.5]]))
    assert [label.value for label in told.labels] == pytest.approx([0.75, np.nan, np.nan], nan_ok=True)
    assert told.macro.value == 0.75 and np.isnan(told.labels[1].low)


def test_intervals_narrow_with_images_and_are_the_same_for_a_seed() -> None:
    few, many = (np.column_stack(drawn(1, count)) for count in (40, 640))
    told = [aurocs(each[:, :1].astype(int), each[:, 1:]) for each in (few, few, many)]
    assert told[0] == told[1] and told[0] != aurocs(few[:, :1].astype(int), few[:, 1:], seed=1)
    assert told[0].macro.low < told[0].macro.value < told[0].macro.high
    widths = [each.macro.high - each.macro.low for each in told]
    assert widths[2] < widths[0] / 2


def test_images_of_one_subject_are_drawn_together() -> None:
    truth, scores = (np.tile(each, 9) for each in drawn(2, 40))  # nine alike of each
    apart = aurocs(truth[:, None], scores[:, None]).macro
    together = aurocs(truth[:, None], scores[:, None], list(range(40)) * 9).macro
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_an_interval_of_a_mean_holds_it_in_about_95_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    told = [mean_of(rng.normal(size=40)) for _ in range(100)]
    assert 88 <= sum(mean.low < 0 < mean.high for mean in told) <= 99


def test_of_one_subject_alone_no_interval_is_known() -> None:
    told = mean_of([0.25, 0.75], ["same", "same"])
    assert told.value == 0.5 and np.isnan((told.low, told.high)).all()


def test_rates_are_those_one_counts_by_hand() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [0, 0]])
    found = np.array([[1, 0], [0, 0], [1, 0], [0, 1], [0, 0]], bool)
    told = rates(truth, found)
    assert {name: values[0] for name, values in told.items()} == pytest.approx(
        {"sensitivity": 1 / 2, "specificity": 2 / 3, "accuracy": 3 / 5, "f1": 1 / 2}
    )
    assert np.isnan(told["sensitivity"][1]) and told["specificity"][1] == pytest.approx(0.8)
