"""Unions of labels, as segments of their own on as few layers as can be."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepImagingLib.results import Segmentation
from DeepImagingLib.tasks.groups import add_groups, layers_for
from DeepImagingLib.tasks.segmentation import decode

NAMES = ("background", "spine", "ribs", "liver", "left kidney", "right kidney")
LABELS = dict(enumerate(NAMES))


def grouped(values: np.ndarray, groups: dict[str, list[str]]) -> Segmentation:
    layers, segments, exclusive = decode(values[None], LABELS)
    layers, segments = add_groups(layers, segments, groups)
    return Segmentation(layers, np.eye(4), segments, exclusive)


@given(
    values=st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 6, (4, 3, 5))),
    groups=st.dictionaries(
        st.text("Gé 1", min_size=1, max_size=4), st.lists(st.sampled_from(NAMES[1:]), min_size=1), max_size=4
    ),
    order=st.sampled_from("CF"),
)
def test_a_group_is_the_union_of_its_labels_and_labels_stay(values, groups, order) -> None:
    result = grouped(np.asarray(values, order=order).astype(np.uint8), groups)
    np.testing.assert_array_equal(result.layers[0], values)
    assert [s.name for s in result.groups] == list(groups)
    assert len({s.id.lower() for s in result.segments}) == len({s.color for s in result.segments}) == 5 + len(groups)
    for group in result.groups:
        union = np.isin(values, [NAMES.index(label) for label in groups[group.name]])
        np.testing.assert_array_equal(result.mask(group), union)


@pytest.mark.parametrize(
    ("groups", "places"),
    [
        ({}, []),
        ({"bone": ["spine", "ribs"], "kidneys": ["left kidney", "right kidney"]}, [(1, 1), (1, 2)]),
        ({"bone": ["spine", "ribs"], "body": ["spine", "ribs", "liver"]}, [(1, 1), (2, 1)]),
        ({"bone": ["spine", "ribs"], "body": ["spine", "liver"], "soft": ["liver"]}, [(1, 1), (2, 1), (1, 2)]),
    ],
)
def test_groups_without_a_label_in_common_share_a_layer(groups, places) -> None:
    result = grouped(np.arange(6).reshape(1, 2, 3), groups)
    assert [(s.layer, s.value) for s in result.groups] == places
    assert len(result.layers) == 1 + layers_for(groups)


def test_a_group_has_the_codes_of_its_name() -> None:
    result = grouped(np.arange(6).reshape(1, 2, 3), {"bone": ["spine", "ribs"], "body": list(NAMES[1:])})
    assert [s.terminology.type.meaning for s in result.groups] == ["Bone", "Entire body"]


def test_groups_take_no_memory_but_their_masks() -> None:
    layers, segments, _ = decode(np.zeros((1, 64, 256, 256), np.uint8), LABELS)
    tracemalloc.start()
    whole, _ = add_groups(layers, segments, {"bone": ["spine", "ribs"], "body": list(NAMES[1:])})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < whole.nbytes + 16 * whole[0, 0].nbytes
