"""What a result looks like as nodes, and what is refused without touching the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Provenance
from DeepImagingLib.tasks.terminology import look_up
from Testing.grids import affine
from Testing.scene.nodes import GRID, nodes_in, segment_masks, set_parent

PROVENANCE = Provenance("b", "1", "0" * 64, {"image": "f" * 64}, {}, "cpu", "full", "as asked", {}, {}, 1)


def slicer_util():
    """Return slicer.util, which must not be imported before there is an application."""
    import slicer

    return slicer.util


class TestShow:
    def test_names_the_node_as_asked(self, volume, overlapping) -> None:
        assert scene.show(overlapping, volume, surface=False).GetName() == "scan segmentation"
        assert scene.show(overlapping, volume, name="organs", surface=False).GetName() == "organs"

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_takes_layers_in_any_memory_order_and_keeps_a_copy(self, volume, overlapping, order) -> None:
        result = replace(overlapping, layers=np.array(overlapping.layers, order=order))
        node = scene.show(result, volume, surface=False)
        result.layers[:] = 0
        for segment_id, (mask, _) in segment_masks(node).items():
            np.testing.assert_array_equal(mask, overlapping.mask(segment_id))

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


class TestAnExistingOutput:
    @pytest.fixture
    def drawn(self, mrml, volume):
        """A segmentation that the user drew, under a transform of its own."""
        node = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segment_id = node.GetSegmentation().AddEmptySegment("drawn", "Drawn", (0.1, 0.2, 0.3))
        slicer_util().updateSegmentBinaryLabelmapFromArray(np.ones((16, 24, 20), np.uint8), node, segment_id, volume)
        node.GetDisplayNode().SetSegmentOpacity3D(segment_id, 0.5)
        set_parent(node, affine(origin=(9, 9, 9)))
        return node

    def test_is_filled_and_keeps_its_name_its_place_and_its_display(self, mrml, volume, overlapping, drawn) -> None:
        before, display = nodes_in(mrml), drawn.GetDisplayNode()
        assert scene.show(overlapping, volume, node=drawn) is drawn
        assert (drawn.GetName(), drawn.GetTransformNodeID()) == ("mine", volume.GetTransformNodeID())
        assert drawn.GetDisplayNode() is display
        assert nodes_in(mrml) == before
        masks = segment_masks(drawn)
        assert list(masks) == ["liver", "core", "left_kidney"]
        for segment_id, (mask, ijk_to_ras) in masks.items():
            np.testing.assert_array_equal(mask, overlapping.mask(segment_id))
            np.testing.assert_allclose(ijk_to_ras, GRID)

    def test_is_filled_again_and_again(self, volume, overlapping) -> None:
        node = scene.show(overlapping, volume)
        run = node.GetAttribute("DeepImaging.Run")
        scene.show(overlapping, volume, node=node, name="again")
        assert (node.GetName(), node.GetAttribute("DeepImaging.Run")) == ("again", run)
        for segment_id, (mask, _) in segment_masks(node).items():
            np.testing.assert_array_equal(mask, overlapping.mask(segment_id))

    def test_keeps_its_content_where_the_run_does_not_fit(self, mrml, volume, overlapping, drawn) -> None:
        before, voxels = nodes_in(mrml), segment_masks(drawn)["drawn"][0].copy()
        parent, modified = drawn.GetTransformNodeID(), drawn.GetSegmentation().GetMTime()
        unpackable = replace(overlapping, segments=(replace(overlapping.segments[0], layer=7),))
        unwritable = replace(overlapping, provenance=replace(PROVENANCE, options={"device": object()}))
        for wrong in (unpackable, unwritable):
            with pytest.raises((IndexError, TypeError)):
                scene.show(wrong, volume, node=drawn, name="other")
        volume.SetOrigin(0, 0, 0)
        with pytest.raises(InputError, match="moved since"):
            scene.show(overlapping, volume, node=drawn, name="other")
        assert nodes_in(mrml) == before
        assert (drawn.GetName(), drawn.GetTransformNodeID()) == ("mine", parent)
        assert drawn.GetSegmentation().GetMTime() == modified
        assert drawn.GetDisplayNode().GetSegmentOpacity3D("drawn") == 0.5
        np.testing.assert_array_equal(segment_masks(drawn)["drawn"][0], voxels)

    def test_that_is_no_segmentation_of_the_scene_is_named(self, mrml, volume, overlapping, drawn) -> None:
        mrml.RemoveNode(drawn)
        for wrong in (drawn, volume, "mine"):
            with pytest.raises(InputError, match="no segmentation of this scene"):
                scene.show(overlapping, volume, node=wrong)


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
