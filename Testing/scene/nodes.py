"""Make and read MRML nodes in tests, without the code under test."""

from __future__ import annotations

import numpy as np

from Testing.grids import affine

GRID = affine("LPS", (1.0, 1.0, 2.0), (10.0, 20.0, 30.0))
"""Of the volume that the fixture of that name adds."""


def add_volume(array: np.ndarray, ijk_to_ras: np.ndarray, name: str = "scan"):
    """Add a volume node by Slicer's own utility from (I, J, K)."""
    import slicer

    return slicer.util.addVolumeFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)), ijk_to_ras, name)


def set_parent(node, matrix: np.ndarray):
    """Put a node under a new linear transform node; returns that."""
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def segment_masks(node) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return segment id → mask (I, J, K) and its IJK→world RAS, from the labelmaps as they are stored."""
    import slicer
    import vtk

    masks = {}
    segmentation = node.GetSegmentation()
    to_world = np.eye(4)
    if node.GetParentTransformNode() is not None:
        matrix = vtk.vtkMatrix4x4()
        node.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
        to_world = slicer.util.arrayFromVTKMatrix(matrix)
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        labelmap = segment.GetRepresentation("Binary labelmap")
        matrix = vtk.vtkMatrix4x4()
        labelmap.GetImageToWorldMatrix(matrix)
        voxels = slicer.util.arrayFromVTKMatrix(matrix)
        start = np.eye(4)
        start[:3, 3] = np.array(labelmap.GetExtent())[::2]
        from vtk.util.numpy_support import vtk_to_numpy

        array = (
            vtk_to_numpy(labelmap.GetPointData().GetScalars())
            .reshape(*reversed(labelmap.GetDimensions()))
            .transpose(2, 1, 0)
        )
        masks[segmentation.GetNthSegmentID(index)] = (array == segment.GetLabelValue(), to_world @ voxels @ start)
    return masks


def nodes_in(mrml) -> list[str]:
    """Return the ids of all nodes, sorted."""
    return sorted(mrml.GetNthNode(i).GetID() for i in range(mrml.GetNumberOfNodes()))
