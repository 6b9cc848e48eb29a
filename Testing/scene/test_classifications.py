"""Classifications as nodes: tables, a plot, heatmaps over the scan, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Classification
from DeepImagingLib.scene import overlays, scales, views
from DeepImagingLib.scene.removal import part_nodes
from Testing.classes import LABELS, PROBABILITIES, classification, heatmap
from Testing.grids import affine
from Testing.scene.nodes import GRID, nodes_in, set_parent


@pytest.fixture
def result(blob) -> Classification:
    """Three labels with the heatmaps of two, the second in the other order of memory."""
    first, second = heatmap(blob.shape, sameness=0.1), heatmap(blob.shape, "nodule", layer="features.denseblock4")
    second = replace(second, values=np.asfortranarray(second.values / 2))
    return classification(GRID, blob.shape, heatmaps=(first, second), unlike=0.4)


@pytest.fixture
def sliced(blob) -> Classification:
    """Seen slice by slice, but for the first and the last slice."""
    slices = np.random.default_rng(0).random((blob.shape[2], 3))
    slices[[0, -1]] = np.nan
    return classification(GRID, blob.shape, slices=slices)


def column(table, name: str) -> list:
    import slicer

    return (
        [table.GetTable().GetColumnByName(name).GetVariantValue(n).ToString() for n in range(table.GetNumberOfRows())]
        if (name == "Label")
        else slicer.util.arrayFromTableColumn(table, name).tolist()
    )


def names(table) -> list[str]:
    return [node.GetName() for node in scene.probability_volumes(table)]


def in_front(mrml) -> list[tuple[str, float]]:
    return [(view.GetForegroundVolumeID(), view.GetForegroundOpacity()) for view in overlays.slice_composites(mrml)]


class TestShow:
    def test_makes_a_table_with_a_row_a_label(self, volume, result) -> None:
        table = scene.show_classes(result, volume)
        assert table.GetName() == "scan classes" and column(table, "Label") == list(LABELS)
        assert column(table, "Probability") == list(PROBABILITIES)
        assert column(table, "Found") == [0, 1, 0]
        assert column(table, "Uncalibrated") == [0.2, 0.9, 0.6]

    def test_makes_a_volume_of_each_heatmap_with_raw_values(self, volume, result) -> None:
        import slicer

        table = scene.show_classes(result, volume)
        assert names(table) == ["effusion (gradcam)", "nodule (gradcam, features.denseblock4)"]
        for made, heat in zip(scene.probability_volumes(table), result.heatmaps, strict=True):
            found = slicer.util.arrayFromVolume(made)
            assert found.dtype == np.float32 and made.GetAttribute("DeepImaging.Provenance")
            np.testing.assert_array_equal(found.transpose(2, 1, 0), heat.values)

    @pytest.mark.parametrize("parent", [np.eye(4), affine(origin=(50, 0, 0), rotation=(5, -8, 30))])
    def test_heatmaps_stand_where_the_scan_does(self, volume, result, parent) -> None:
        import slicer

        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine("PIR", (0.7, 1.1, 3), (9, 8, 7), (3, 4, 5))))
        transform = set_parent(volume, parent)
        placed = replace(result, affine=scene.read(volume).affine.numpy())
        for made in scene.probability_volumes(scene.show_classes(placed, volume)):
            assert made.GetTransformNodeID() == transform.GetID()
            np.testing.assert_allclose(scene.voxels(made).affine, placed.affine, atol=1e-12)

    def test_lays_the_map_of_the_most_probable_label_over_the_scan(self, mrml, volume, result) -> None:
        views.add_layout(mrml)
        table = scene.show_classes(replace(result, heatmaps=result.heatmaps[::-1]), volume)
        shown = next(one.node for one in scene.shown_heatmaps(table) if one.label == "effusion")
        assert in_front(mrml) == [(shown.GetID(), 0.5)] * 3
        display = shown.GetDisplayNode()
        assert display.GetColorNode().GetName() == "Inferno" and display.GetApplyThreshold()
        assert display.GetLowerThreshold() == pytest.approx(0.25 * scene.scale_of(shown))

    def test_files_all_of_it_in_one_folder(self, mrml, volume, result, sliced) -> None:
        import slicer

        table = scene.show_classes(replace(sliced, heatmaps=result.heatmaps), volume)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table))
        assert hierarchy.GetItemName(folder) == "tiny_classification"
        for node in (*part_nodes(table), *scene.probability_volumes(table)):
            assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder

    def test_slices_become_a_table_and_a_plot(self, volume, sliced) -> None:
        by_slice, chart, *series = part_nodes(scene.show_classes(sliced, volume))
        seen = np.arange(1, len(sliced.slices) - 1)
        assert column(by_slice, "Slice") == seen.tolist()
        np.testing.assert_array_equal(column(by_slice, "nodule"), sliced.slices[seen, 2])
        assert [one.GetYColumnName() for one in series] == list(LABELS)
        assert chart.GetNumberOfPlotSeriesNodes() == 3 and series[0].GetTableNode() is by_slice

    def test_a_volume_that_was_moved_since_is_refused(self, mrml, volume, result) -> None:
        before = nodes_in(mrml)
        with pytest.raises(InputError, match="moved"):
            scene.show_classes(replace(result, affine=GRID @ affine(origin=(3, 0, 0))), volume)
        assert nodes_in(mrml) == before


class TestScale:
    def scale(self, table) -> float:
        return scene.scale_of(scene.probability_volumes(table)[0])

    def test_is_the_same_in_the_next_run_whatever_its_values(self, volume, result) -> None:
        effusion = result.heatmaps[0]
        first = scene.show_classes(replace(result, heatmaps=(effusion,)), volume)
        weak = replace(effusion, label="nodule", values=effusion.values / 10)
        second = scene.show_classes(replace(result, heatmaps=(weak,)), volume)
        assert self.scale(first) == self.scale(second) == pytest.approx(4, rel=0.1)

    def test_is_kept_when_the_result_is_removed(self, volume, result) -> None:
        first = scene.show_classes(result, volume)
        before = self.scale(first)
        scene.remove(first)
        weak = replace(result.heatmaps[0], values=result.heatmaps[0].values / 10)
        assert self.scale(scene.show_classes(replace(result, heatmaps=(weak,)), volume)) == before

    @pytest.mark.parametrize("other", [{"method": "occlusion"}, {"layer": "features.denseblock3"}])
    def test_is_another_one_for_another_method_or_layer(self, volume, result, other) -> None:
        scene.show_classes(result, volume)
        weak = replace(result.heatmaps[0], values=result.heatmaps[0].values / 10, **other)
        table = scene.show_classes(replace(result, heatmaps=(weak,)), volume)
        assert self.scale(table) == pytest.approx(0.4, rel=0.1)

    def test_fits_all_maps_of_the_model_and_method_anew(self, volume, result) -> None:
        weak = replace(result.heatmaps[0], values=result.heatmaps[0].values / 10)
        first = scene.show_classes(replace(result, heatmaps=(weak,)), volume)
        second = scene.show_classes(result, volume)
        node = scene.probability_volumes(first)[0]
        scene.see_from(node, 0.5)
        assert scene.fit_scale(node) == self.scale(first) == self.scale(second) == pytest.approx(4, rel=0.1)
        assert scene.seen_from(node) == pytest.approx(0.5)

    def test_a_map_of_nothing_sets_none(self, mrml, volume, result) -> None:
        nothing = replace(result.heatmaps[0], values=np.zeros(result.shape, np.float32))
        scene.show_classes(replace(result, heatmaps=(nothing,)), volume)
        assert scales.kept_scale(mrml, scales.scale_name(nothing, result.provenance)) is None

    def test_of_probabilities_is_one(self, volume, result) -> None:
        patches = replace(result.heatmaps[0], method="patches")
        assert self.scale(scene.show_classes(replace(result, heatmaps=(patches,)), volume)) == 1


class TestAdd:
    def test_adds_maps_and_replaces_those_of_the_same_kind(self, mrml, volume, result) -> None:
        views.add_layout(mrml)
        table = scene.show_classes(result, volume)
        new = replace(result.heatmaps[0], values=result.heatmaps[0].values + 1)
        other = replace(new, label="cardiomegaly", method="occlusion")
        made = scene.add_heatmaps(table, replace(result, heatmaps=(new, other)))
        assert sorted(names(table)) == [
            "cardiomegaly (occlusion)", "effusion (gradcam)", "nodule (gradcam, features.denseblock4)"
        ]  # fmt: skip
        assert in_front(mrml)[0][0] == made[0].GetID()

    def test_new_maps_are_seen_as_the_one_that_lies_there(self, mrml, volume, result) -> None:
        views.add_layout(mrml)
        table = scene.show_classes(result, volume)
        there = scene.shown_heatmaps(table)[0].node
        overlays.lay_over(mrml, there, 0.2)
        overlays.see_from(there, 0.6)
        [made] = scene.add_heatmaps(
            table, replace(result, heatmaps=(replace(result.heatmaps[0], label="cardiomegaly"),))
        )
        assert in_front(mrml)[0] == (made.GetID(), 0.2)
        assert overlays.seen_from(made) == pytest.approx(0.6)

    @pytest.mark.parametrize("changed", [{"sha256": "00" * 32}, {"input_sha256": {"image": "00" * 32}}])
    def test_refuses_maps_of_another_model_or_image(self, mrml, volume, result, changed) -> None:
        table = scene.show_classes(result, volume)
        before = nodes_in(mrml)
        with pytest.raises(InputError, match="changed since"):
            scene.add_heatmaps(table, replace(result, provenance=replace(result.provenance, **changed)))
        assert nodes_in(mrml) == before

    def test_needs_the_image(self, mrml, volume, result) -> None:
        table = scene.show_classes(result, volume)
        mrml.RemoveNode(volume)
        with pytest.raises(InputError, match="removed from the scene"):
            scene.add_heatmaps(table, result)


class TestComeAndGo:
    def test_the_way_back_gives_all_of_it(self, volume, result, sliced) -> None:
        given = replace(result, slices=sliced.slices)
        back = scene.classification_of(scene.show_classes(given, volume))
        assert back == given and back.provenance == given.provenance
        np.testing.assert_array_equal(back.slices, given.slices)
        np.testing.assert_array_equal(back.affine, given.affine)
        for one, other in zip(back.heatmaps, given.heatmaps, strict=True):
            np.testing.assert_array_equal(one.values, other.values)

    def test_removing_takes_exactly_what_was_made(self, mrml, volume, result, sliced) -> None:
        other = scene.show_classes(result, volume)
        before = nodes_in(mrml)
        table = scene.show_classes(replace(sliced, heatmaps=result.heatmaps), volume)
        assert len(nodes_in(mrml)) > len(before) + 7
        scene.remove(table)
        assert nodes_in(mrml) == before and len(names(other)) == 2

    @pytest.mark.parametrize("failing", ["first", "last"])
    def test_a_failure_leaves_the_scene_as_it_was(self, mrml, volume, result, sliced, monkeypatch, failing) -> None:
        filed = []

        def fails(volume_node, _table, file=overlays._file) -> None:
            filed.append(volume_node)
            if failing == "first" or len(filed) == 2:
                raise KeyboardInterrupt

        before = nodes_in(mrml)
        monkeypatch.setattr(overlays, "_file", fails)
        with pytest.raises(KeyboardInterrupt):
            scene.show_classes(replace(sliced, heatmaps=result.heatmaps), volume)
        assert nodes_in(mrml) == before

    def test_is_found_again_in_a_saved_scene(self, mrml, volume, result, sliced, tmp_path) -> None:
        import slicer

        given = replace(sliced, heatmaps=result.heatmaps)
        scene.show_classes(given, volume)
        assert slicer.util.saveScene(str(tmp_path / "all.mrb"))
        slicer.util.loadScene(str(tmp_path / "all.mrb"), {"clear": True})
        tables = slicer.util.getNodesByClass("vtkMRMLTableNode")
        loaded = next(table for table in tables if table.GetName() == "scan classes")
        back = scene.classification_of(loaded)
        assert back == given
        np.testing.assert_array_equal(back.slices, given.slices)
        assert scales.kept_scale(mrml, scales.scale_name(given.heatmaps[0], given.provenance)) is not None
        scene.remove(loaded)
        assert not slicer.util.getNodesByClass("vtkMRMLPlotChartNode")


def test_a_jump_moves_the_view_that_looks_along_the_slices_and_no_other(mrml, volume) -> None:
    views.add_layout(mrml)
    offsets = {}
    for name in views.SLICE_VIEWS:
        node = mrml.GetSingletonNode(name, "vtkMRMLSliceNode")
        node.JumpSliceByOffsetting(0, 0, 0)
        offsets[name] = node.GetSliceOffset()
    scene.jump_to_slice(volume, 3)
    now = {name: mrml.GetSingletonNode(name, "vtkMRMLSliceNode").GetSliceOffset() for name in views.SLICE_VIEWS}
    assert now["Red"] == pytest.approx((GRID @ [0, 0, 3, 1])[2])
    assert (now["Green"], now["Yellow"]) == (offsets["Green"], offsets["Yellow"])
