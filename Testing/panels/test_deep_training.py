"""The Deep Training panel, clicked through: nodes of a scene, the real worker, a model at the end."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib import run
from DeepImagingLib.bundles import list_bundles, user_model_folder
from Testing.bundles.make_bundles import write_spleen_like
from Testing.panels.standins import click, install, load_module, process_events_until, unload_module
from Testing.training import tiny

install()
import qt
import slicer

from DeepImagingPanel import runner
from DeepImagingPanel.close_question import CloseQuestion

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "DeepImaging" / "DeepTraining" / "DeepTraining.py"
PURPOSE = "Training"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    yield
    runner.discard(PURPOSE)
    runner.discard()


@pytest.fixture
def panel(mrml_scene: Any) -> Iterator[Any]:
    for folder in (user_model_folder(), user_model_folder().parent / "trainings"):
        shutil.rmtree(folder, ignore_errors=True)
    _, widget = load_module(MODULE)
    yield widget
    unload_module("DeepTraining")


@pytest.fixture
def drawn(panel: Any, files: Path) -> list[tuple[Any, Any]]:
    """Four volumes of the scene with a segmentation each, two by reference and two by name."""
    pairs = []
    for number in range(4):
        image = nibabel.load(files / "images" / f"secret{number}.nii.gz")
        labels = np.asarray(nibabel.load(files / "labels" / f"secret{number}.nii.gz").dataobj)
        values = np.ascontiguousarray(np.asarray(image.dataobj).astype(np.int16).T)
        volume = slicer.util.addVolumeFromArray(values, image.affine, f"Patient {number}")
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"Patient {number} segmentation")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for value, name in ((1, "stone"), (2, "spleen")):
            id_ = segmentation.GetSegmentation().AddEmptySegment("", name)
            mask = np.ascontiguousarray((labels == value).astype(np.uint8).T)
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, id_, volume)
        pairs.append((volume, segmentation))
    process_events_until(lambda: panel.ui.casesTable.rowCount == 4)
    return pairs


def fill(panel: Any, name: str = "my model") -> None:
    panel.ui.nameEdit.text = name
    panel.ui.baseSelector.currentIndex = panel.ui.baseSelector.count - 1
    panel.ui.epochsSpinBox.value = 1
    panel.ui.deviceSelector.currentIndex = 1


def settled(panel: Any) -> bool:
    return panel._handle is None


def test_scans_of_the_scene_are_paired_and_their_segments_named(panel: Any, drawn: list) -> None:
    table = panel.ui.casesTable
    assert [table.item(row, 0).text() for row in range(4)] == [f"Patient {n}" for n in range(4)]
    assert panel.chosenPairs() == drawn
    assert panel.ui.labelsEdit.text == "stone, spleen"
    table.cellWidget(0, 1).currentIndex = 0
    assert panel.chosenPairs() == drawn[1:]


def test_nothing_is_trained_before_the_check(panel: Any, drawn: list) -> None:
    fill(panel)
    assert not panel.ui.startButton.enabled
    assert "Check the scans first" in panel.ui.reasonLabel.text
    click(panel.ui.checkButton)
    process_events_until(lambda: settled(panel), 60)
    assert panel.ui.startButton.enabled, panel.ui.messageLabel.text
    plan = panel.ui.planText.plainText
    assert "3 scans to learn from, 1 kept back" in plan and "time: about 1 min" in plan and "memory: about" in plan
    panel.ui.epochsSpinBox.value = 2
    assert not panel.ui.startButton.enabled, "what was checked is no longer what is chosen"


def test_a_model_is_trained_used_and_exported(
    panel: Any, drawn: list, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(panel)
    click(panel.ui.checkButton)
    process_events_until(lambda: settled(panel), 60)
    click(panel.ui.startButton)
    assert panel.ui.startButton.text == "S&top" and not panel.ui.checkButton.enabled
    process_events_until(lambda: settled(panel), 120)
    assert "mean Dice" in panel.ui.resultLabel.text, panel.ui.messageLabel.text
    assert not panel.ui.examplesLabel.isHidden()
    assert panel.curve.chart.GetNumberOfPlotSeriesNodes() == 2
    click(panel.ui.useButton)
    process_events_until(lambda: "list of models" in panel.ui.messageLabel.text, 60)
    (bundle,) = [path for path in list_bundles() if path.name == "my model"]
    result = run(bundle, files / "images" / "secret0.nii.gz")
    assert [segment.name for segment in result.segments] == ["stone", "spleen"]
    assert panel.ui.baseSelector.currentText == "my model" and panel.ui.nameEdit.text == "my model 2"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(tmp_path / "mine.zip"))
    click(panel.ui.exportButton)
    process_events_until(lambda: "was written" in panel.ui.messageLabel.text, 60)
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        names = archive.namelist()
        assert "my model/models/model.pt" in names and not any("training/" in name for name in names)
        assert not any(b"Patient" in archive.read(name) or b"case00" in archive.read(name) for name in names)


def test_a_stopped_training_keeps_the_best_so_far(panel: Any, drawn: list) -> None:
    fill(panel)
    panel.ui.epochsSpinBox.value = 100_000
    click(panel.ui.checkButton)
    process_events_until(lambda: settled(panel), 60)
    click(panel.ui.startButton)
    best = user_model_folder().parent / "trainings" / "my model" / "training" / "best.pt"
    process_events_until(best.is_file, 120)
    click(panel.ui.startButton)
    process_events_until(lambda: settled(panel), 60)
    assert "mean Dice" in panel.ui.resultLabel.text, panel.ui.messageLabel.text


class TestNextScans:
    @pytest.fixture
    def scans(self, panel: Any, drawn: list) -> list[Any]:
        """Four scans, two of which nobody has outlined yet, and a model that outlines them."""
        write_spleen_like(user_model_folder() / "spleens")
        panel.enter()
        panel.ui.baseSelector.currentIndex = panel._bases.index("spleens")
        panel.ui.deviceSelector.currentIndex = 1
        for _volume, segmentation in drawn[2:]:
            slicer.mrmlScene.RemoveNode(segmentation)
        process_events_until(lambda: panel.ui.casesTable.rowCount == 2)
        return [volume for volume, _segmentation in drawn]

    def column(self, panel: Any, number: int) -> list[str]:
        table = panel.ui.nextTable
        return [table.item(row, number).text() for row in range(table.rowCount)]

    def test_are_those_without_an_outline(self, panel: Any, scans: list) -> None:
        assert self.column(panel, 0) == ["Patient 2", "Patient 3"]
        assert panel.ui.rankButton.enabled and panel.ui.outlineButton.enabled
        assert not panel.ui.mendButton.enabled and not panel.ui.addButton.enabled
        panel.ui.baseSelector.currentIndex = panel.ui.baseSelector.count - 1
        assert not panel.ui.outlineButton.enabled and "Choose a model" in panel.ui.nextLabel.text

    def test_are_ranked_by_how_unsure_the_model_is(self, panel: Any, scans: list) -> None:
        click(panel.ui.rankButton)
        assert panel.ui.nextLabel.text == "Looking at Patient 2 …"
        process_events_until(lambda: not panel.ui.nextLabel.text, 60)
        shares = [int(text.removesuffix(" %")) for text in self.column(panel, 1)]
        assert len(shares) == 2 and shares == sorted(shares, reverse=True) and shares[0] > 0
        assert not runner.current().runs, "ranking leaves no result behind"

    def test_what_the_model_outlined_is_learnt_from_once_it_is_added(
        self, panel: Any, scans: list, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[Any] = []
        editor = SimpleNamespace(setSegmentationNode=shown.append, setSourceVolumeNode=shown.append)
        module = SimpleNamespace(
            widgetRepresentation=lambda: SimpleNamespace(self=lambda: SimpleNamespace(editor=editor))
        )
        monkeypatch.setattr(slicer.modules, "segmenteditor", module, raising=False)
        monkeypatch.setattr(slicer.util, "selectModule", shown.append, raising=False)
        panel.ui.nextTable.selectRow(1)
        click(panel.ui.outlineButton)
        process_events_until(lambda: panel.ui.addButton.enabled, 60)
        assert panel.chosenPairs() and scans[3] not in dict(panel.chosenPairs()), "nobody has looked at it yet"
        click(panel.ui.mendButton)
        outline = panel.next.selected[1]
        assert shown == ["SegmentEditor", outline, scans[3]]
        click(panel.ui.addButton)
        assert (scans[3], outline) in panel.chosenPairs()
        assert self.column(panel, 0) == ["Patient 2"]

    def test_a_scan_that_goes_meanwhile_is_left_out(self, panel: Any, scans: list) -> None:
        click(panel.ui.rankButton)
        slicer.mrmlScene.RemoveNode(scans[3])
        process_events_until(lambda: not panel.ui.nextLabel.text, 60)
        assert self.column(panel, 0) == ["Patient 2"]

    def test_ranking_can_be_stopped(self, panel: Any, scans: list) -> None:
        click(panel.ui.rankButton)
        assert panel.ui.rankButton.text == "Stop"
        click(panel.ui.rankButton)
        process_events_until(lambda: panel.ui.rankButton.text != "Stop", 60)
        assert self.column(panel, 1)[1] == "–"


def test_closing_asks_while_a_model_is_being_trained(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    window, training, answers = qt.QWidget(), [False], [False, True]
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda _text: answers.pop(0))
    question = CloseQuestion(window, lambda: training[0])
    assert window.close() and len(answers) == 2
    training[0] = True
    assert not window.close()
    assert window.close() and not answers
    question.stop()
    assert window.close()


class TestWhatIsWrong:
    def test_is_said_where_a_name_is_missing(self, panel: Any, drawn: list) -> None:
        fill(panel, "a/b")
        click(panel.ui.checkButton)
        assert "Give the new model a name" in panel.ui.messageLabel.text

    def test_is_listed_and_leads_to_the_scan(self, panel: Any, drawn: list) -> None:
        fill(panel)
        slicer.util.arrayFromVolume(drawn[2][0])[:] = 7
        slicer.util.arrayFromVolumeModified(drawn[2][0])
        click(panel.ui.checkButton)
        process_events_until(lambda: settled(panel), 60)
        assert not panel.ui.startButton.enabled
        assert panel.ui.problemsList.count == 1
        assert "same value 7 everywhere" in panel.ui.problemsList.item(0).text()
        panel.ui.problemsList.currentRow = 0
        assert panel.ui.casesTable.currentRow() == 2
