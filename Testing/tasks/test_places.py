"""Places in words."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.results import Code, Terminology
from DeepImagingLib.tasks.places import Structure, place
from Testing.grids import affine

GRID = affine("LPS", (2.0, 2.0, 3.0), (80.0, 80.0, -60.0))  # i 0..79 from the patient's right to the left
SHAPE = (80, 60, 40)


def structure(name: str, part: tuple[slice, slice, slice], grid: np.ndarray = GRID, **further) -> Structure:
    labels = np.zeros(SHAPE, np.uint8)
    labels[part] = 5
    return Structure(name, labels, 5, grid, **further)


def ras(i: float, j: float, k: float, grid: np.ndarray = GRID) -> tuple[float, ...]:
    return tuple((grid @ [i, j, k, 1.0])[:3])


RIGHT_LUNG = structure("right lung", np.s_[5:35, 10:50, 0:30])
LEFT_LUNG = structure("lung_left", np.s_[45:75, 10:50, 0:30])
HEART = structure("Heart", np.s_[36:44, 10:50, 0:30])
BODY = structure("body", np.s_[:, :, :])
ALL = [BODY, RIGHT_LUNG, LEFT_LUNG, HEART]


@pytest.mark.parametrize(("k", "third"), [(1, "lower"), (9, "lower"), (10, "middle"), (19, "middle"), (28, "upper")])
def test_a_lung_has_thirds_by_height(k: int, third: str) -> None:
    assert place(ras(20, 30, k), (6, 6, 6), ALL) == f"right lung, {third} third"
    assert place(ras(60, 30, k), (6, 6, 6), ALL) == f"left lung, {third} third"


def test_the_thirds_are_those_of_the_patient_whatever_way_the_voxels_lie() -> None:
    grid = affine("PIR", (2.0, 3.0, 2.0), (0, 0, 0), (10.0, 5.0, -20.0))  # j grows downward
    lung = structure("left lung", np.s_[:, 5:45, :], grid)
    assert place(ras(40, 10, 20, grid), (5, 5, 5), [lung]) == "left lung, upper third"
    assert place(ras(40, 40, 20, grid), (5, 5, 5), [lung]) == "left lung, lower third"


def test_other_structures_have_none() -> None:
    assert place(ras(40, 30, 5), (6, 6, 6), ALL) == "heart"


def test_the_smallest_structure_around_a_point_is_told() -> None:
    lobe = structure("left upper lobe lung", np.s_[45:75, 10:50, 15:30])
    assert place(ras(60, 30, 20), (6, 6, 6), [*ALL, lobe]) == "left upper lobe of lung"


def test_what_a_mask_leaves_out_belongs_to_what_is_around_it() -> None:
    labels = RIGHT_LUNG.labels.copy()
    labels[18:23, 28:33, 13:17] = 0  # a nodule that isn't lung
    lung = Structure("right lung", labels, 5, GRID)
    assert place(ras(20, 30, 15), (10, 10, 12), [BODY, lung, HEART]) == "right lung, middle third"


@pytest.mark.parametrize("point", [(79, 59, 39), (-200, 0, 0)])
def test_where_nothing_is_near_nothing_is_told(point: tuple[int, int, int]) -> None:
    assert place(ras(*point), (6, 6, 6), ALL) == ""


def test_what_it_is_counts_for_more_than_what_it_is_called() -> None:
    told = Terminology(Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "39607008", "Lung"),
                       Code("SCT", "7771000", "Left"))  # fmt: skip
    mine = structure("Segment_1", np.s_[45:75, 10:50, 0:30], terminology=told)
    assert place(ras(60, 30, 1), (6, 6, 6), [mine]) == "left lung, lower third"
    assert place(ras(60, 30, 1), (6, 6, 6), [structure("Segment_1", np.s_[45:75, :, :])]) == "Segment_1"
