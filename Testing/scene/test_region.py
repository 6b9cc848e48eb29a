"""A region drawn in the scene covers the voxels it seems to."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from Testing.grids import affine
from Testing.scene.nodes import add_volume, set_parent


@pytest.fixture
def roi(mrml):
    node = mrml.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    yield node
    mrml.RemoveNode(node)


def test_of_an_upright_box(mrml, roi):
    volume = add_volume(np.zeros((20, 30, 40)), affine("RAS", (1, 2, 3)))
    roi.SetCenter(10, 20, 30)
    roi.SetSize(6, 8, 12)  # voxels 7…13, 8…12, 8…12 in centres
    assert scene.region(roi, volume) == ((7, 14), (8, 13), (8, 13))


def test_of_a_volume_and_a_box_that_a_transform_moved(mrml, roi):
    volume = add_volume(np.zeros((20, 30, 40)), affine("LPS", (1, 2, 3), (5, 6, 7)))
    moved = affine("RAS", rotation=(0.2, -0.1, 0.4), origin=(50, -20, 10))
    ijk = np.array([10, 12, 20, 1])
    roi.SetCenter(*(affine("LPS", (1, 2, 3), (5, 6, 7)) @ ijk)[:3])
    roi.SetSize(2, 2, 2)
    before = scene.region(roi, volume)
    set_parent(volume, moved)
    set_parent(roi, moved)
    assert scene.region(roi, volume) == before
    assert all(start <= n < stop for (start, stop), n in zip(before, ijk, strict=False))


def test_outside_of_the_volume_says_so(mrml, roi):
    volume = add_volume(np.zeros((4, 4, 4)), np.eye(4))
    roi.SetCenter(100, 0, 0)
    roi.SetSize(2, 2, 2)
    with pytest.raises(InputError, match="'Box' lies outside"):
        scene.region(roi, volume)


@pytest.mark.parametrize("node_class", ["", "vtkMRMLScalarVolumeNode"])
def test_of_no_volume_and_of_one_without_voxels_says_so(mrml, roi, node_class):
    volume = mrml.AddNewNodeByClass(node_class) if node_class else None
    with pytest.raises(InputError, match=r"no (volume|voxels)"):
        scene.region(roi, volume)
