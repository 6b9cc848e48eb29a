"""The result section on real nodes: what it shows, what it does to the scene, and what others do to the node."""

# ruff: noqa: E402 - `qt` and the panels' widgets can be imported once the stand-ins are in place.
from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib import scene
from DeepImagingLib.hosts.job import Outcome
from DeepImagingLib.inference.ladder import AS_PLANNED, Way, step_down
from DeepImagingLib.phantoms.torso_ct import sample
from DeepImagingLib.results import Provenance, Segment, Segmentation
from DeepImagingLib.tasks.measures import as_csv, measure
from Testing.panels.standins import click, install, process_events_until, render

install()
import qt
import slicer

from DeepImagingPanel.result_section import ResultSection

NAME, MILLILITERS, MEAN, SD = range(4)
WARNING = "Organs lie on the other side than expected; check which side is which."
SURFACE = "Closed surface"
TEN = [
    "right lung", "left lung", "heart", "aorta", "liver", "spleen", "right kidney", "left kidney", "urinary bladder",
    "spine",
]  # fmt: skip


@pytest.fixture(scope="module")
def phantom() -> tuple[Any, Outcome]:
    """A scan, and a run's answer on it: ten organs, and one that was not found."""
    images, truth = sample(1_000_001, spacing=(10.0, 10.0, 10.0))
    provenance = Provenance(
        bundle="torso",
        version="1.2.3",
        sha256="4f" * 32,
        input_sha256={"ct": "ab" * 32},
        options={"precision": "auto"},
        device="cpu",
        precision="full",
        memory_step="as asked",
        versions={"monai": "1.6.1"},
        seconds={"inference": 3.214},
        peak_memory=2 * 1024**3,
        notes=(WARNING,),
    )
    segments = tuple(segment for segment in truth.segments if segment.name in TEN)
    layers = truth.layers * np.isin(truth.layers, [segment.value for segment in segments])
    segments = (*segments, Segment("adrenal", "adrenal", 0, 99, (0.0, 1.0, 1.0)))
    result = replace(truth, layers=layers, segments=segments, provenance=provenance)
    return images["ct"], Outcome(result, measure(result, images["ct"], "CT"))


@pytest.fixture
def mrml() -> Any:
    slicer.mrmlScene.Clear(False)
    return slicer.mrmlScene


@pytest.fixture
def node(mrml: Any, phantom: tuple[Any, Outcome]) -> Any:
    image, outcome = phantom
    assert isinstance(outcome.result, Segmentation)
    return scene.show(outcome.result, scene.add_volume(mrml, image, "scan"), surface=False)


@pytest.fixture
def section(node: Any, phantom: tuple[Any, Outcome]) -> Iterator[ResultSection]:
    """The section that shows the run's result."""
    made = ResultSection()
    made.setResult(node, phantom[1])
    made.show()
    settle()
    yield made
    made.clear()
    made.deleteLater()
    settle()


def settle() -> None:
    process_events_until(lambda: True)


def column(section: ResultSection, number: int) -> list[str]:
    """Return the texts of a column, of the rows that are seen, from top to bottom."""
    view = section.ui.segmentsView
    model, root = view.model(), qt.QModelIndex()
    rows = [row for row in range(model.rowCount()) if not view.isRowHidden(row, root)]
    return [model.data(model.index(row, number)) for row in rows]


def index_of(section: ResultSection, name: str, number: int = NAME) -> Any:
    model = section.ui.segmentsView.model()
    return next(model.index(row, number) for row in range(model.rowCount()) if model.index(row, NAME).data() == name)


def ids(mrml: Any) -> set[str]:
    return {mrml.GetNthNode(index).GetID() for index in range(mrml.GetNumberOfNodes())}


class TestTable:
    def test_lists_the_segments_with_volume_and_intensity(self, section, phantom) -> None:
        liver = next(m for m in phantom[1].measures if m.name == "liver")
        expected = [f"{liver.milliliters:.0f}", f"{liver.mean:.1f}", f"{liver.sd:.1f}"]  # three digits mean something
        assert [index_of(section, "liver", c).data() for c in (MILLILITERS, MEAN, SD)] == expected
        header = section.ui.segmentsView.model().headerData
        assert [header(c, qt.Qt.Horizontal) for c in range(4)] == ["Segment", "mL", "Mean HU", "SD"]

    @pytest.mark.parametrize("number", [MILLILITERS, MEAN, SD])
    def test_sorts_numbers_as_numbers(self, section, number) -> None:
        section.ui.segmentsView.sortByColumn(number, qt.Qt.AscendingOrder)
        shown = column(section, number)
        assert [float(text) for text in shown] == sorted(float(text) for text in shown)
        assert shown != sorted(shown)

    def test_sorts_names_whatever_their_case(self, section, node) -> None:
        node.GetSegmentation().GetSegment("spleen").SetName("Aneurysm")
        settle()
        section.ui.segmentsView.sortByColumn(NAME, qt.Qt.AscendingOrder)
        assert column(section, NAME)[:2] == ["Aneurysm", "aorta"]

    def test_tells_a_foreign_name_as_it_is_written(self, section, node) -> None:
        node.GetSegmentation().GetSegment("spleen").SetName("<h1>spleen</h1>")
        settle()
        told = index_of(section, "<h1>spleen</h1>").data(qt.Qt.ToolTipRole)
        assert told.startswith("<qt>&lt;h1&gt;spleen&lt;/h1&gt;: ")

    def test_keeps_the_bundles_order_until_a_column_is_clicked(self, section, phantom) -> None:
        assert column(section, NAME) == [m.name for m in phantom[1].measures if m.voxels]

    def test_shows_empty_segments_only_when_asked(self, section) -> None:
        assert "adrenal" not in column(section, NAME)
        assert section.ui.showEmptyCheckBox.text == "Show empty (1)"
        click(section.ui.showEmptyCheckBox)
        assert column(section, NAME)[-1] == "adrenal"
        assert index_of(section, "adrenal", MEAN).data() == "–"
        assert not index_of(section, "adrenal").flags() & qt.Qt.ItemIsEnabled

    def test_hides_a_segment_by_its_box(self, section, node) -> None:
        view = section.ui.segmentsView
        view.model().setData(index_of(section, "liver"), qt.Qt.Unchecked, qt.Qt.CheckStateRole)
        assert not node.GetDisplayNode().GetSegmentVisibility("liver")
        assert node.GetDisplayNode().GetSegmentVisibility("spleen")

    def test_enter_centers_the_slices_on_the_segment(self, section, node, mrml) -> None:
        red = mrml.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
        section.ui.segmentsView.setCurrentIndex(index_of(section, "liver"))
        press(section.ui.segmentsView, "Key_Return")
        place = [red.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
        assert place == pytest.approx(node.GetSegmentCenterRAS("liver"))

    def test_copies_what_is_seen_in_the_order_it_is_seen(self, section) -> None:
        section.ui.segmentsView.sortByColumn(MILLILITERS, qt.Qt.DescendingOrder)
        click(section.ui.copyButton)
        lines = qt.QApplication.clipboard().text().splitlines()
        assert lines[0] == "Segment\tmL\tMean HU\tSD"
        assert [line.split("\t")[0] for line in lines[1:]] == column(section, NAME)

    def test_copies_the_selected_rows_by_keyboard(self, section) -> None:
        view = section.ui.segmentsView
        view.setCurrentIndex(index_of(section, "spleen"))
        section.activateWindow()
        view.setFocus()
        settle()
        press(view, "Key_C", "ControlModifier")
        assert [line.split("\t")[0] for line in qt.QApplication.clipboard().text().splitlines()[1:]] == ["spleen"]

    def test_needs_no_more_width_than_a_narrow_panel_has(self, section, tmp_path) -> None:
        render(section, tmp_path / "narrow.png", 300)
        header = section.ui.segmentsView.header()
        assert section.minimumSizeHint().width() <= 300
        assert header.length() <= section.ui.segmentsView.viewport().width
        assert header.sectionSize(NAME) > 80


class TestChangesElsewhere:
    def test_colour_name_and_visibility_follow(self, section, node) -> None:
        segment = node.GetSegmentation().GetSegment("liver")
        segment.SetColor(0.0, 0.0, 1.0)
        segment.SetName("Leber")
        node.GetDisplayNode().SetSegmentVisibility("liver", False)
        settle()
        index = index_of(section, "Leber")
        assert index.data(qt.Qt.DecorationRole).name() == "#0000ff"
        assert section.ui.segmentsView.model().itemFromIndex(index).checkState() != qt.Qt.Checked
        assert not node.GetDisplayNode().GetSegmentVisibility("liver")

    def test_what_is_not_shown_by_default_has_an_empty_box(self, section, node, phantom) -> None:
        outcome = phantom[1]
        segments = tuple(replace(s, shown=s.id != "liver") for s in outcome.result.segments)
        scene.show(replace(outcome.result, segments=segments), slicer.util.getNode("scan"), node=node, surface=False)
        section.setResult(node, outcome)
        settle()
        box = section.ui.segmentsView.model().itemFromIndex(index_of(section, "liver"))
        assert box.checkState() == qt.Qt.Unchecked
        box.setCheckState(qt.Qt.Checked)
        assert node.GetDisplayNode().GetSegmentVisibility("liver")

    def test_a_segment_removed_leaves_the_table(self, section, node) -> None:
        node.GetSegmentation().RemoveSegment("liver")
        settle()
        assert "liver" not in column(section, NAME)

    def test_says_when_voxels_are_no_longer_those_measured(self, section, node, phantom) -> None:
        assert section.ui.notesLabel.text == WARNING
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, "liver")
        voxels[:] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, "liver")
        settle()
        assert "edited since the run" in section.ui.notesLabel.text
        section.setResult(node, phantom[1])
        assert section.ui.notesLabel.text == WARNING

    def test_a_deleted_node_clears_the_section(self, section, node, mrml) -> None:
        mrml.RemoveNode(node)
        assert section.node is None
        assert not section.enabled
        assert column(section, NAME) == []
        assert section.ui.notesLabel.text == ""

    def test_a_closed_scene_clears_the_section_while_surfaces_are_made(self, section, mrml) -> None:
        click(section.ui.show3DCheckBox)
        mrml.Clear(False)
        settle()
        assert section.node is None
        assert not section.ui.show3DCheckBox.checked

    def test_opacity_follows_and_leads(self, section, node) -> None:
        display = node.GetDisplayNode()
        display.SetOpacity2DFill(0.25)
        settle()
        assert section.ui.opacitySlider.value == pytest.approx(0.25)
        assert display.GetOpacity3D() == 1.0
        section.ui.opacitySlider.value = 0.75
        assert (display.GetOpacity2DFill(), display.GetOpacity3D()) == (0.75, 0.75)


class TestSurfaces:
    def test_are_made_one_at_a_time_and_shown(self, section, node) -> None:
        told = set()
        click(section.ui.show3DCheckBox)
        process_events_until(lambda: told.add(section.ui.progressLabel.text) or has_surface(node, "liver"))
        settle()
        assert {"Making surfaces…", "Making surfaces… 55 %"} <= told
        assert section.ui.progressLabel.text == ""
        assert section.ui.show3DCheckBox.checked
        assert node.GetDisplayNode().GetVisibility3D()

    def test_take_the_smoothing_of_the_slider(self, section, node) -> None:
        click(section.ui.show3DCheckBox)
        process_events_until(lambda: has_surface(node, "liver"))
        rough = node.GetClosedSurfaceInternalRepresentation("liver").GetBounds()
        section.ui.smoothingSlider.value = 0.95
        process_events_until(lambda: not section.ui.progressLabel.text)
        assert node.GetSegmentation().GetConversionParameter("Smoothing factor") == "0.95"
        assert node.GetClosedSurfaceInternalRepresentation("liver").GetBounds() != rough

    def test_are_dropped_by_unticking(self, section, node) -> None:
        click(section.ui.show3DCheckBox)
        process_events_until(lambda: "%" in section.ui.progressLabel.text)
        click(section.ui.show3DCheckBox)
        settle()
        assert not has_surface(node, "liver")
        assert section.ui.progressLabel.text == ""
        assert not section.ui.show3DCheckBox.checked

    def test_are_hidden_and_shown_again_without_being_made_again(self, section, node) -> None:
        click(section.ui.show3DCheckBox)
        process_events_until(lambda: has_surface(node, "liver"))
        settle()
        made = node.GetClosedSurfaceInternalRepresentation("liver")
        click(section.ui.show3DCheckBox)
        assert not node.GetDisplayNode().GetVisibility3D()
        click(section.ui.show3DCheckBox)
        assert node.GetDisplayNode().GetVisibility3D()
        assert section.ui.progressLabel.text == ""
        assert node.GetClosedSurfaceInternalRepresentation("liver") is made

    def test_are_those_of_the_new_run_where_the_node_was_filled_again(self, section, node, phantom) -> None:
        click(section.ui.show3DCheckBox)
        process_events_until(lambda: "55 %" in section.ui.progressLabel.text)  # the liver's is made
        result = phantom[1].result
        empty = replace(result, layers=result.layers * (result.layers != result.segment("liver").value))
        scene.show(empty, slicer.util.getNode("scan"), node=node, surface=False)
        process_events_until(lambda: has_surface(node, "spleen"))
        assert not has_surface(node, "liver")


class TestOverlay:
    @pytest.fixture
    def views(self, mrml) -> list[Any]:
        """What two slice views show."""
        made = []
        for name in ("Red", "Green"):
            view = slicer.vtkMRMLSliceCompositeNode()
            view.SetLayoutName(name)
            made.append(mrml.AddNode(view))
        return made

    @pytest.fixture
    def probable(self, section, node, phantom) -> list[Any]:
        """The volumes of a run that was asked for two."""
        result = phantom[1].result
        volumes = {name: result.mask(name).astype(np.float32) for name in ("liver", "spleen")}
        scene.show(replace(result, probability=volumes), slicer.util.getNode("scan"), node=node, surface=False)
        section.setNode(node)
        return scene.probability_volumes(node)

    def test_is_not_there_without_volumes(self, section) -> None:
        assert section.ui.overlaySelector.isHidden() and section.ui.overlayLabel.isHidden()

    def test_lists_the_volumes_of_the_result(self, section, probable) -> None:
        selector = section.ui.overlaySelector
        texts = [selector.itemText(index) for index in range(selector.count)]
        assert texts == ["None", "liver probability", "spleen probability"] and not selector.isHidden()
        assert selector.currentIndex == 0

    def test_lays_the_chosen_one_over_the_scan(self, section, views, probable) -> None:
        choose_item(section.ui.overlaySelector, 2)
        assert {view.GetForegroundVolumeID() for view in views} == {probable[1].GetID()}
        assert all(0 < view.GetForegroundOpacity() < 1 for view in views)
        section.setNode(None)
        section.setNode(slicer.util.getNode("scan segmentation"))
        assert section.ui.overlaySelector.currentIndex == 2
        choose_item(section.ui.overlaySelector, 0)
        assert {view.GetForegroundVolumeID() for view in views} == {None}

    def test_can_be_looked_through(self, section, views, probable) -> None:
        ui = section.ui
        assert ui.overlayOpacitySlider.isHidden() and ui.overlayFitButton.isHidden()
        choose_item(ui.overlaySelector, 1)
        ui.overlayOpacitySlider.value, ui.overlayFromSlider.value = 0.3, 0.7
        assert {view.GetForegroundOpacity() for view in views} == {0.3}
        assert probable[0].GetDisplayNode().GetLowerThreshold() == pytest.approx(0.7)
        assert ui.overlayFitButton.isHidden()  # probabilities have a scale by nature

    def test_forgets_a_volume_that_is_deleted(self, section, views, probable, mrml) -> None:
        choose_item(section.ui.overlaySelector, 1)
        mrml.RemoveNode(probable[0])
        settle()
        selector = section.ui.overlaySelector
        assert (selector.count, selector.itemText(1), selector.currentIndex) == (2, "spleen probability", 0)

    def test_goes_with_the_result(self, section, views, probable) -> None:
        choose_item(section.ui.overlaySelector, 1)
        click(section.ui.removeButton)
        assert {view.GetForegroundVolumeID() for view in views} == {None}
        assert [v.GetName() for v in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == ["scan"]
        assert section.ui.overlaySelector.isHidden()


class TestRemove:
    def test_takes_out_exactly_what_the_run_made(self, section, node, mrml) -> None:
        other = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
        other.CreateDefaultDisplayNodes()
        gone = {node.GetID(), node.GetDisplayNode().GetID()}
        before, calls = ids(mrml), []
        section.onRemoved = lambda: calls.append(section.node)
        click(section.ui.removeButton)
        assert ids(mrml) == before - gone
        assert calls == [None]
        assert not section.enabled

    def test_leaves_a_node_that_was_there_before(self, mrml, phantom) -> None:
        image, outcome = phantom
        output = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        node = scene.show(outcome.result, scene.add_volume(mrml, image, "scan"), node=output, surface=False)
        section = ResultSection()
        section.setResult(node, outcome)
        click(section.ui.removeButton)
        assert mrml.IsNodePresent(output)
        assert output.GetSegmentation().GetNumberOfSegments() == 0
        assert [name for name in output.GetAttributeNames() if name.startswith("DeepImaging")] == []


class TestProvenance:
    def test_is_one_click_away(self, section) -> None:
        assert not section.ui.provenanceTree.visible
        click(section.ui.provenanceButton)
        tree = section.ui.provenanceTree
        top = [tree.topLevelItem(index) for index in range(tree.topLevelItemCount)]
        shown = {item.text(0): item.text(1) or [item.child(0).text(0), item.child(0).text(1)] for item in top}
        assert shown["Model"] == "torso"
        assert shown["SHA-256 of the model"] == "4f" * 32
        assert shown["Seconds"] == ["inference", "3.21"]
        assert shown["Peak memory"] == "2.00 GiB"
        assert section.ui.provenanceTree.visible

    def test_how_it_was_computed_is_told_in_words(self, section, node) -> None:
        def shown(**changes: str) -> dict[str, str]:
            told = json.loads(node.GetAttribute("DeepImaging.Provenance")) | changes
            node.SetAttribute("DeepImaging.Provenance", json.dumps(told))
            settle()
            tree = section.ui.provenanceTree
            top = [tree.topLevelItem(index) for index in range(tree.topLevelItemCount)]
            return {item.text(0): item.text(1) for item in top}

        told = shown(precision="bfloat16", memory_step=AS_PLANNED, plan="8 windows on cpu, 2 at once.")
        assert told["Precision"] == "half (16 bit, bfloat16)"
        assert (told["Memory"], told["Plan"]) == ("enough, as planned", "8 windows on cpu\n2 at once.")
        way = Way(torch.device("cuda"), torch.device("cuda"), 2, torch.float32, may_halve=True)
        while (way := step_down(way)) is not None:
            assert shown(memory_step=way.step)["Memory"].startswith("ran short; "), way.step

    def test_is_copied_whole(self, section, node) -> None:
        click(section.ui.provenanceButton)
        click(section.ui.copyProvenanceButton)
        copied = json.loads(qt.QApplication.clipboard().text())
        assert copied == json.loads(node.GetAttribute("DeepImaging.Provenance"))
        assert copied["versions"] == {"monai": "1.6.1"}

    def test_an_unreadable_one_is_none(self, section, node) -> None:
        node.SetAttribute("DeepImaging.Provenance", "{half")
        settle()
        assert section.ui.provenanceButton.isHidden()
        assert column(section, NAME)


class TestSaving:
    @pytest.mark.parametrize(
        ("ending", "written"),
        [
            (".seg.nrrd", ["out.seg.nrrd"]),
            (".nii.gz", ["out.nii.gz"]),
            (".nrrd", ["out.nrrd"]),
            (".obj", ["out.mtl", "out.obj"]),
            (".csv", ["out.csv"]),
        ],
    )
    def test_writes_what_the_menu_says(self, section, tmp_path, ending, written) -> None:
        choose(section, ending, tmp_path / f"out{ending}")
        assert sorted(file.name for file in tmp_path.iterdir()) == written
        assert section.ui.messageFrame.isHidden()

    def test_writes_a_surface_for_each_segment_that_has_one(self, section, tmp_path) -> None:
        choose(section, ".stl", tmp_path / "out.stl")
        assert len(list(tmp_path.glob("out_*.stl"))) == 10

    def test_the_table_holds_all_digits_and_the_names_of_now(self, section, node, phantom, tmp_path) -> None:
        node.GetSegmentation().GetSegment("liver").SetName("Leber")
        choose(section, ".csv", tmp_path / "out.csv")
        with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        expected = list(csv.DictReader(as_csv(phantom[1].measures).splitlines()))
        assert found == [row | {"name": "Leber"} if row["name"] == "liver" else row for row in expected]

    def test_adds_the_ending_but_not_over_another_file(self, section, tmp_path) -> None:
        choose(section, ".csv", tmp_path / "out")
        first = (tmp_path / "out.csv").read_bytes()
        choose(section, ".csv", tmp_path / "out")
        assert section.ui.messageLabel.text == "'out.csv' is there already; choose another name."
        assert not section.ui.messageFrame.isHidden()
        assert (tmp_path / "out.csv").read_bytes() == first

    def test_says_in_one_sentence_why_it_failed(self, section, node, tmp_path) -> None:
        node.GetSegmentation().RemoveAllSegments()
        choose(section, ".nii.gz", tmp_path / "out.nii.gz")
        assert "no segments to write" in section.ui.messageLabel.text
        assert list(tmp_path.iterdir()) == []

    def test_nothing_happens_where_the_question_is_dismissed(self, section) -> None:
        choose(section, ".csv", "")
        assert section.ui.messageFrame.isHidden()


class TestSavedScene:
    def test_shows_the_same_after_opening_it_again(self, section, node, mrml, tmp_path) -> None:
        node.GetSegmentation().GetSegment("liver").SetColor(0.0, 0.0, 1.0)
        settle()
        before = [column(section, number) for number in range(4)]
        assert slicer.util.saveScene(str(tmp_path / "saved.mrb"))
        mrml.Clear(False)
        slicer.util.loadScene(str(tmp_path / "saved.mrb"))
        section.setNode(slicer.util.getNode("scan segmentation"))
        assert [column(section, number) for number in range(4)] == before
        assert index_of(section, "liver").data(qt.Qt.DecorationRole).name() == "#0000ff"
        assert section.ui.notesLabel.text == WARNING

    def test_a_segmentation_that_no_run_made_has_an_empty_table(self, section, mrml) -> None:
        other = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
        section.setNode(other)
        assert column(section, NAME) == []
        assert section.ui.provenanceButton.isHidden()


def choose_item(selector: Any, index: int) -> None:
    """Choose an item of a combo box, as a click does."""
    selector.setCurrentIndex(index)
    selector.activated.emit(index)


def press(widget: Any, key: str, modifier: str = "NoModifier") -> None:
    from PySide6 import QtCore, QtTest

    QtTest.QTest.keyClick(widget, QtCore.Qt.Key[key], QtCore.Qt.KeyboardModifier[modifier])


def choose(section: ResultSection, ending: str, path: Path | str) -> None:
    """Choose an entry of the menu, and answer where to save."""
    section.askPath = lambda parent, title, proposed, filters: str(path)
    action = next(a for a in section.ui.exportButton.menu().actions() if a.text.endswith(f"({ending})…"))
    action.trigger()


def has_surface(node: Any, segment_id: str) -> bool:
    surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(SURFACE)
    return surface is not None and surface.GetNumberOfPolys() > 0
