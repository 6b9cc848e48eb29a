"""Organs on the side that the header denies are told, in every orientation; nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.tasks.laterality import laterality_warning
from DeepImagingLib.tasks.terminology import look_up
from Testing.grids import AXIS_CODES, LETTERS, affine

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def torso() -> Segmentation:
    _, truth = torso_ct.sample(1_000_001, (4, 4, 4))
    return truth


def turned(result: Segmentation, code: str) -> Segmentation:
    """Return the same body in the same world, its voxels stored in another axis order (the torso's is RAS)."""
    order = [next(r for r, letters in enumerate(LETTERS) if letter in letters) for letter in code]
    flips = [letter == LETTERS[row][0] for letter, row in zip(code, order, strict=True)]
    layers = result.layers.transpose(0, *[1 + row for row in order])
    back = np.eye(4)
    back[:3, :3] = 0
    for axis, (row, flipped) in enumerate(zip(order, flips, strict=True)):
        back[row, axis] = -1 if flipped else 1
        if flipped:
            layers = np.flip(layers, 1 + axis)
            back[row, 3] = layers.shape[1 + axis] - 1
    return replace(result, layers=layers, affine=result.affine @ back)


def only(result: Segmentation, *names: str) -> Segmentation:
    return replace(result, segments=tuple(result.segment(name) for name in names))


def boxes(*organs: tuple[str, int, int], spacing: float = 5.0) -> Segmentation:
    """Return organs as boxes of 20 × 20 voxels from one index to another along the axis to the right."""
    layers = np.zeros((1, 60, 20, 20), np.uint8)
    segments = []
    for value, (name, start, stop) in enumerate(organs, 1):
        layers[0, start:stop] = value
        segments.append(Segment(name, name, 0, value, (1.0, 0.0, 0.0), look_up(name)[0]))
    return Segmentation(layers, affine("RAS", (spacing,) * 3), tuple(segments))


class TestTorso:
    @pytest.mark.parametrize("code", AXIS_CODES)
    def test_a_right_header_says_nothing_and_a_mirrored_one_is_told(self, torso, code) -> None:
        stored = turned(torso, code)
        assert laterality_warning(stored) == ""
        told = laterality_warning(replace(stored, affine=MIRROR @ stored.affine))
        assert "liver left of heart" in told
        assert "the header, or the anatomy (situs inversus)" in told

    def test_an_oblique_grid_says_nothing_and_its_mirror_image_is_told(self, torso) -> None:
        tilted = replace(torso, affine=affine("RAS", rotation=(10, -15, 20)) @ torso.affine)
        assert laterality_warning(tilted) == ""
        assert laterality_warning(replace(tilted, affine=MIRROR @ tilted.affine))

    @pytest.mark.parametrize("names", [("liver", "heart"), ("liver", "spleen"), ("right kidney", "left kidney")])
    def test_any_one_pair_is_enough(self, torso, names) -> None:
        mirrored = replace(torso, affine=MIRROR @ torso.affine)
        assert laterality_warning(only(torso, *names)) == ""
        assert f"{names[0]} left of {names[1]}" in laterality_warning(only(mirrored, *names))

    def test_one_organ_alone_tells_nothing(self, torso) -> None:
        assert laterality_warning(only(replace(torso, affine=MIRROR @ torso.affine), "liver", "right kidney")) == ""


class TestNamesByPlace:
    """What networks that know where organs belong make of a mirrored chest: sides as always, shapes mirrored."""

    SPINE = ("vertebrae", 29, 31)

    @pytest.mark.parametrize("middle", [SPINE, ("spine", 29, 31)])
    def test_a_heart_in_the_middle_beside_a_larger_left_lung_is_told(self, middle) -> None:
        told = laterality_warning(boxes(("left lung", 0, 25), ("heart", 28, 34), middle, ("right lung", 40, 55)))
        assert "heart is not left of the middle, the left lung is larger" in told

    @pytest.mark.parametrize(
        "organs",
        [
            [("left lung", 0, 15), ("heart", 28, 34), SPINE, ("right lung", 36, 55)],
            [("left lung", 0, 20), ("heart", 21, 27), SPINE, ("right lung", 40, 55)],
            [("left lung", 0, 25), ("heart", 28, 34), SPINE],
            [("left lung", 0, 25), ("heart", 28, 34), ("right lung", 40, 55)],
        ],
    )
    def test_either_alone_is_not(self, organs) -> None:
        assert laterality_warning(boxes(*organs)) == ""


class TestDoubt:
    def test_specks_tell_nothing(self) -> None:
        assert laterality_warning(boxes(("liver", 0, 10), ("heart", 40, 50), spacing=1.0)) == ""
        assert laterality_warning(boxes(("liver", 0, 10), ("heart", 40, 50)))

    def test_organs_close_together_tell_nothing(self) -> None:
        assert laterality_warning(boxes(("liver", 10, 13), ("heart", 13, 16))) == ""

    def test_most_organs_tell_where_they_disagree(self) -> None:
        mostly_right = boxes(("spleen", 0, 5), ("liver", 20, 30), ("heart", 10, 15), ("stomach", 35, 40))
        assert laterality_warning(mostly_right) == ""
        mostly_wrong = boxes(("spleen", 0, 5), ("liver", 10, 20), ("heart", 30, 35), ("stomach", 35, 40))
        assert "liver left of heart, liver left of stomach" in laterality_warning(mostly_wrong)

    def test_names_without_a_code_tell_nothing(self) -> None:
        assert laterality_warning(boxes(("right thing", 0, 10), ("left thing", 40, 50))) == ""

    def test_organs_on_layers_of_their_own_are_compared(self) -> None:
        whole = boxes(("liver", 0, 10), ("heart", 40, 50))
        layers = np.stack([whole.layers[0] * (whole.layers[0] == 1), whole.layers[0] * (whole.layers[0] == 2)])
        segments = (whole.segments[0], replace(whole.segments[1], layer=1))
        assert laterality_warning(replace(whole, layers=layers, segments=segments, exclusive=False))

    def test_nothing_found_tells_nothing(self) -> None:
        assert laterality_warning(boxes(("liver", 0, 0), ("heart", 0, 0))) == ""
