"""Whether volumes can be given to a model is told at once, in the words of a run that would fail."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.scene import fitness
from Testing.grids import affine
from Testing.scene.nodes import add_volume, set_parent


@pytest.fixture
def scan(mrml):
    rng = np.random.default_rng(0)
    return lambda low=-1000, high=1000, grid=None, shape=(12, 10, 8): add_volume(
        rng.integers(low, high, shape).astype(np.int16), np.eye(4) if grid is None else grid
    )


def test_a_volume_that_fits_has_no_problem(scan):
    assert fitness.problem({"image": scan()}) == "" == fitness.doubt({"image": scan()}, "CT")


def test_what_a_run_would_refuse_is_told_before(mrml, scan):
    flat = add_volume(np.full((6, 6, 6), 3, np.int16), np.eye(4))
    empty = mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert "is 3 everywhere" in fitness.problem({"image": flat})
    assert "no voxels" in fitness.problem({"image": empty})
    assert "two-dimensional" in fitness.problem({"image": scan(shape=(9, 9, 1))})
    assert "no volume" in fitness.problem({"image": None})


def test_a_sheared_parent_transform_is_told(scan):
    volume, shear = scan(), np.eye(4)
    shear[0, 1] = 0.3
    set_parent(volume, shear)
    assert "sheared" in fitness.problem({"image": volume})


def test_channels_of_several_grids_are_told_by_name(scan):
    moved = scan(grid=affine("RAS", origin=(5, 0, 0)))
    assert "'T2' lie 5 mm apart" in fitness.problem({"T1": scan(), "T2": moved})


def test_a_volume_is_no_picture(scan):
    assert "works on pictures" in fitness.problem({"image": scan()}, takes_volume=False)


@pytest.mark.parametrize(("modality", "expected"), [("CT", True), ("ct", True), ("MR", False), ("", False)])
def test_values_unlike_a_ct_are_doubted_for_ct_alone(scan, modality, expected):
    assert bool(fitness.doubt({"image": scan(0, 255)}, modality)) is expected


def test_asking_changes_nothing(scan):
    volume = scan()
    before = scene.state_of(volume)
    fitness.problem({"image": volume})
    fitness.doubt({"image": volume}, "CT")
    assert scene.changed_since(before, volume) == ""


def test_one_volume_for_two_inputs_is_told(scan):
    volume = scan()
    assert "'T1c' and 'T1' are the same volume" in fitness.problem({"T1c": volume, "T2": scan(), "T1": volume})


def test_the_range_follows_the_voxels_and_leaves_out_what_is_no_number(mrml):
    import slicer

    values = np.linspace(-3, 8, 6**3).reshape(6, 6, 6).astype(np.float32)
    values[2, 2, 2] = np.nan
    volume = add_volume(values, np.eye(4))
    assert fitness.value_range(volume) == (-3.0, 8.0)
    slicer.util.arrayFromVolume(volume)[3, 0, 0] = 99
    slicer.util.arrayFromVolumeModified(volume)
    assert fitness.value_range(volume) == (-3.0, 99.0)
