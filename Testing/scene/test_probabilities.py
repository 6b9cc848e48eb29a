"""Probability volumes as nodes: where they stand, how they look, and that they come and go with their segmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.files import as_image
from DeepImagingLib.results import Segmentation
from DeepImagingLib.scene import ResultExport, overlays, views
from Testing.grids import affine
from Testing.scene.nodes import nodes_in, segment_masks, set_parent

SEGMENTATION, VOLUME = "vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"


@pytest.fixture
def probable(overlapping) -> Segmentation:
    """Labels with two volumes, one in each order of memory."""
    values = np.random.default_rng(0).random(overlapping.layers.shape[1:], np.float32)
    return replace(overlapping, probability={"liver": np.asfortranarray(values), "core": values**2})


def names(node) -> list[str]:
    return [volume.GetName() for volume in scene.probability_volumes(node)]


def nodes_of(mrml, kind: str) -> list:
    return [mrml.GetNthNodeByClass(index, kind) for index in range(mrml.GetNumberOfNodesByClass(kind))]


class TestShow:
    def test_makes_a_volume_of_each_with_its_voxels(self, volume, probable) -> None:
        import slicer

        node = scene.show(probable, volume, surface=False)
        assert names(node) == ["liver probability", "core probability"]
        for made, values in zip(scene.probability_volumes(node), probable.probability.values(), strict=True):
            found = slicer.util.arrayFromVolume(made)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found.transpose(2, 1, 0), values)

    def test_keeps_a_copy(self, volume, probable) -> None:
        import slicer

        first, _ = scene.probability_volumes(scene.show(probable, volume, surface=False))
        before = slicer.util.arrayFromVolume(first).copy()
        probable.probability["liver"][:] = 0
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(first), before)

    @pytest.mark.parametrize("parent", [np.eye(4), affine(origin=(50, 0, 0), rotation=(5, -8, 30))])
    def test_stands_where_the_scan_does(self, mrml, volume, probable, parent) -> None:
        import slicer

        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine("PIR", (0.7, 1.1, 3), (9, 8, 7), (3, 4, 5))))
        transform = set_parent(volume, parent)
        result = replace(probable, affine=scene.read(volume).affine.numpy())
        for made in scene.probability_volumes(scene.show(result, volume, surface=False)):
            assert made.GetTransformNodeID() == transform.GetID()
            for given in ("GetOrigin", "GetSpacing"):
                np.testing.assert_array_equal(getattr(made, given)(), getattr(volume, given)())
            np.testing.assert_allclose(scene.voxels(made).affine, result.affine, atol=1e-12)

    def test_lies_over_the_scan_in_fixed_colours(self, volume, probable) -> None:
        above = replace(probable, probability={"liver": probable.probability["liver"] * np.float32(1.5)})
        (made,) = scene.probability_volumes(scene.show(above, volume, surface=False))
        display = made.GetDisplayNode()
        assert display.GetColorNode().GetName() == "Inferno"
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)
        assert not display.GetAutoWindowLevel() and not display.GetAutoThreshold() and display.GetApplyThreshold()
        assert display.GetLowerThreshold() == pytest.approx(0.05)
        assert display.GetUpperThreshold() >= above.probability["liver"].max()

    def test_colours_are_slicers_inferno(self, mrml) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        table = mrml.GetNodeByID(overlays.COLORS).GetLookupTable()
        colors = [table.GetTableValue(index)[:3] for index in range(256)]
        np.testing.assert_allclose(colors, matplotlib.colormaps["inferno"](np.arange(256))[:, :3], atol=0.03)

    def test_files_them_with_the_segmentation(self, mrml, volume, probable) -> None:
        import slicer

        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)
        node = scene.show(probable, volume, surface=False)
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        assert hierarchy.GetItemName(folder) == "Segmentation"
        for made in scene.probability_volumes(node):
            assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(made)) == folder

    def test_none_where_there_are_none(self, mrml, volume, overlapping) -> None:
        assert scene.probability_volumes(scene.show(overlapping, volume, surface=False)) == []


class TestComeAndGo:
    @pytest.fixture(params=["new", "filled"])
    def node(self, request, mrml, volume, probable):
        """A segmentation that a run made, or the user's own that a run filled."""
        own = mrml.AddNewNodeByClass(SEGMENTATION, "mine") if request.param == "filled" else None
        return scene.show(probable, volume, node=own, surface=False)

    def test_removing_the_result_takes_them_with_their_displays(self, mrml, volume, node) -> None:
        shown = [n.GetID() for v in scene.probability_volumes(node) for n in (v, v.GetDisplayNode())]
        assert len(shown) == 4
        scene.remove(node)
        assert not {*shown} & {*nodes_in(mrml)}
        assert nodes_of(mrml, VOLUME) == [volume]

    def test_another_run_replaces_them(self, mrml, volume, probable, node) -> None:
        fewer = replace(probable, probability={"core": probable.probability["core"]})
        scene.show(fewer, volume, node=node, surface=False)
        assert names(node) == ["core probability"]
        assert len(nodes_of(mrml, VOLUME)) == 2

    def test_those_of_another_result_stay(self, volume, probable, node) -> None:
        other = scene.show(probable, volume, surface=False)
        scene.remove(node)
        assert names(other) == ["liver probability", "core probability"]

    def test_are_found_again_in_a_saved_scene(self, mrml, node, tmp_path) -> None:
        import slicer

        assert slicer.util.saveScene(str(tmp_path / "all.mrb"))
        slicer.util.loadScene(str(tmp_path / "all.mrb"), {"clear": True})
        (loaded,) = slicer.util.getNodesByClass(SEGMENTATION)
        assert names(loaded) == ["liver probability", "core probability"]
        display = scene.probability_volumes(loaded)[0].GetDisplayNode()
        assert display.GetColorNodeID() == overlays.COLORS
        assert display.GetLowerThreshold() == pytest.approx(0.05)
        scene.remove(loaded)
        assert [volume.GetName() for volume in nodes_of(mrml, VOLUME)] == ["scan"]

    @pytest.mark.parametrize("failing", ["first", "last"])
    def test_a_failure_leaves_the_scene_as_it_was(self, mrml, volume, probable, node, monkeypatch, failing) -> None:
        filed = []

        def fails(volume_node, _segmentation, file=overlays._file) -> None:
            filed.append(volume_node)
            if failing == "first" or len(filed) == 2:
                raise KeyboardInterrupt

        before, kept = nodes_in(mrml), segment_masks(node)["liver"][0].copy()
        monkeypatch.setattr(overlays, "_file", fails)
        for output in (None, node):
            filed.clear()
            with pytest.raises(KeyboardInterrupt):
                scene.show(probable, volume, node=output, name="other", surface=False)
            assert nodes_in(mrml) == before
        assert node.GetName() != "other"
        np.testing.assert_array_equal(segment_masks(node)["liver"][0], kept)


def test_seen_over_the_scan_it_hides_nothing_where_it_is_low(mrml, blob) -> None:
    """Drawn by Slicer's own slice view: dark where unlikely, coloured where likely."""
    if not views.can_draw():
        pytest.skip("no OpenGL library here")
    grid = affine("RAS", (4.0, 4.0, 4.0), (-100, -100, -100))
    likely = np.zeros((50, 50, 50), np.float32)
    likely[:, :25] = 0.04
    likely[:25, 25:] = 0.7
    empty = Segmentation(np.zeros((1, 50, 50, 50), np.uint8), grid, (), probability={"liver": likely})
    export = ResultExport(empty, {"scan": as_image(np.full((1, 50, 50, 50), 40, np.float32), grid)}, "CT")
    application, volume = export._scene.application, export._scene.volume
    composite = application.mrmlScene().GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    (made,) = [v for v in nodes_of(application.mrmlScene(), VOLUME) if v is not volume]
    composite.SetForegroundVolumeID(made.GetID())
    composite.SetForegroundOpacity(1.0)
    picture = views.slice_view(application, "Red", volume, np.zeros(3), 200).draw().astype(int)
    colourful = np.ptp(picture, axis=2) > 60
    assert 0.2 < colourful.mean() < 0.3, "a quarter is likely"
    rows, columns = np.nonzero(colourful)
    assert rows.max() < 105 and columns.min() > 95, "anterior, and on the patient's left"


def test_lie_over_their_own_scan_alone(mrml, volume, probable) -> None:
    """A view of another scan, and what lies over that, stay as they are."""
    first, _ = scene.probability_volumes(scene.show(probable, volume, surface=False))
    other, fused = (mrml.AddNewNodeByClass(VOLUME) for _ in range(2))
    other.SetSpacing(7, 7, 7)
    ours, theirs = (mrml.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(2))
    ours.SetBackgroundVolumeID(volume.GetID())
    theirs.SetBackgroundVolumeID(other.GetID())
    theirs.SetForegroundVolumeID(fused.GetID())
    theirs.SetForegroundOpacity(0.8)
    for shown in (first, None):
        overlays.lay_over(mrml, shown, 0.3)
        assert ours.GetForegroundVolumeID() == (first.GetID() if shown else None)
        assert (theirs.GetForegroundVolumeID(), theirs.GetForegroundOpacity()) == (fused.GetID(), 0.8)
