"""What a run made goes away again, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib import scene
from Testing.scene.nodes import nodes_in, segment_masks


@pytest.fixture
def hierarchy(mrml):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)


def items_in(hierarchy) -> list[str]:
    """Return the names of all folders and nodes in the subject hierarchy, sorted."""
    import vtk

    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    return sorted(hierarchy.GetItemName(items.GetId(i)) for i in range(items.GetNumberOfIds()))


class TestRemove:
    def test_takes_away_all_that_show_added(self, mrml, hierarchy, volume, overlapping) -> None:
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        nodes, items = nodes_in(mrml), items_in(hierarchy)
        node = scene.show(overlapping, volume)
        assert nodes_in(mrml) != nodes
        assert items_in(hierarchy) != items
        scene.remove(node)
        assert nodes_in(mrml) == nodes
        assert items_in(hierarchy) == items

    def test_twice_is_once(self, mrml, volume, overlapping) -> None:
        node = scene.show(overlapping, volume)
        scene.remove(node)
        before = nodes_in(mrml)
        scene.remove(node)
        assert nodes_in(mrml) == before

    def test_takes_the_storage_node_of_a_saved_one_too(self, mrml, volume, overlapping, tmp_path) -> None:
        import slicer

        before = nodes_in(mrml)
        node = scene.show(overlapping, volume)
        slicer.util.saveNode(node, str(tmp_path / "saved.seg.nrrd"))
        scene.remove(node)
        assert nodes_in(mrml) == before

    def test_takes_other_nodes_of_the_run_and_leaves_those_of_others(self, mrml, volume, overlapping) -> None:
        node, other = scene.show(overlapping, volume), scene.show(overlapping, volume)
        for name, owner in (("ours", node), ("theirs", other)):
            map_ = mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
            map_.CreateDefaultDisplayNodes()
            map_.SetAttribute("DeepImaging.Run", owner.GetAttribute("DeepImaging.Run"))
        scene.remove(node)
        assert mrml.GetFirstNodeByName("ours") is None
        assert mrml.GetFirstNodeByName("theirs").GetDisplayNode() is not None
        assert list(segment_masks(other)) == ["liver", "core", "left_kidney"]

    def test_leaves_a_copy_with_its_display(self, mrml, volume, overlapping) -> None:
        node = scene.show(overlapping, volume)
        copy = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "copy")
        copy.CopyContent(node)
        copy.SetAttribute("DeepImaging.Run", node.GetAttribute("DeepImaging.Run"))
        copy.CreateDefaultDisplayNodes()
        scene.remove(node)
        assert copy.GetDisplayNode() is not None
        for segment_id, (mask, _) in segment_masks(copy).items():
            np.testing.assert_array_equal(mask, overlapping.mask(segment_id))

    def test_leaves_a_folder_with_something_else_in_it(self, hierarchy, volume, overlapping) -> None:
        node = scene.show(overlapping, volume)
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        hierarchy.CreateFolderItem(folder, "notes")
        scene.remove(node)
        assert hierarchy.GetItemName(folder) == "Segmentation"

    def test_finds_its_folder_after_the_node_was_moved_out_of_it(self, hierarchy, volume, overlapping) -> None:
        before = items_in(hierarchy)
        node = scene.show(overlapping, volume)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), hierarchy.GetSceneItemID())
        scene.remove(node)
        assert [name for name in items_in(hierarchy) if name != volume.GetName()] == before

    def test_works_on_a_scene_that_was_saved_and_loaded(self, mrml, hierarchy, volume, overlapping, tmp_path) -> None:
        import slicer

        scene.show(overlapping, volume)
        assert slicer.util.saveScene(str(tmp_path / "all.mrb"))
        slicer.util.loadScene(str(tmp_path / "all.mrb"), {"clear": True})
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        scene.remove(node)
        assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        assert not slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
        assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")

    def test_nothing_is_left_where_filing_fails(self, mrml, volume, overlapping, monkeypatch) -> None:
        from DeepImagingLib.scene import segmentations

        def fail(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(segmentations, "file_beside", fail)
        before = nodes_in(mrml)
        with pytest.raises(KeyboardInterrupt):
            scene.show(overlapping, volume)
        assert nodes_in(mrml) == before


class TestAFilledSegmentation:
    @pytest.fixture
    def node(self, mrml, volume, overlapping):
        node = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        return scene.show(overlapping, volume, node=node)

    def test_stays_without_its_segments(self, mrml, node) -> None:
        before = nodes_in(mrml)
        scene.remove(node)
        assert nodes_in(mrml) == before
        assert node.GetSegmentation().GetNumberOfSegments() == 0
        assert node.GetAttribute("DeepImaging.Provenance") is None

    def test_keeps_what_was_drawn_into_the_same_labelmap_since(self, node, volume, overlapping) -> None:
        import slicer

        node.GetSegmentation().AddEmptySegment("drawn")
        theirs = np.zeros((16, 24, 20), np.uint8)
        theirs[10:] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(theirs, node, "drawn", volume)
        node.GetSegmentation().CollapseBinaryLabelmaps(False)
        before = slicer.util.arrayFromSegmentBinaryLabelmap(node, "drawn", volume)
        assert before.any()
        scene.remove(node)
        assert node.GetSegmentation().GetSegmentIDs() == ("drawn",)
        np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, "drawn", volume), before)
