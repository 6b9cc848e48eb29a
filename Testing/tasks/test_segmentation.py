"""From a bundle's last tensor to named layers, and from names to codes and colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.names import unique_ids
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.phantoms.torso_ct import name_of
from DeepImagingLib.tasks.segmentation import channels_of, decode
from DeepImagingLib.tasks.terminology import entries, look_up


class TestDecode:
    def test_a_label_map_keeps_its_values(self) -> None:
        values = np.array([0, 1, 2, 2, 0, 1]).reshape(1, 1, 2, 3)
        layers, segments, exclusive = decode(values, {0: "background", 1: "liver", 2: "spleen"})
        assert exclusive
        np.testing.assert_array_equal(layers, values)
        assert [(s.name, s.value) for s in segments] == [("liver", 1), ("spleen", 2)]

    def test_a_single_named_channel_is_a_mask(self) -> None:
        layers, segments, _ = decode(np.array([0.2, 0.7]).reshape(1, 1, 1, 2), {0: "lesion"})
        assert layers.ravel().tolist() == [0, 1]
        assert segments[0].name == "lesion"

    def test_a_label_that_the_metadata_forgot_is_not_lost(self) -> None:
        layers, segments, _ = decode(np.array([0, 7]).reshape(1, 1, 1, 2), {0: "background", 1: "liver"})
        assert layers.max() == 7
        assert {s.value: s.name for s in segments}[7] == "label 7"

    @pytest.mark.parametrize("labels", [{}, {0: "background"}])
    def test_a_label_map_without_names_keeps_its_values(self, labels) -> None:
        layers, segments, _ = decode(np.array([0, 1, 2, 3]).reshape(1, 1, 1, 4), labels)
        assert layers.ravel().tolist() == [0, 1, 2, 3]
        assert [s.name for s in segments] == ["label 1", "label 2", "label 3"]

    def test_masks_without_names_are_kept_apart_where_the_bundle_takes_a_threshold(self) -> None:
        masks = np.ones((3, 1, 1, 2))
        _, segments, exclusive = decode(masks, {}, exclusive=False)
        assert not exclusive
        assert [s.name for s in segments] == ["channel 0", "channel 1", "channel 2"]

    def test_overlap_is_kept_beside_a_named_background(self) -> None:
        whole, core = np.array([1, 1, 0]), np.array([0, 1, 0])
        masks = np.stack([1 - whole, whole, core]).reshape(3, 1, 1, 3)
        layers, segments, exclusive = decode(masks, {0: "background", 1: "organ", 2: "tumour"}, exclusive=False)
        assert not exclusive
        assert [s.name for s in segments] == ["organ", "tumour"]
        found = [(layers[s.layer] == s.value).ravel().tolist() for s in segments]
        assert found == [[True, True, False], [False, True, False]]

    def test_more_than_255_labels_fit(self) -> None:
        layers, _, _ = decode(np.array([0, 300]).reshape(1, 1, 1, 2), {i: f"n{i}" for i in range(301)})
        assert layers.max() == 300

    def test_scores_with_a_background_exclude_each_other(self) -> None:
        scores = np.array([[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]).reshape(3, 1, 1, 2)
        layers, _, exclusive = decode(scores, {0: "background", 1: "a", 2: "b"})
        assert exclusive
        assert layers.ravel().tolist() == [0, 2]

    @given(st.integers(0, 2**32 - 1), st.integers(2, 6))
    def test_overlapping_masks_come_back_whole(self, seed: int, channels: int) -> None:
        masks = np.random.default_rng(seed).random((channels, 3, 3, 2)) > 0.6
        layers, segments, exclusive = decode(masks.astype(np.float32), {i: f"m{i}" for i in range(channels)})
        assert not exclusive
        for mask, segment in zip(masks, segments, strict=True):
            np.testing.assert_array_equal(layers[segment.layer] == segment.value, mask)

    def test_masks_that_do_not_touch_share_a_layer(self) -> None:
        masks = np.eye(3).reshape(3, 3, 1, 1)
        layers, _, _ = decode(masks, {0: "a", 1: "b", 2: "c"})
        assert len(layers) == 1


class TestIds:
    @given(st.lists(st.text(max_size=8), max_size=8))
    def test_are_ascii_file_names_and_each_once(self, names: list[str]) -> None:
        ids = unique_ids(names)
        assert len({i.lower() for i in ids}) == len(names)
        assert all(i.isascii() and i.replace("_", "a").isalnum() for i in ids)


class TestTerminology:
    @pytest.mark.parametrize("name", ["kidney_right", "Right Kidney", "kidney, right", "RIGHT_KIDNEY"])
    def test_spelling_does_not_matter(self, name: str) -> None:
        terminology, _ = look_up(name)
        assert terminology is not None
        assert terminology.type.value == "64033007"
        assert terminology.modifier is not None
        assert terminology.modifier.meaning == "Right"

    def test_left_and_right_look_different(self) -> None:
        assert look_up("left lung")[1] != look_up("right lung")[1]

    def test_a_side_that_is_part_of_the_code_is_not_a_modifier(self) -> None:
        terminology, _ = look_up("heart_atrium_left")
        assert terminology is not None
        assert terminology.type.meaning == "Left atrium"
        assert terminology.modifier is None

    def test_unknown_names_get_a_colour_of_their_own(self) -> None:
        assert look_up("structure x", 1)[0] is None
        assert look_up("structure x", 1)[1] != look_up("structure y", 2)[1]

    @pytest.mark.parametrize("name", [*(name_of(organ) for organ in Organ if organ), "other tissue"])
    def test_what_the_torso_phantoms_have_has_a_code(self, name: str) -> None:
        assert look_up(name)[0] is not None

    def test_each_code_has_one_meaning(self) -> None:
        meanings: dict[str, set[str]] = {}
        for entry in entries():
            meanings.setdefault(entry.terminology.type.value, set()).add(entry.terminology.type.meaning)
        assert all(len(found) == 1 for found in meanings.values())


def test_labels_are_found_in_capitals_too_unless_that_is_another_label() -> None:
    labels = {0: "background", 1: "Liver", 2: "spleen", 3: "Spleen"}
    assert channels_of(("LIVER", "Spleen"), labels) == {"Liver": 1, "Spleen": 3}
    for name in ("kidney", "SPLEEN"):  # which spleen?
        with pytest.raises(InputError, match=f"no label '{name}'"):
            channels_of((name,), labels)
