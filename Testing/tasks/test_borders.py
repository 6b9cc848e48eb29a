"""Borders between labels that follow the image's values."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepImagingLib.bundles.borders import Border
from DeepImagingLib.errors import CancelledError
from DeepImagingLib.tasks.borders import follow_borders

SOFT, BONE, LIVER = 1, 2, 3
DENSE = Border((BONE,), (SOFT,), 180, above=True, within_mm=5)


def go_on() -> None:
    """Nobody cancels."""


def followed(labels, image, *borders, spacing=(1.0, 1.0, 1.0)) -> np.ndarray:
    return follow_borders(labels, image, borders or (DENSE,), spacing, go_on)


def row(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(-1, 1, 1)


def test_a_label_grows_to_where_the_image_ends_it() -> None:
    labels, image = row(BONE, *[SOFT] * 6), row(0, 200, 200, 200, 100, 200, 0)
    assert followed(labels, image).ravel().tolist() == [BONE] * 4 + [SOFT] * 3


@pytest.mark.parametrize(("size", "steps"), [(1.0, 5), (2.0, 2), (0.7, 7), (6.0, 0)])
def test_it_grows_no_further_than_asked(size, steps) -> None:
    labels, image = row(BONE, *[SOFT] * 12), np.full((13, 1, 1), 900.0)
    grown = followed(labels, image, spacing=(size, 1.0, 1.0))
    assert (grown == BONE).sum() == 1 + steps


def test_thick_slices_are_stepped_over_as_often_as_they_fit() -> None:
    labels = np.full((13, 13, 5), SOFT, np.uint8)
    labels[6, 6, 2] = BONE
    grown = followed(labels, np.full(labels.shape, 900), spacing=(1.0, 1.0, 4.0)) == BONE
    assert np.flatnonzero(grown.any(axis=(0, 1))).tolist() == [1, 2, 3]
    assert np.flatnonzero(grown[6, :, 2]).tolist() == list(range(1, 12))


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 2.5), (2.5, 0.7, 0.7), (1.0, 1.0, 4.0), (1.3, 0.9, 1.1)])
def test_ways_along_several_axes_are_no_longer_either(spacing) -> None:
    labels = np.full((21, 21, 21), SOFT, np.uint8)
    labels[10, 10, 10] = BONE
    steps = np.abs(np.indices(labels.shape) - 10)
    way = sum(size * along for size, along in zip(spacing, steps, strict=True))
    grown = followed(labels, np.full(labels.shape, 900), spacing=spacing)
    np.testing.assert_array_equal(grown == BONE, way <= 5.001)


def test_memory_does_not_grow_with_what_may_be_grown_into() -> None:
    labels = np.full((120, 120, 60), SOFT, np.uint8)
    labels[:4, :4, :4] = BONE
    image = np.full(labels.shape, 900, np.int16)
    tracemalloc.start()
    followed(labels, image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * labels.size


def test_other_labels_stay_as_they_are() -> None:
    labels, image = row(BONE, LIVER, SOFT), row(200, 200, 200)
    assert followed(labels, image).ravel().tolist() == [BONE, LIVER, SOFT]


def test_below_is_the_other_side() -> None:
    labels, image = row(SOFT, BONE, BONE, BONE), row(50, 20, 90, 10)
    back = Border((SOFT,), (BONE,), 60, above=False, within_mm=5)
    assert followed(labels, image, back).ravel().tolist() == [SOFT, SOFT, BONE, BONE]


def test_a_picture_has_borders_too() -> None:
    labels, image = np.array([[BONE, SOFT, SOFT]], np.uint8), np.array([[0, 200, 10]])
    assert followed(labels, image, spacing=(1.0, 1.0)).tolist() == [[BONE, BONE, SOFT]]


def test_who_cancels_is_heard() -> None:
    def ask() -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        follow_borders(row(BONE, SOFT), row(200, 200), (DENSE,), (1, 1, 1), ask)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), above=st.booleans(), within=st.sampled_from([0.5, 1.0, 2.0, 9.0]))
def test_what_changes_gave_way_to_a_neighbour_by_its_value(seed, above, within) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, (5, 4, 6)).astype(np.uint8)
    image = rng.normal(0, 1, labels.shape).astype(np.float32)
    before = labels.copy()
    border = Border((2, 4), (0, 1), 0.3, above, within)
    grown = followed(labels, image, border)
    np.testing.assert_array_equal(labels, before)
    changed = grown != labels
    assert np.isin(labels[changed], (0, 1)).all() and np.isin(grown[changed], (2, 4)).all()
    assert ((image[changed] > 0.3) == above).all()
    far = followed(labels, image, Border((2, 4), (0, 1), 0.3, above, 99.0))
    passable = np.isin(far, (0, 1)) & ((image > 0.3) == above)
    for axis in range(3):  # none that may be grown into is left beside one that grows
        one, other = (np.take(far, range(*span), axis) for span in ((0, far.shape[axis] - 1), (1, far.shape[axis])))
        free, free_other = (
            np.take(passable, range(*span), axis) for span in ((0, far.shape[axis] - 1), (1, far.shape[axis]))
        )
        assert not (free & np.isin(other, (2, 4))).any() and not (free_other & np.isin(one, (2, 4))).any()
