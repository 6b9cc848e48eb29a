"""The classes section on real nodes: bars, heatmaps on a click, slices, files, and what is not to be believed."""

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

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.scene import views
from Testing.classes import LABELS, classification, heatmap
from Testing.grids import affine
from Testing.panels.standins import click, install, process_events_until

install()
import qt
import slicer

from DeepImagingPanel.class_bars import BAR, BAR_PIXELS, MAP, NUMBER
from DeepImagingPanel.classes_section import ClassesSection

GRID = affine("LPS", (1.0, 1.0, 2.0), (10.0, 20.0, 30.0))
SHAPE = (40, 50, 30)


class Asked(list):
    """What heatmaps were asked for; raises what it is told to."""

    error: Exception | None = None

    def __call__(self, table: Any, *wanted: str) -> None:
        if self.error is not None:
            raise self.error
        self.append(wanted)


@pytest.fixture
def volume(mrml_scene: Any) -> Any:
    voxels = np.random.default_rng(0).integers(-1000, 100, SHAPE[::-1], np.int16)
    return slicer.util.addVolumeFromArray(voxels, GRID, "CT")


@pytest.fixture
def result() -> Any:
    """Two heatmaps, seen slice by slice but for the first slice."""
    slices = np.tile(np.linspace(0, 0.83, SHAPE[2])[:, None], (1, 3))
    slices[0] = np.nan
    maps = (heatmap(SHAPE, "effusion", sameness=0.1), heatmap(SHAPE, "nodule", sameness=0.9))
    return classification(GRID, SHAPE, heatmaps=maps, slices=slices)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def section(volume: Any, result: Any, asked: Asked) -> Iterator[ClassesSection]:
    """The section that shows the result."""
    views.add_layout(slicer.mrmlScene)
    made = ClassesSection(asked)
    made.setNode(scene.show_classes(result, volume))
    made.resize(400, 700)
    made.show()
    settle()
    yield made
    made.clear()
    made.deleteLater()
    settle()


def settle() -> None:
    process_events_until(lambda: True)


def cell(section: ClassesSection, row: int, column: int, role: Any = qt.Qt.DisplayRole) -> Any:
    model = section.ui.classesView.model()
    return model.data(model.index(row, column), role)


def column(section: ClassesSection, number: int) -> list[str]:
    return [cell(section, row, number) for row in range(section.ui.classesView.model().rowCount())]


def click_class(section: ClassesSection, label: str) -> None:
    from PySide6 import QtCore, QtTest

    view = section.ui.classesView
    place = view.visualRect(view.model().index(LABELS.index(label), 0)).center()
    QtTest.QTest.mouseClick(view.viewport().plain, QtCore.Qt.MouseButton.LeftButton, pos=place)
    settle()


def in_front() -> str:
    view = scene.slice_composites(slicer.mrmlScene)[0]
    node = slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID() or "")
    return node.GetName() if node is not None else ""


def bar(section: ClassesSection, row: int) -> list[str]:
    """Return the colours along the middle of a bar."""
    image = cell(section, row, BAR, qt.Qt.DecorationRole).toImage()
    return [image.pixelColor(x, image.height() // 2).name() for x in range(image.width())]


class TestBars:
    def test_tell_each_class_with_its_probability(self, section) -> None:
        assert column(section, 0) == list(LABELS)
        assert column(section, NUMBER) == ["0.12", "0.83", "0.55"]
        assert section.ui.classesHint.text.startswith("Found: effusion.")

    def test_are_as_long_as_the_probability_and_have_a_tick_at_the_threshold(self, section) -> None:
        found, other = bar(section, 1), bar(section, 2)
        assert found[2] != other[2] and found[2] == found[round(0.8 * BAR_PIXELS)] != found[round(0.9 * BAR_PIXELS)]
        tick = round(0.7 * (BAR_PIXELS - 1))
        assert other[tick - 1 : tick + 3] == ["#000000", "#ffffff", "#ffffff", "#000000"]

    def test_are_grey_where_the_image_looks_like_nothing_known(self, section, volume, result) -> None:
        before = bar(section, 1)[2]
        section.setNode(scene.show_classes(replace(result, unlike=1.2), volume))
        assert bar(section, 1)[2] == bar(section, 2)[2] != before
        assert column(section, NUMBER) == ["0.12", "0.83", "0.55"]
        assert "does not look like what the model was trained on" in section.ui.notesLabel.text

    def test_are_gone_with_the_result(self, section, volume) -> None:
        click(section.ui.removeButton)
        assert column(section, 0) == [] and not section.enabled
        assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == [volume]
        assert not slicer.util.getNodesByClass("vtkMRMLTableNode")


class TestHeatmaps:
    def test_a_click_shows_the_one_that_is_there(self, section, asked) -> None:
        assert in_front() == "effusion (gradcam)" and column(section, MAP) == ["", "●", "○"]
        click_class(section, "nodule")
        assert in_front() == "nodule (gradcam)" and column(section, MAP) == ["", "○", "●"]
        assert asked == []

    def test_a_click_asks_for_one_that_is_not(self, section, asked) -> None:
        click_class(section, "cardiomegaly")
        assert asked == [("cardiomegaly", "gradcam", "")]

    def test_another_method_or_layer_asks_for_another(self, section, asked) -> None:
        section.choice.setLayers(["block1", "block2"])
        section.ui.layerSelector.currentIndex = 1
        click_class(section, "effusion")
        section.ui.methodSelector.currentIndex = 3
        click_class(section, "effusion")
        assert asked == [("effusion", "gradcam", "block1"), ("effusion", "occlusion", "")]
        assert not section.ui.layerSelector.enabled

    def test_one_by_another_method_is_asked_for_while_one_is_made(self, section, asked) -> None:
        coming = ("cardiomegaly", "gradcam", "")
        section._isComing = lambda node, *wanted: wanted == coming[: len(wanted)]
        click_class(section, "cardiomegaly")
        assert asked == []
        section.ui.methodSelector.currentIndex = 1
        click_class(section, "cardiomegaly")
        assert asked == [("cardiomegaly", "gradcam++", "")]

    def test_one_that_cannot_be_made_is_told(self, section, asked) -> None:
        asked.error = InputError("The image was removed.")
        click_class(section, "cardiomegaly")
        assert section.ui.messageLabel.text == "The image was removed."

    def test_one_that_does_not_depend_on_what_was_learnt_is_flagged_while_it_is_seen(self, section) -> None:
        assert "this map" not in section.ui.notesLabel.text
        click_class(section, "nodule")
        words = "nodule (gradcam): this map does not depend on what the model learnt."
        assert words in section.ui.notesLabel.text

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"sameness": None}, "whether this map depends on what the model learnt could not be checked"),
            ({"values": np.zeros(SHAPE, np.float32)}, "nothing in the image spoke for the class"),
        ],
    )
    def test_one_that_is_empty_or_could_not_be_checked_is_flagged(self, section, volume, result, change, words) -> None:
        section.setNode(scene.show_classes(replace(result, heatmaps=(replace(result.heatmaps[0], **change),)), volume))
        assert f"effusion (gradcam): {words}." in section.ui.notesLabel.text

    def test_opacity_and_lowest_value_are_at_hand(self, section) -> None:
        ui = section.ui
        volume = scene.shown_heatmaps(section.node)[0].node
        assert ui.overlayOpacitySlider.value == 0.5 and ui.overlayFromSlider.value == pytest.approx(0.25)
        ui.overlayOpacitySlider.value, ui.overlayFromSlider.value = 0.8, 0.6
        assert scene.slice_composites(slicer.mrmlScene)[0].GetForegroundOpacity() == 0.8
        assert volume.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.6 * scene.scale_of(volume))
        assert ui.overlayScaleText.text == f"0 to {scene.scale_of(volume):.3g}"

    def test_colours_can_be_fitted_anew(self, section, volume, result) -> None:
        first = section.node
        strong = replace(result.heatmaps[0], values=3 * result.heatmaps[0].values)
        section.setNode(scene.show_classes(replace(result, heatmaps=(strong,)), volume))
        before = section.ui.overlayScaleText.text
        click(section.ui.overlayFitButton)
        now = {scene.scale_of(one.node) for table in (first, section.node) for one in scene.shown_heatmaps(table)}
        assert len(now) == 1 and section.ui.overlayScaleText.text == f"0 to {now.pop():.3g}" != before

    def test_can_be_taken_away(self, section) -> None:
        section.ui.overlaySelector.activated.emit(0)
        assert in_front() == "" and section.ui.overlayOpacitySlider.isHidden()
        assert column(section, MAP) == ["", "○", "○"]


class TestSlices:
    def offset(self) -> float:
        return slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetSliceOffset()

    def test_a_click_in_the_plot_goes_to_the_slice(self, section) -> None:
        from PySide6 import QtCore, QtTest

        plot = section._plot
        QtTest.QTest.mouseClick(plot, QtCore.Qt.MouseButton.LeftButton, pos=QtCore.QPoint(plot.place(11), 20))
        assert self.offset() == pytest.approx((GRID @ [0, 0, 11, 1])[2])

    def test_a_button_goes_to_the_highest_one(self, section) -> None:
        assert "highest in slice 29 (0.83)" in section.ui.slicesLabel.text
        click(section.ui.highestButton)
        assert self.offset() == pytest.approx((GRID @ [0, 0, 29, 1])[2])

    def test_are_not_there_for_a_picture(self, section, volume, result) -> None:
        section.setNode(scene.show_classes(replace(result, slices=None), volume))
        assert section.ui.slicesWidget.isHidden()


class TestFiles:
    def save(self, section: ClassesSection, path: Path) -> Path:
        section.askPath = lambda *asked: str(path)
        section._export("".join(path.suffixes))
        assert section.ui.messageLabel.text == ""
        return path

    def test_are_json_csv_and_a_picture(self, section, tmp_path) -> None:
        told = json.loads(self.save(section, tmp_path / "a.json").read_text())
        assert told["probabilities"] == {"cardiomegaly": 0.12, "effusion": 0.83, "nodule": 0.55}
        with self.save(section, tmp_path / "a.csv").open(newline="") as file:
            assert [row["label"] for row in csv.DictReader(file)][:3] == list(LABELS)
        assert self.save(section, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

    def test_no_picture_without_the_image_and_one_sentence(self, section, volume, tmp_path) -> None:
        slicer.mrmlScene.RemoveNode(volume)
        section.askPath = lambda *asked: str(tmp_path / "a.png")
        section._export(".png")
        assert "removed from the scene" in section.ui.messageLabel.text and not list(tmp_path.iterdir())

    def test_the_table_goes_to_the_clipboard(self, section) -> None:
        click(section.ui.copyButton)
        assert qt.QApplication.clipboard().text().startswith("Label\tProbability\tThreshold\tFound\tUncalibrated\n")
