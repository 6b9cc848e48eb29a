"""The findings section on real nodes: the slider, the way from one finding to the next, and what is said of them."""

# ruff: noqa: E402 - `qt` and the panels' widgets can be imported once the stand-ins are in place.
from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib import scene
from DeepImagingLib.scene import Review, views
from Testing.boxes import detections, provenance
from Testing.grids import affine
from Testing.panels.standins import click, install, process_events_until

install()
import qt
import slicer

from DeepImagingPanel.findings_section import FindingsSection

GRID = affine("LPS", (1.0, 1.0, 2.0), (10.0, 20.0, 30.0))
SHAPE = (40, 50, 30)
BOXES = [((2.0, 3, 4, 8, 9, 8), 0.9), ((10.0, 10, 5, 14, 13, 9), 0.6), ((20.0, 30, 10, 25, 35, 14), 0.2)]
WARNING = "The scan is coarser than what the model knows."


@pytest.fixture
def table(mrml_scene: Any) -> Any:
    voxels = np.random.default_rng(0).integers(-1000, 100, SHAPE[::-1], np.int16)
    volume = slicer.util.addVolumeFromArray(voxels, GRID, "CT")
    return scene.show_findings(detections(BOXES, GRID, SHAPE, provenance=provenance(notes=(WARNING,))), volume)


@pytest.fixture
def section(table: Any) -> Iterator[FindingsSection]:
    """The section that shows the findings."""
    views.add_layout(slicer.mrmlScene)
    made = FindingsSection()
    made.setNode(table)
    made.show()
    settle()
    yield made
    made.clear()
    made.deleteLater()
    settle()


def settle() -> None:
    process_events_until(lambda: True)


def column(section: FindingsSection, number: int) -> list[str]:
    model = section.ui.findingsView.model()
    return [model.data(model.index(row, number)) for row in range(model.rowCount())]


def press(section: FindingsSection, key: str) -> None:
    from PySide6 import QtTest

    section.activateWindow()
    QtTest.QTest.keyClick(section.ui.findingsView, key)
    settle()


def click_row(section: FindingsSection, row: int) -> None:
    from PySide6 import QtCore, QtTest

    view = section.ui.findingsView
    place = view.visualRect(view.model().index(row, 1)).center()
    QtTest.QTest.mouseClick(view.viewport().plain, QtCore.Qt.MouseButton.LeftButton, pos=place)
    settle()


def seen_at() -> list[list[float]]:
    """Return the middles of the slice views."""
    found = [slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in views.SLICE_VIEWS]
    return [[view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] for view in found]


def is_at(table: Any, number: int) -> bool:
    center = scene.findings(table)[number].detection.center
    return all(middle == pytest.approx(center, abs=1e-3) for middle in seen_at())


class TestList:
    def test_shows_the_findings_with_what_matters(self, section):
        assert column(section, 0) == ["1", "2"]
        assert column(section, 1) == ["nodule", "nodule"]
        assert column(section, 2) == ["0.90", "0.60"]
        assert column(section, 3) == ["8.0", "8.0"]
        assert section.ui.countLabel.text == "2 of 3 findings are shown."
        assert WARNING in section.ui.notesLabel.text

    def test_the_slider_shows_and_hides_at_once(self, section, table):
        section.ui.thresholdSlider.value = 0.1
        assert column(section, 0) == ["1", "2", "3"]
        assert all(finding.node.GetDisplayNode().GetVisibility() for finding in scene.findings(table))
        section.ui.thresholdSlider.value = 0.95
        assert column(section, 0) == []
        assert "lower" in section.ui.countLabel.text
        assert not any(finding.node.GetDisplayNode().GetVisibility() for finding in scene.findings(table))

    def test_a_finding_that_stays_stays_chosen(self, section, table):
        click_row(section, 1)
        section.ui.thresholdSlider.value = 0.1
        assert section.ui.findingsView.currentIndex().row() == 1

    def test_a_change_by_a_script_is_followed(self, section, table):
        scene.set_threshold(table, 0.05)
        scene.set_review(table, scene.findings(table)[0].node, Review.ACCEPTED)
        settle()
        assert column(section, 4) == ["✓", "", ""]
        assert section.ui.thresholdSlider.value == 0.05

    def test_a_finding_that_a_user_deletes_is_gone_from_all_lists(self, section, table, mrml_scene):
        mrml_scene.RemoveNode(scene.findings(table)[0].node)
        settle()
        assert column(section, 0) == ["2"] and table.GetNumberOfRows() == 1
        click(section.ui.copyButton)
        lines = qt.QApplication.clipboard().text().splitlines()
        assert len(lines) == 2 and lines[1].startswith("2\t")

    def test_a_box_that_lost_its_display_node_is_still_listed(self, section, table, mrml_scene):
        first = scene.findings(table)[0].node
        mrml_scene.RemoveNode(first.GetDisplayNode())
        settle()
        section.ui.thresholdSlider.value = 0.7
        assert column(section, 0) == ["1"] and first.GetDisplayNode().GetVisibility()

    def test_boxes_that_are_moved_with_their_scan_are_listed_where_they_are(self, section, table):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        for finding in scene.findings(table):
            finding.node.SetAndObserveTransformNodeID(transform.GetID())
        settle()
        before = table.GetTable().GetColumnByName("Center R (mm)").GetValue(0)
        moved = affine("RAS", (1.0, 1.0, 1.0), (100.0, 0.0, 0.0))
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
        settle()
        assert table.GetTable().GetColumnByName("Center R (mm)").GetValue(0) == pytest.approx(before + 100)
        assert f"{before + 100:.1f}," in section.ui.findingsView.model().index(0, 1).data(qt.Qt.ToolTipRole)

    def test_nothing_found_is_said(self, section, mrml_scene):
        (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        section.setNode(scene.show_findings(detections([], GRID, SHAPE), volume))
        assert section.ui.countLabel.text == "Nothing was found."
        assert not section.ui.nextButton.enabled and not section.ui.acceptButton.enabled

    def test_places_and_further_numbers_are_told(self, section, table):
        index = section.ui.findingsView.model().index(0, 1)
        assert "RAS" in index.data(qt.Qt.ToolTipRole)


class TestGoing:
    def test_a_click_on_a_row_brings_all_views_there(self, section, table):
        click_row(section, 1)
        assert is_at(table, 1)
        click_row(section, 0)
        assert is_at(table, 0)

    def test_a_second_click_comes_back(self, section, table):
        click_row(section, 0)
        scene.jump(scene.findings(table)[1].node)
        click_row(section, 0)
        assert is_at(table, 0)

    def test_buttons_go_on_and_back(self, section, table):
        assert not section.ui.previousButton.enabled
        click(section.ui.nextButton)
        assert is_at(table, 0)
        click(section.ui.nextButton)
        assert is_at(table, 1) and not section.ui.nextButton.enabled
        click(section.ui.previousButton)
        assert is_at(table, 0)

    def test_a_finding_that_is_hidden_keeps_its_place(self, section, table):
        section.ui.thresholdSlider.value = 0.1
        click_row(section, 1)
        section.ui.thresholdSlider.value = 0.7
        assert not section.ui.nextButton.enabled and not section.ui.acceptButton.enabled
        click(section.ui.previousButton)
        assert is_at(table, 0)
        click_row(section, 0)
        section.ui.thresholdSlider.value = 0.95
        assert not section.ui.nextButton.enabled and not section.ui.previousButton.enabled
        section.ui.thresholdSlider.value = 0.1
        assert section.ui.findingsView.currentIndex().row() == 0
        click(section.ui.nextButton)
        assert is_at(table, 1)

    def test_the_way_goes_on_behind_a_finding_that_was_deleted(self, section, table, mrml_scene):
        section.ui.thresholdSlider.value = 0.1
        click_row(section, 1)
        mrml_scene.RemoveNode(scene.findings(table)[1].node)
        settle()
        click(section.ui.nextButton)
        assert is_at(table, 1) and column(section, 0) == ["1", "3"]

    def test_another_result_begins_with_its_first_finding(self, section, table):
        click_row(section, 1)
        (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        section.setNode(scene.show_findings(detections(BOXES, GRID, SHAPE), volume))
        assert not section.ui.previousButton.enabled
        click(section.ui.nextButton)
        assert section.ui.findingsView.currentIndex().row() == 0

    def test_keys_do_what_the_buttons_do(self, section, table):
        press(section, "N")
        press(section, "N")
        assert is_at(table, 1)
        press(section, "X")
        press(section, "P")
        press(section, "A")
        assert is_at(table, 0)
        assert column(section, 4) == ["✓", "✗"]


class TestJudging:
    def test_is_kept_in_the_node_and_seen(self, section, table):
        click_row(section, 0)
        click(section.ui.acceptButton)
        assert scene.findings(table)[0].review is Review.ACCEPTED
        assert column(section, 4) == ["✓", ""] and section.ui.acceptButton.checked
        click(section.ui.rejectButton)
        assert scene.findings(table)[0].review is Review.REJECTED
        assert section.ui.rejectButton.checked and not section.ui.acceptButton.checked
        click(section.ui.rejectButton)
        assert scene.findings(table)[0].review is Review.NONE and not section.ui.rejectButton.checked

    def test_comes_back_with_the_scene(self, section, table, tmp_path):
        click_row(section, 1)
        click(section.ui.rejectButton)
        assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
        section.clear()
        slicer.util.loadScene(str(tmp_path / "s.mrb"), {"clear": True})
        (again,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        section.setNode(again)
        assert column(section, 4) == ["", "✗"]


class TestOut:
    def test_remove_takes_all_of_it(self, section, mrml_scene):
        removed = []
        section.onRemoved = lambda: removed.append(1)
        click(section.ui.removeButton)
        assert removed and not slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
        assert not slicer.util.getNodesByClass("vtkMRMLTableNode")
        assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        assert not section.enabled

    def test_a_table_that_goes_otherwise_is_no_longer_shown(self, section, table, mrml_scene):
        mrml_scene.RemoveNode(table)
        settle()
        assert section.node is None and column(section, 0) == []

    def test_copy_gives_the_whole_table(self, section):
        click(section.ui.copyButton)
        lines = [line.split("\t") for line in qt.QApplication.clipboard().text().splitlines()]
        assert len(lines) == 3 and "Center R (mm)" in lines[0] and lines[1][:2] == ["1", "nodule"]

    def save(self, section: FindingsSection, path: Path, ending: str) -> Path:
        section.askPath = lambda *_: str(path)
        kinds = [action for action in section.ui.exportButton.menu().actions() if f"({ending})" in action.text]
        kinds[0].trigger()
        assert section.ui.messageLabel.text == ""
        return path

    def test_boxes_are_saved_as_slicer_loads_them(self, section, table, mrml_scene, tmp_path):
        click_row(section, 1)
        click(section.ui.rejectButton)
        path = self.save(section, tmp_path / "f.mrk.json", ".mrk.json")
        told = json.loads(path.read_text())["markups"]
        assert [one["coordinateUnits"] for one in told] == ["mm"] * 2
        assert "rejected" in told[1]["controlPoints"][0]["description"]

    def test_pictures_are_saved(self, section, tmp_path):
        path = self.save(section, tmp_path / "f.png", ".png")
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_a_picture_without_its_volume_is_a_sentence(self, section, mrml_scene, tmp_path):
        mrml_scene.RemoveNode(slicer.util.getNode("CT"))
        section.askPath = lambda *_: str(tmp_path / "f.png")
        section._export(".png")
        assert "removed" in section.ui.messageLabel.text and not (tmp_path / "f.png").exists()

    def test_findings_are_saved_with_what_was_said_of_them(self, section, table, tmp_path):
        click_row(section, 0)
        click(section.ui.acceptButton)
        found = json.loads(self.save(section, tmp_path / "f.json", ".json").read_text())
        assert [one["review"] for one in found["findings"]] == ["accepted", "not reviewed"]
        assert [one["score"] for one in found["below_threshold"]] == [0.2]
        rows = list(csv.DictReader(self.save(section, tmp_path / "f.csv", ".csv").read_text().splitlines()))
        assert "accepted" in rows[0].values()

    @pytest.mark.parametrize("slider", [0.1, 0.95])
    def test_what_is_a_finding_does_not_depend_on_the_slider(self, section, table, tmp_path, slider):
        scene.set_review(table, scene.findings(table)[2].node, Review.ACCEPTED)
        section.ui.thresholdSlider.value = slider
        told = json.loads(self.save(section, tmp_path / "f.json", ".json").read_text())
        assert [one["score"] for one in told["findings"]] == [0.9, 0.6]
        assert [(one["score"], one["review"]) for one in told["below_threshold"]] == [(0.2, "accepted")]
        assert (told["threshold"], told["shown_from"]) == (0.5, slider)
        rows = list(csv.DictReader(self.save(section, tmp_path / "f.csv", ".csv").read_text().splitlines()))
        assert [row["finding"] for row in rows] == ["1", "1", "0"]

    def test_what_is_left_keeps_its_rank_and_the_file_says_how_many_there_were(self, section, table, tmp_path):
        slicer.mrmlScene.RemoveNode(scene.findings(table)[0].node)
        settle()
        told = json.loads(self.save(section, tmp_path / "f.json", ".json").read_text())
        assert (told["findings"][0]["rank"], told["kept"], told["found"]) == (2, 2, 3)
        rows = list(csv.DictReader(self.save(section, tmp_path / "f.csv", ".csv").read_text().splitlines()))
        assert [(row["rank"], row["boxes_found"]) for row in rows] == [("2", "3"), ("3", "3")]
