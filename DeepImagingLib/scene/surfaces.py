"""Closed surfaces of a segmentation, made one segment at a time so that a GUI can breathe in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from DeepImagingLib.scene.volumes import kji_array

MARGIN = 1  # voxels around a segment, so that its surface closes inside the box as it does in the whole


def surfaces(segmentation_node: Any, smoothing: float = 0.5) -> Iterator[float]:
    """Make the surfaces that 3-D views draw, by Slicer's own converter; each step makes one and tells how far it is.

    The surfaces are those of `CreateClosedSurfaceRepresentation` without joint smoothing. The node gets all of them in
    the last step; it stays as it was where the iterator is dropped before.

    Args:
        segmentation_node: Its segments are labelmaps; those that are surfaces already stay as they are.
        smoothing: Slicer's smoothing factor, from 0 (blocky) to 1 (shrinks thin structures).

    Example:
        >>> for fraction in scene.surfaces(node):  # doctest: +SKIP
        ...     print(f"{fraction:.0%}")
    """
    import slicer

    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    parameters = {rule.GetSmoothingFactorParameterName(): str(smoothing), rule.GetJointSmoothingParameterName(): "0"}
    segmentation = segmentation_node.GetSegmentation()
    boxes = _Boxes()
    made: dict[str, Any] = {}
    segment_ids = segmentation.GetSegmentIDs()
    for index, segment_id in enumerate(segment_ids):
        segment = segmentation.GetSegment(segment_id)
        labelmap = segment.GetRepresentation(_labelmap_name()) if segment is not None else None
        if labelmap is not None:
            part = boxes.crop(labelmap, segment.GetLabelValue())
            made[segment_id] = _surface(part, segment.GetLabelValue(), segmentation, parameters)
        if index + 1 == len(segment_ids):
            _attach(segmentation, made, parameters)
        yield (index + 1) / len(segment_ids)


class _Boxes:
    """Where each value of a labelmap is, looked up once a labelmap: most segments fill a small part of theirs."""

    def __init__(self) -> None:
        self._found: dict[Any, list[Any]] = {}

    def crop(self, labelmap: Any, value: int) -> Any:
        """Return the part of a vtkOrientedImageData around a value, at the same place, or None where it is nowhere."""
        import slicer
        import vtk
        from scipy.ndimage import find_objects

        if labelmap.IsEmpty():
            return None
        state = (labelmap, labelmap.GetMTime())  # it may be drawn into between two steps
        if state not in self._found:
            self._found[state] = find_objects(kji_array(labelmap))
        found = self._found[state]
        box = found[value - 1] if 0 < value <= len(found) else None
        if box is None:
            return None
        cut = vtk.vtkExtractVOI()
        cut.SetInputData(labelmap)
        whole = labelmap.GetExtent()
        bounds = [
            bound
            for axis, part in enumerate(reversed(box))
            for bound in (
                max(whole[2 * axis] + part.start - MARGIN, whole[2 * axis]),
                min(whole[2 * axis] + part.stop - 1 + MARGIN, whole[2 * axis + 1]),
            )
        ]
        cut.SetVOI(*bounds)
        cut.Update()
        part = slicer.vtkOrientedImageData()
        part.ShallowCopy(cut.GetOutput())
        part.CopyDirections(labelmap)
        return part


def _surface(labelmap: Any, value: int, like: Any, parameters: Mapping[str, str]) -> Any:
    """Return the vtkPolyData of a value, by the converter of a segmentation of its own: none that others observe."""
    import slicer
    import vtk

    if labelmap is None:
        return vtk.vtkPolyData()
    segment = slicer.vtkSegment()
    segment.SetLabelValue(value)
    segment.AddRepresentation(_labelmap_name(), labelmap)
    segmentation = slicer.vtkSegmentation()
    segmentation.CopyConversionParameters(like)
    for name, text in parameters.items():
        segmentation.SetConversionParameter(name, text)
    segmentation.AddSegment(segment, "one")
    segmentation.CreateRepresentation(_surface_name())
    return segment.GetRepresentation(_surface_name())


def _attach(segmentation: Any, made: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    """Give the surfaces to the segments, the first one last.

    Views judge by the first segment whether there are surfaces, and make, at once, those that others lack.
    """
    import slicer

    for name, text in parameters.items():
        segmentation.SetConversionParameter(name, text)
    for segment_id in reversed(list(made)):
        segment = segmentation.GetSegment(segment_id)
        if segment is not None:  # else it was removed meanwhile
            segment.AddRepresentation(_surface_name(), made[segment_id])
    for segment_id in made:
        segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segment_id)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)


def _labelmap_name() -> str:
    import slicer

    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def _surface_name() -> str:
    import slicer

    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())
