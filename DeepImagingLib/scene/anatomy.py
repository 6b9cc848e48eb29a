"""The structures of a segmentation node, as findings are told by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from DeepImagingLib.results import Code, Terminology
from DeepImagingLib.scene.labelled import segmentations_of
from DeepImagingLib.scene.volumes import as_array, kji_array, world_from_local
from DeepImagingLib.tasks.places import Structure

ANYTHING = "85756007"
"""Tissue: what Slicer takes a segment for while nobody says more."""


def anatomy_of(volume_node: Any) -> Any:
    """Return the segmentation node of a volume with the most segments, None where none has any; of equals the newest.

    What a model made tells places too, though nobody has looked at it. One under a non-linear transform tells none: it
    is returned where there is no other.
    """
    newest = [node for node in reversed(segmentations_of(volume_node)) if _segments(node)]
    return max(newest, key=lambda node: (_is_straight(node), _segments(node)), default=None)


def _segments(node: Any) -> int:
    return int(node.GetSegmentation().GetNumberOfSegments())


def _is_straight(node: Any) -> bool:
    parent = node.GetParentTransformNode()
    return bool(parent is None or parent.IsTransformToWorldLinear())


def structures_of(segmentation_node: Any) -> list[Structure]:
    """Return the segments that have voxels, in the world; nothing is copied, and surfaces are not made into labelmaps.

    Raises:
        InputError: The parent transform isn't linear.
    """
    import slicer

    world = world_from_local(segmentation_node)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation = segmentation_node.GetSegmentation()
    segments = (segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments()))
    found = [(segment, segment.GetRepresentation(name)) for segment in segments]
    return [
        Structure(
            segment.GetName(), kji_array(image).T, segment.GetLabelValue(), world @ _from_ijk(image), _told(segment)
        )
        for segment, image in found
        if image is not None and not image.IsEmpty()
    ]


def _from_ijk(image: Any) -> Any:
    """Return (4, 4) from the indices of the array to mm; the image's own need not start at 0."""
    import vtk

    matrix, first = vtk.vtkMatrix4x4(), np.eye(4)
    image.GetImageToWorldMatrix(matrix)
    first[:3, 3] = image.GetExtent()[::2]
    return as_array(matrix) @ first


def _told(segment: Any) -> Terminology | None:
    """Return what the segment's terminology entry says, None where it says nothing: context~category~type~modifier~…"""
    import vtk

    tag = vtk.mutable("")
    if not segment.GetTag("TerminologyEntry", tag):
        return None
    parts = [tuple(part.split("^")) for part in str(tag).split("~")]
    codes = [Code(*part) if len(part) == 3 and part[1] else None for part in parts[1:4]]
    category, kind, modifier = (*codes, None, None, None)[:3]
    return Terminology(category, kind, modifier) if category and kind and kind.value != ANYTHING else None
