"""What a result looks like as nodes, and what is refused without touching the scene."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.tasks.terminology import look_up
from Testing.grids import affine
from Testing.scene.nodes import add_volume, segment_masks, set_parent

GRID = affine("LPS", (1.0, 1.0, 2.0), (10.0, 20.0, 30.0))


@pytest.fixture
def volume(mrml, blob):
    return add_volume(blob, GRID)


@pytest.fixture
def overlapping(blob) -> Segmentation:
    """A whole with a core inside it on another layer, and a neighbour beside it on the same one."""
    layers = np.zeros((2, *blob.shape), np.uint8)
    layers[0][blob > 0] = 1
    layers[0][15:, :, :] = 3
    layers[1][6:9, 12:16, 5:8] = 2
    names = [("liver", 0, 1), ("core", 1, 2), ("left kidney", 0, 3)]
    segments = tuple(
        Segment(n.replace(" ", "_"), n, layer, v, look_up(n, v)[1], look_up(n)[0]) for n, layer, v in names
    )
    return Segmentation(layers, GRID, segments, exclusive=False)


def nodes_in(mrml) -> list[str]:
    return sorted(mrml.GetNthNode(i).GetID() for i in range(mrml.GetNumberOfNodes()))


class TestShow:
    def test_keeps_overlapping_segments_on_two_layers(self, volume, overlapping) -> None:
        node = scene.show(overlapping, volume)
        assert node.GetSegmentation().GetNumberOfLayers() == 2
        for segment_id, (mask, _) in segment_masks(node).items():
            np.testing.assert_array_equal(mask, overlapping.mask(segment_id))

    def test_names_colours_and_codes_the_segments(self, volume, overlapping) -> None:
        import vtk

        segmentation = scene.show(overlapping, volume).GetSegmentation()
        segment = segmentation.GetSegment("left_kidney")
        tag = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", tag)
        assert segment.GetName() == "left kidney"
        assert "SCT^64033007^Kidney" in str(tag)
        assert "SCT^7771000^Left" in str(tag)
        assert segment.GetColor() == pytest.approx(look_up("left kidney")[1], abs=1e-6)

    def test_makes_surfaces_in_the_patient(self, volume, overlapping) -> None:
        import vtk

        node = scene.show(overlapping, volume)
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation("core", surface)
        expected = (GRID @ np.array([7, 13.5, 6, 1]))[:3]
        np.testing.assert_allclose(surface.GetCenter(), expected, atol=1.0)

    def test_files_the_node_under_a_folder_beside_the_volume(self, mrml, volume, overlapping) -> None:
        import slicer

        node = scene.show(overlapping, volume)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        assert hierarchy.GetItemName(folder) == "Segmentation"
        assert hierarchy.GetItemParent(folder) == hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))

    def test_stands_under_the_transform_of_its_volume(self, mrml, volume, overlapping) -> None:
        from dataclasses import replace

        parent = affine("RAS", origin=(50, 0, 0), rotation=(0, 0, 30))
        transform = set_parent(volume, parent)
        node = scene.show(replace(overlapping, affine=parent @ GRID), volume)
        assert node.GetTransformNodeID() == transform.GetID()

    def test_survives_saving_and_loading_with_overlap(self, mrml, volume, overlapping, tmp_path) -> None:
        import slicer

        node = scene.show(overlapping, volume)
        assert slicer.util.saveNode(node, str(tmp_path / "s.seg.nrrd"))
        loaded = slicer.util.loadSegmentation(str(tmp_path / "s.seg.nrrd"))
        for segment_id in ("liver", "core", "left_kidney"):
            before = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
            after = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, segment_id, volume)
            np.testing.assert_array_equal(before, after)
            assert after.any()


class TestRefusals:
    def test_no_volume_is_named(self, mrml) -> None:
        with pytest.raises(InputError, match="no volume to work on"):
            scene.read(None)

    def test_something_else_than_a_node_is_named(self, overlapping) -> None:
        with pytest.raises(InputError, match="no volume to work on"):
            scene.read("scan")
        with pytest.raises(InputError, match="no volume node"):
            scene.show(overlapping, None)

    def test_a_volume_without_voxels_is_named(self, mrml) -> None:
        with pytest.raises(InputError, match="no voxels"):
            scene.read(mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))

    def test_a_non_linear_transform_is_named_with_its_remedy(self, mrml, volume) -> None:
        import vtk

        transform = mrml.AddNewNodeByClass("vtkMRMLTransformNode")
        spline = vtk.vtkThinPlateSplineTransform()
        for points, shift in ((spline.SetSourceLandmarks, 0.0), (spline.SetTargetLandmarks, 5.0)):
            landmarks = vtk.vtkPoints()
            for i, corner in enumerate(np.ndindex(2, 2, 2)):
                landmarks.InsertNextPoint(*(20.0 * np.array(corner) + (shift if i == 7 else 0.0)))
            points(landmarks)
        spline.SetBasisToR()
        transform.SetAndObserveTransformToParent(spline)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        before = nodes_in(mrml)
        with pytest.raises(InputError, match=r"non-linear transform .* harden"):
            scene.read(volume)
        assert nodes_in(mrml) == before

    def test_a_volume_that_moved_since_is_not_written_over(self, mrml, volume, overlapping) -> None:
        volume.SetOrigin(0, 0, 0)
        before = nodes_in(mrml)
        with pytest.raises(InputError, match="moved since"):
            scene.show(overlapping, volume)
        assert nodes_in(mrml) == before

    def test_a_volume_that_changed_size_is_not_written_over(self, mrml, volume, overlapping, blob) -> None:
        import slicer

        slicer.util.updateVolumeFromArray(volume, np.zeros((3, 4, 5), np.int16))
        before = nodes_in(mrml)
        with pytest.raises(InputError, match="another size"):
            scene.show(overlapping, volume)
        assert nodes_in(mrml) == before


class TestHeadlessFiles:
    @pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
    def test_volumes_are_saved_and_loaded(self, mrml, volume, tmp_path, ending) -> None:
        import slicer

        assert slicer.util.saveNode(volume, str(tmp_path / f"scan{ending}"))
        assert slicer.util.loadVolume(str(tmp_path / f"scan{ending}")).GetImageData().GetDimensions() == (20, 24, 16)

    def test_a_scene_is_saved_and_loaded_whole(self, mrml, volume, overlapping, tmp_path) -> None:
        import slicer

        scene.show(overlapping, volume)
        assert slicer.util.saveScene(str(tmp_path / "all.mrb"))
        slicer.util.loadScene(str(tmp_path / "all.mrb"), {"clear": True})
        (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        assert segmentation.GetSegmentation().GetNumberOfSegments() == 3

    def test_label_colours_are_there(self, mrml) -> None:
        assert mrml.GetNodeByID("vtkMRMLColorTableNodeLabels") is not None
