"""Surfaces step by step are Slicer's own, and none is half there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DeepImagingLib import scene
from Testing.scene.nodes import segment_masks

SURFACE = "Closed surface"


def polygons(node) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return segment id → points (N, 3) and the point ids of all polygons."""
    from vtk.util.numpy_support import vtk_to_numpy

    found = {}
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(SURFACE)
        if surface is not None:
            points = surface.GetPoints()
            places = vtk_to_numpy(points.GetData()) if points is not None else np.zeros((0, 3))
            found[segment_id] = places, vtk_to_numpy(surface.GetPolys().GetConnectivityArray())
    return found


@pytest.fixture
def node(volume, overlapping):
    """Segments at the border, inside, overlapping, and one without a voxel."""
    empty = replace(overlapping.segments[0], id="empty", value=9)
    return scene.show(replace(overlapping, segments=(*overlapping.segments, empty)), volume, surface=False)


class TestSurfaces:
    @pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9])
    def test_are_those_of_slicer_in_one_go(self, node, smoothing) -> None:
        assert list(scene.surfaces(node, smoothing)) == [0.25, 0.5, 0.75, 1.0]
        ours = polygons(node)
        node.RemoveClosedSurfaceRepresentation()
        node.GetSegmentation().SetConversionParameter("Smoothing factor", str(smoothing))
        node.CreateClosedSurfaceRepresentation()
        theirs = polygons(node)
        assert list(ours) == list(theirs) == ["liver", "core", "left_kidney", "empty"]
        for segment_id, (points, cells) in theirs.items():
            np.testing.assert_array_equal(ours[segment_id][0], points)
            np.testing.assert_array_equal(ours[segment_id][1], cells)
        assert len(theirs["liver"][0]) > 100
        assert len(theirs["empty"][0]) == 0

    def test_leave_the_labelmaps_as_they_are(self, node, overlapping) -> None:
        list(scene.surfaces(node))
        assert node.GetSegmentation().GetNumberOfLayers() == 2
        for segment_id in ("liver", "core", "left_kidney"):
            np.testing.assert_array_equal(segment_masks(node)[segment_id][0], overlapping.mask(segment_id))

    def test_are_all_there_or_none(self, node) -> None:
        steps = scene.surfaces(node)
        for _ in range(3):
            next(steps)
            assert polygons(node) == {}
        steps.close()
        assert polygons(node) == {}

    def test_are_never_seen_in_part_by_those_who_look_at_the_first_segment(self, node) -> None:
        seen = []
        segmentation = node.GetSegmentation()

        def look(*_) -> None:
            if segmentation.GetNthSegment(0).GetRepresentation(SURFACE) is not None:
                seen.append(len(polygons(node)))

        import slicer

        observer = segmentation.AddObserver(slicer.vtkSegmentation.SegmentModified, look)
        list(scene.surfaces(node))
        segmentation.RemoveObserver(observer)
        assert set(seen) == {4}

    def test_tell_those_who_wait_for_surfaces(self, node) -> None:
        import slicer

        told = []
        kinds = (
            slicer.vtkSegmentation.ContainedRepresentationNamesModified,
            slicer.vtkSegmentation.RepresentationModified,
        )
        observers = [node.AddObserver(kind, lambda *_, kind=kind: told.append(kind)) for kind in kinds]
        list(scene.surfaces(node))
        for observer in observers:
            node.RemoveObserver(observer)
        assert told.count(kinds[0]) == 1
        assert told.count(kinds[1]) == 4

    def test_come_again_with_another_smoothing(self, node) -> None:
        list(scene.surfaces(node, 0.0))
        blocky = polygons(node)["liver"][0].copy()
        list(scene.surfaces(node, 0.8))
        assert not np.array_equal(polygons(node)["liver"][0], blocky)

    def test_of_a_segment_removed_meanwhile_are_not_missed(self, node) -> None:
        steps = scene.surfaces(node)
        next(steps)
        node.GetSegmentation().RemoveSegment("core")
        assert list(steps)[-1] == 1.0
        assert list(polygons(node)) == ["liver", "left_kidney", "empty"]

    def test_of_no_segments_are_none(self, mrml) -> None:
        assert list(scene.surfaces(mrml.AddNewNodeByClass("vtkMRMLSegmentationNode"))) == []
