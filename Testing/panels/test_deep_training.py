"""The Deep Training panel, clicked through: nodes of a scene, the real worker, a model at the end."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import math
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
from DeepImagingLib.hosts import InProcessHost
from Testing.bundles.make_bundles import write_spleen_like
from Testing.panels.standins import click, install, load_module, process_events_until, unload_module
from Testing.training import tiny

install()
import qt
import slicer

from DeepImagingPanel import next_scans, requirements, runner
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
    if widget._training is not None:
        runner.current(PURPOSE).close()
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
    return panel._handle is None and panel._training is None


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


def check(panel: Any) -> None:
    click(panel.ui.checkButton)
    process_events_until(lambda: settled(panel), 60)


def train_for_long(panel: Any, name: str = "my model") -> Path:
    """Begin a training that wouldn't end, wait for its first checkpoint and return its folder."""
    fill(panel, name)
    panel.ui.epochsSpinBox.value = 100_000
    check(panel)
    click(panel.ui.startButton)
    output = trainings() / name
    process_events_until((output / "training" / "last.pt").is_file, 120)
    return output


def trainings() -> Path:
    return user_model_folder().parent / "trainings"


class TestTheTable:
    def test_has_a_row_for_every_scan_and_every_segmentation_to_choose(self, panel: Any, drawn: list) -> None:
        odd = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "odd one")
        process_events_until(lambda: panel.ui.casesTable.rowCount == 5)
        choice = panel.ui.casesTable.cellWidget(4, 1)
        assert choice.currentText == "(left out)" and choice.count == 5
        choice.currentIndex = 2
        assert panel.chosenPairs()[4] == (odd, drawn[1][1])

    def test_keeps_what_was_chosen_when_more_comes(self, panel: Any, drawn: list) -> None:
        panel.ui.casesTable.cellWidget(0, 1).currentIndex = 0
        panel.ui.casesTable.cellWidget(1, 1).currentIndex = 3
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "more")
        more = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "more segmentation")
        process_events_until(lambda: panel.ui.casesTable.rowCount == 5)
        assert drawn[0][0] not in dict(panel.chosenPairs())
        assert dict(panel.chosenPairs())[drawn[1][0]] is drawn[2][1]
        assert panel.chosenPairs()[-1][1] is more


class TestWhatIsTrainedIsWhatIsShown:
    def test_what_changes_during_the_check_makes_it_void(self, panel: Any, drawn: list) -> None:
        fill(panel)
        click(panel.ui.checkButton)
        panel.ui.epochsSpinBox.value = 2
        process_events_until(lambda: settled(panel), 60)
        assert not panel.ui.startButton.enabled
        assert "changed during the check" in panel.ui.messageLabel.text
        check(panel)
        assert panel.ui.startButton.enabled

    def test_what_is_drawn_after_the_check_asks_for_another(self, panel: Any, drawn: list) -> None:
        fill(panel)
        check(panel)
        volume, segmentation = drawn[1]
        id_ = segmentation.GetSegmentation().GetNthSegmentID(0)
        mask = np.ones(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, id_, volume)
        click(panel.ui.startButton)
        assert panel._training is None and not panel.ui.startButton.enabled
        assert "changed since the check" in panel.ui.messageLabel.text

    def test_a_scan_that_comes_without_an_outline_leaves_the_check_as_it_is(self, panel: Any, drawn: list) -> None:
        fill(panel)
        check(panel)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "more")
        process_events_until(lambda: panel.ui.casesTable.rowCount == 5)
        assert panel.ui.startButton.enabled


class TestANameThatIsTaken:
    def test_by_a_model_is_refused_before_anything_is_written(self, panel: Any, drawn: list) -> None:
        fill(panel)
        check(panel)
        click(panel.ui.startButton)
        process_events_until(lambda: settled(panel), 120)
        before = {path: path.stat().st_mtime_ns for path in trainings().rglob("*") if path.is_file()}
        panel.ui.epochsSpinBox.value = 3
        check(panel)
        assert "take another name" in panel.ui.messageLabel.text and not panel.ui.startButton.enabled
        assert before == {path: path.stat().st_mtime_ns for path in trainings().rglob("*") if path.is_file()}

    def test_by_a_training_that_was_closed_leaves_its_best_to_keep(self, panel: Any, drawn: list) -> None:
        output = train_for_long(panel)
        runner.current(PURPOSE).close()
        process_events_until(lambda: settled(panel), 20)
        assert not (output / "models").exists()
        assert "was begun and not finished" in panel.ui.reasonLabel.text
        panel.ui.nameEdit.text = "another"
        assert panel.ui.checkButton.text == "&Check"
        panel.ui.nameEdit.text = "my model"
        assert panel.ui.checkButton.text == "Kee&p the best"
        check(panel)
        assert "mean Dice" in panel.ui.resultLabel.text and (output / "models" / "model.pt").is_file()

    @pytest.mark.slow
    def test_by_a_training_that_was_closed_can_be_gone_on_with(self, panel: Any, drawn: list) -> None:
        output = train_for_long(panel)
        runner.current(PURPOSE).close()
        process_events_until(lambda: settled(panel), 20)
        panel.ui.epochsSpinBox.value = 7  # what it was begun with counts
        assert panel.ui.startButton.text == "&Go on"
        click(panel.ui.startButton)
        process_events_until(lambda: "Training" in panel.ui.stageLabel.text or settled(panel), 60)
        click(panel.ui.startButton)
        process_events_until(lambda: settled(panel), 60)
        assert (output / "models" / "model.pt").is_file()
        assert "mean Dice" in panel.ui.resultLabel.text, panel.ui.messageLabel.text

    @pytest.mark.slow
    def test_is_not_made_a_model_of_by_a_run_that_fails_at_once(self, panel: Any, drawn: list) -> None:
        output = train_for_long(panel)
        runner.current(PURPOSE).close()
        shutil.rmtree(trainings() / "my model scans")
        process_events_until(lambda: settled(panel), 20)
        click(panel.ui.startButton)
        process_events_until(lambda: settled(panel), 60)
        assert panel.ui.messageLabel.text and not (output / "models").exists()


@pytest.mark.slow
def test_a_panel_that_is_loaded_anew_finds_the_training(panel: Any, drawn: list) -> None:
    train_for_long(panel)
    unload_module("DeepTraining")
    _, again = load_module(MODULE)
    assert again.ui.startButton.text == "S&top" and again.ui.progressBar.isVisibleTo(again.ui.DeepTraining)
    click(again.ui.startButton)
    process_events_until(lambda: settled(again), 60)
    assert "mean Dice" in again.ui.resultLabel.text, again.ui.messageLabel.text


def test_a_result_can_be_used_once_there_is_one(panel: Any) -> None:
    assert not panel.ui.useButton.enabled and not panel.ui.exportButton.enabled


def test_without_its_packages_it_offers_to_install_them(
    panel: Any, drawn: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert panel.ui.installCollapsibleButton.isHidden()
    fill(panel)
    monkeypatch.setattr(requirements, "missing", lambda: ["monai"])
    monkeypatch.setattr(requirements.Needed, "isFound", lambda self: self.name != "monai")
    panel.enter()
    assert not panel.ui.installCollapsibleButton.isHidden() and "monai" in panel.ui.installPlanLabel.text
    assert not panel.ui.checkButton.enabled and "have to be installed first" in panel.ui.reasonLabel.text


class TestNextScans:
    @pytest.fixture
    def scans(self, panel: Any, drawn: list) -> list[Any]:
        """Four scans, two of which nobody has outlined yet, and a model that outlines them."""
        write_spleen_like(user_model_folder() / "spleens")
        panel.enter()
        panel.ui.baseSelector.currentIndex = panel.choice.bases.index("spleens")
        panel.ui.deviceSelector.currentIndex = 1
        for _volume, segmentation in drawn[2:]:
            slicer.mrmlScene.RemoveNode(segmentation)
        process_events_until(lambda: len(panel.chosenPairs()) == 2)
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

    def test_one_that_cant_be_measured_is_told_and_the_others_are_ranked(self, panel: Any, scans: list) -> None:
        import vtk

        bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
        scans[2].SetAndObserveTransformNodeID(bent.GetID())
        click(panel.ui.rankButton)
        process_events_until(lambda: panel.ui.rankButton.text != "Stop", 60)
        assert panel.ui.nextLabel.text.startswith("Patient 2: The volume stands under a non-linear transform")
        assert self.column(panel, 0) == ["Patient 3", "Patient 2"] and self.column(panel, 1)[1] == "–"

    def test_one_in_which_the_model_finds_nothing_comes_first(
        self, panel: Any, scans: list, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entropies = iter((0.5, math.inf))
        monkeypatch.setattr(next_scans, "EntropyJob", lambda *_: SimpleNamespace(perform=lambda _: next(entropies)))
        host = InProcessHost()
        monkeypatch.setattr(runner.current(), "host", host)
        click(panel.ui.rankButton)
        process_events_until(lambda: panel.ui.rankButton.text != "Stop", 60)
        assert self.column(panel, 0) == ["Patient 3", "Patient 2"]
        assert self.column(panel, 1) == ["finds nothing", "50 %"]

    def test_of_another_scene_are_not_ranked_by_this_ones(self, panel: Any, scans: list) -> None:
        click(panel.ui.rankButton)
        process_events_until(lambda: panel.ui.rankButton.text != "Stop", 60)
        slicer.mrmlScene.Clear(0)
        for number in range(4):
            slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16), None, f"Other {number}")
        process_events_until(lambda: panel.ui.nextTable.rowCount == 4)
        assert set(self.column(panel, 1)) == {"–"}

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
    def test_is_said_where_no_scan_has_a_segmentation(self, panel: Any, drawn: list) -> None:
        fill(panel)
        for row in range(4):
            panel.ui.casesTable.cellWidget(row, 1).currentIndex = 0
        click(panel.ui.checkButton)
        assert "No scan has a segmentation" in panel.ui.messageLabel.text

    def test_is_said_with_the_name_of_a_scan_that_cant_be_written(self, panel: Any, drawn: list) -> None:
        fill(panel)
        drawn[2][1].GetSegmentation().RemoveAllSegments()
        check(panel)
        assert panel.ui.messageLabel.text.startswith("Patient 2: The segmentation has no segments")

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
