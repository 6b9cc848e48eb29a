"""From rows of probabilities to one answer: what is found, what contradicts itself, what is unlike all else."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.tasks.classification import channels_of, contradiction, overall, unlikeness

NAMES = ("effusion", "nodule", "No finding")


class TestOverall:
    ROWS = np.array([[0.9, 0.1, 0.05], [0.05, 0.2, 0.95]])

    def test_a_finding_in_one_slice_is_one_and_none_has_to_hold_in_all(self) -> None:
        assert overall(self.ROWS, exclusive=False, names=NAMES) == (0.9, 0.2, 0.05)

    def test_labels_that_exclude_each_other_share_the_whole(self) -> None:
        assert overall(self.ROWS, exclusive=True, names=NAMES) == pytest.approx((0.475, 0.15, 0.5))


class TestContradiction:
    @pytest.mark.parametrize(
        ("probabilities", "told"),
        [
            ((0.7, 0.6, 0.6), "'No finding' and 'effusion', 'nodule'"),
            ((0.7, 0.6, 0.4), ""),
            ((0.1, 0.2, 0.9), ""),
            ((0.1, 0.2, 0.3), ""),
        ],
    )
    def test_is_told_where_both_count_as_found(self, probabilities, told) -> None:
        sentence = contradiction(NAMES, probabilities, (0.5, 0.5, 0.5))
        assert told in sentence and bool(told) == bool(sentence)


class TestUnlikeness:
    def test_is_one_where_the_probability_is_the_least_that_is_like_them(self) -> None:
        assert unlikeness(np.array([0.03]), 0.03) == pytest.approx(1)

    def test_tells_barely_unlike_from_not_like_them_at_all(self) -> None:
        near, far, none = (unlikeness(np.array([p]), 0.03) for p in (0.02, 1e-6, 0.0))
        assert 1 < near < 2 and far > 1000 * near and far < none < np.inf

    def test_of_several_parts_the_middle_one_counts(self) -> None:
        assert unlikeness(np.array([0.5, 0.0, 0.9]), 0.5) == pytest.approx(1)


class TestTop:
    @pytest.mark.parametrize(
        ("probabilities", "found"),
        [((0.7, 0.9, 0.8), (0, 1)), ((0.2, 0.6, 0.9), (1,)), ((0.3, 0.2, 0.9), (0,)), ((0.3, 0.4, 0.1), (1,))],
    )
    def test_is_all_that_is_found_or_the_most_probable_finding(self, probabilities, found) -> None:
        assert channels_of(("top",), NAMES, probabilities, (0.5, 0.6, 0.5)) == found

    def test_of_labels_that_exclude_each_other_is_the_most_probable_one(self) -> None:
        assert channels_of(("top",), NAMES, (0.1, 0.3, 0.6)) == (2,)

    def test_is_the_most_probable_label_where_no_finding_is_left(self) -> None:
        assert channels_of(("top",), ("none", "normal"), (0.1, 0.3), (0.5, 0.5)) == (1,)


def test_top_and_all_stand_alone() -> None:
    assert channels_of(("top",), NAMES, (0.1, 0.9, 0.2)) == (1,)
    assert channels_of(("all",), NAMES, (0.1, 0.9, 0.2)) == (0, 1, 2)
    with pytest.raises(InputError, match="'top' stands alone"):
        channels_of(("top", "nodule"), NAMES, (0.1, 0.9, 0.2))
