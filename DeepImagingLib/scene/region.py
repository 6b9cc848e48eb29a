"""A region of interest drawn in the scene, as ranges of a volume's voxels."""

from __future__ import annotations

from typing import Any

import numpy as np

from DeepImagingLib.files.roi import Ranges, box_corners, voxel_ranges
from DeepImagingLib.scene.volumes import as_array, voxels


def region(roi_node: Any, volume_node: Any) -> Ranges:
    """Return the half-open voxel ranges of a volume node that a vtkMRMLMarkupsROINode covers, for `Options.roi`.

    The box may be turned and both may stand under linear transforms: what is covered is the smallest range of voxels
    that holds all of it.

    Raises:
        InputError: The region lies outside the volume, or there is no volume that `voxels` can give.
    """
    volume = voxels(volume_node)
    world_from_object = as_array(roi_node.GetObjectToWorldMatrix())
    corners = world_from_object @ box_corners(np.zeros(3), roi_node.GetSize(), np.eye(3))
    shape = volume_node.GetImageData().GetDimensions()
    return voxel_ranges(corners, volume.affine, shape, repr(roi_node.GetName()))
