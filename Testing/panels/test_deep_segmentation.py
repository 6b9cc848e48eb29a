"""The Deep Segmentation panel, clicked through: real volumes, the real worker, the shipped model."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib import scene
from DeepImagingLib.bundles import user_model_folder
from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.files import Voxels
from DeepImagingLib.hosts import InProcessHost, State
from DeepImagingLib.hosts.errands import MakePhantom
from Testing.bundles import make_bundles as make
from Testing.hosts.conftest import open_blocks
from Testing.panels.standins import answering, click, install, load_module, process_events_until, unload_module

install()
import qt
import slicer
import vtk

from DeepImagingPanel import requirements, runner
from DeepImagingPanel.stored_result import provenanceOf

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "DeepImaging" / "DeepSegmentation" / "DeepSegmentation.py"
SHIPPED = "torso_ct_segmentation"
SEGMENTATION = "vtkMRMLSegmentationNode"
OWN_PACKAGES = ("DeepImagingLib", "DeepImagingPanel")


@pytest.fixture(scope="module")
def phantom() -> Voxels:
    return InProcessHost().submit(MakePhantom(spacing=(8.0, 8.0, 8.0))).result()


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    """The application's worker stays warm from test to test, as it does for a user."""
    yield
    runner.discard()


@pytest.fixture
def models() -> Iterator[Path]:
    """The user's model folder, empty; the same for all tests, since the worker lives through them."""
    folder = user_model_folder()
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def panel(mrml_scene: Any, models: Path) -> Iterator[Any]:
    """The panel, opened in an empty scene."""
    _, widget = load_module(MODULE)
    widget.enter()
    yield widget
    runner.current().cancelAll()
    wait_until_idle()
    mrml_scene.Clear(0)
    unload_module("DeepSegmentation")


def add(voxels: Voxels, name: str = "CT") -> Any:
    """Add a volume to the scene; panels hear of it."""
    node = slicer.util.addVolumeFromArray(voxels.array, voxels.affine, name)
    process_events_until(lambda: True)
    return node


def plain(button: Any) -> str:
    return str(button.text).replace("&", "")


def wait_until_idle(timeout: float = 40.0) -> None:
    process_events_until(lambda: not runner.current().busy, timeout)


def go_on_until_stage(panel: Any, stage: str, timeout: float = 40.0) -> None:
    process_events_until(lambda: stage in panel.ui.stageLabel.text, timeout)


def segmentations() -> list[Any]:
    return slicer.util.getNodesByClass(SEGMENTATION)


def nodes() -> set[str]:
    """All nodes of the scene but those that are made once and stay: a panel's state, the subject hierarchy."""
    count = slicer.mrmlScene.GetNumberOfNodes()
    found = (slicer.mrmlScene.GetNthNode(n) for n in range(count))
    kept = ("vtkMRMLScriptedModuleNode", "vtkMRMLSubjectHierarchyNode")
    return {node.GetID() for node in found if node.GetClassName() not in kept}


class TestTwoClicks:
    def test_a_volume_is_chosen_and_apply_makes_a_segmentation(self, panel, phantom):
        volume = add(phantom)
        assert panel.ui.inputSelector.currentNode() is volume
        click(panel.ui.applyButton)
        assert plain(panel.ui.applyButton) == "Cancel"
        wait_until_idle()
        (node,) = segmentations()
        assert plain(panel.ui.applyButton) == "Apply" and panel.ui.messageLabel.text == ""
        assert node.GetSegmentation().GetNumberOfSegments() == 25
        assert node.GetNodeReference("referenceImageGeometryRef") is volume
        assert panel.result.node is node and not panel.ui.resultCollapsibleButton.collapsed
        liver = node.GetSegmentation().GetSegmentIdBySegmentName("liver")
        assert node.GetSegmentCenterRAS(liver)[0] > 0  # on the patient's right

    def test_try_it_makes_a_scan_and_runs_the_model(self, panel):
        click(panel.ui.tryButton)
        process_events_until(segmentations, 60)
        wait_until_idle()
        (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        assert panel.ui.inputSelector.currentNode() is volume
        assert panel.result.node is segmentations()[0]

    def test_progress_is_told_while_it_runs(self, panel, phantom):
        add(phantom)
        seen = set()
        panel.ui.stageLabel.setText("")
        watch = lambda: seen.add(panel.ui.stageLabel.text)  # noqa: E731
        runner.current().listen(watch)
        click(panel.ui.applyButton)
        wait_until_idle()
        runner.current().unlisten(watch)
        assert any("Computing" in text for text in seen)
        assert panel.ui.progressBar.isHidden()

    def test_the_output_can_be_a_segmentation_that_is_there(self, panel, phantom):
        add(phantom)
        own = slicer.mrmlScene.AddNewNodeByClass(SEGMENTATION, "mine")
        panel.ui.outputSelector.setCurrentNode(own)
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations() == [own] and own.GetSegmentation().GetNumberOfSegments() == 25

    def test_removing_the_result_takes_exactly_its_nodes(self, panel, phantom):
        add(phantom)
        before = nodes()
        click(panel.ui.applyButton)
        wait_until_idle()
        assert nodes() > before
        click(panel.result.ui.removeButton)
        assert nodes() == before and panel.ui.resultCollapsibleButton.collapsed


class TestBeforeApply:
    """Apply is grey with the reason, beside it and in its tooltip, until things are right."""

    def grey(self, panel: Any, reason: str) -> None:
        process_events_until(lambda: True)
        assert not panel.ui.applyButton.enabled
        assert reason in panel.ui.applyButton.toolTip and reason in panel.ui.reasonLabel.text
        assert not panel.ui.reasonLabel.isHidden()

    def test_without_a_volume(self, panel):
        self.grey(panel, "Load a scan")

    def test_a_volume_without_voxels(self, panel):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        self.grey(panel, "no voxels")

    def test_a_single_slice(self, panel):
        add(Voxels(np.arange(400, dtype=np.int16).reshape(1, 20, 20), np.eye(4)))
        self.grey(panel, "two-dimensional")

    def test_one_value_everywhere(self, panel):
        add(Voxels(np.zeros((8, 8, 8), np.int16), np.eye(4)))
        self.grey(panel, "is 0 everywhere")

    def test_a_transform_that_is_not_linear_names_its_remedy(self, panel, phantom):
        volume = add(phantom)
        grid = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "tilt")
        volume.SetAndObserveTransformNodeID(grid.GetID())
        self.grey(panel, "harden the transform")
        volume.SetAndObserveTransformNodeID(None)
        process_events_until(lambda: panel.ui.applyButton.enabled)

    def test_a_region_outside_of_the_volume(self, panel, phantom):
        add(phantom)
        box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
        box.SetCenter(5000, 0, 0)
        box.SetSize(10, 10, 10)
        panel.ui.regionSelector.setCurrentNode(box)
        self.grey(panel, "'Box' lies outside")

    def test_packages_that_are_missing(self, panel, phantom, monkeypatch):
        add(phantom)
        monkeypatch.setattr(requirements.Needed, "isFound", lambda package: package.name != "monai")
        panel.install.refresh()
        self.grey(panel, "have to be installed")
        assert "monai" in panel.ui.installPlanLabel.text and not panel.ui.installButton.isHidden()
        monkeypatch.undo()
        panel.install.refresh()
        assert panel.ui.installCollapsibleButton.isHidden() and panel.ui.applyButton.enabled

    def test_values_unlike_a_ct_are_doubted_and_can_still_be_run(self, panel, phantom):
        add(Voxels((phantom.array.clip(0, 255)).astype(np.uint8), phantom.affine))
        assert "expects CT in HU; this volume's values run from 0 to 255" in panel.ui.inputMessage.text
        assert panel.ui.applyButton.enabled


def choose(panel: Any, name: str) -> None:
    """Choose a model in the list, as a click does."""
    index = panel.models.names().index(name)
    panel.ui.modelSelector.setCurrentIndex(index)
    panel.ui.modelSelector.activated.emit(index)
    process_events_until(lambda: True)


class TestChannels:
    def test_each_is_named_as_the_model_names_it_and_matched_by_name(self, panel, models, phantom):
        make.write_brats_like(models / "tumour")
        panel.enter()
        for name in ("case7_T2", "case7_FLAIR", "case7_T1", "case7_T1ce"):
            add(phantom, name)
        choose(panel, "tumour")
        chosen = {name: node.GetName() for name, node in panel.inputs.volumes().items()}
        assert chosen == {"T1c": "case7_T1ce", "T1": "case7_T1", "T2": "case7_T2", "FLAIR": "case7_FLAIR"}
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations(), panel.ui.messageLabel.text
        assert segmentations()[0].GetSegmentation().GetNumberOfLayers() > 1

    def test_one_that_is_missing_is_asked_for(self, panel, models, phantom):
        make.write_brats_like(models / "tumour")
        panel.enter()
        add(phantom, "case7_T1")
        choose(panel, "tumour")
        assert "Choose a volume for T1c, T2, FLAIR" in panel.ui.reasonLabel.text

    def test_one_that_is_deleted_is_not_replaced_by_its_neighbour(self, panel, models, phantom):
        make.write_brats_like(models / "tumour")
        panel.enter()
        nodes = {name: add(phantom, name) for name in ("T1", "T1c", "T2", "FLAIR")}
        choose(panel, "tumour")
        slicer.mrmlScene.RemoveNode(nodes["T2"])
        process_events_until(lambda: True)
        assert panel.inputs.volumes()["T2"] is None and "Choose a volume for T2" in panel.ui.reasonLabel.text

    def test_one_volume_cannot_be_two_channels(self, panel, models, phantom):
        make.write_brats_like(models / "tumour")
        panel.enter()
        nodes = {name: add(phantom, name) for name in ("T1", "T1c", "T2", "FLAIR")}
        choose(panel, "tumour")
        panel.ui.inputSelector.setCurrentNode(nodes["T2"])
        process_events_until(lambda: True)
        assert "same volume" in panel.ui.reasonLabel.text and not panel.ui.applyButton.enabled


class TestNothingIsChosenForTheUser:
    def test_an_output_that_is_deleted_is_not_replaced_by_another(self, panel, phantom):
        add(phantom)
        for name in ("hand-drawn", "scratch"):
            slicer.mrmlScene.AddNewNodeByClass(SEGMENTATION, name)
        panel.ui.outputSelector.setCurrentNode(segmentations()[1])
        slicer.mrmlScene.RemoveNode(segmentations()[1])
        process_events_until(lambda: True)
        assert panel.ui.outputSelector.currentNode() is None
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations()[0].GetSegmentation().GetNumberOfSegments() == 0 and len(segmentations()) == 2

    def test_an_input_that_was_cleared_stays_so(self, panel, phantom):
        add(phantom)
        panel.ui.inputSelector.setCurrentNode(None)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
        process_events_until(lambda: True)
        assert panel.ui.inputSelector.currentNode() is None

    def test_the_model_stays_the_same_when_the_panel_is_left_and_entered(self, panel, models):
        make.write_spleen_like(models / "a_first")
        panel.enter()
        choose(panel, SHIPPED)
        panel.exit()
        panel.enter()
        shown = panel.models.names()[panel.ui.modelSelector.currentIndex]
        assert shown == panel.models.card.name == SHIPPED

    def test_a_model_that_is_gone_is_not_replaced_by_another(self, panel, phantom):
        add(phantom)
        panel._parameterNode.model = "not_here"
        process_events_until(lambda: True)
        assert panel.ui.modelSelector.currentIndex == -1 and not panel.ui.applyButton.enabled
        assert "not_here is not on this computer" in panel.ui.reasonLabel.text


def test_voxels_go_when_their_scene_does(panel, phantom):
    images = []
    for name in ("first", "second"):
        volume = add(phantom, name)
        panel.ui.inputSelector.setCurrentNode(volume)
        click(panel.ui.applyButton)
        wait_until_idle()
        images.append(vtk.vtkWeakReference())
        images[-1].Set(volume.GetImageData())
    del volume
    slicer.mrmlScene.Clear(0)
    process_events_until(lambda: True)
    gc.collect()
    assert [image.Get() for image in images] == [None, None]


class TestCancel:
    def test_shows_at_once_and_leaves_the_scene_as_it_was(self, panel, phantom):
        add(phantom)
        before = nodes()
        click(panel.ui.applyButton)
        go_on_until_stage(panel, "…")
        click(panel.ui.applyButton)
        assert "Stopping" in panel.ui.stageLabel.text or not runner.current().busy
        wait_until_idle()
        assert nodes() == before and "cancelled" in panel.ui.messageLabel.text
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations()

    def test_of_a_worker_that_is_killed_is_one_sentence(self, panel, phantom):
        add(phantom)
        before = nodes()
        click(panel.ui.applyButton)
        process_events_until(lambda: runner.current().host.pid)
        os.kill(runner.current().host.pid, signal.SIGKILL)
        wait_until_idle()
        if panel.ui.messageLabel.text:  # it may have been killed before it was asked for anything
            assert "worker ended" in panel.ui.messageLabel.text and nodes() == before
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations()


class TestSceneChangesWhileItRuns:
    @pytest.fixture
    def running(self, panel, phantom) -> Any:
        volume = add(phantom)
        click(panel.ui.applyButton)
        process_events_until(lambda: panel.runs.mine and panel.runs.mine[0].state is State.RUNNING)
        return volume

    def test_the_input_is_deleted(self, panel, running):
        slicer.mrmlScene.RemoveNode(running)
        before = nodes()
        wait_until_idle()
        assert not segmentations() and nodes() == before
        assert "removed from the scene" in panel.ui.messageLabel.text

    def test_the_input_is_changed(self, panel, running):
        slicer.util.arrayFromVolume(running)[:] = 7
        slicer.util.arrayFromVolumeModified(running)
        wait_until_idle()
        assert not segmentations() and "changed" in panel.ui.messageLabel.text

    def test_the_input_is_moved(self, panel, running):
        running.SetOrigin(1, 2, 3)
        wait_until_idle()
        assert not segmentations() and "moved" in panel.ui.messageLabel.text
        assert not open_blocks()  # the run stays in the list, its voxels don't

    def test_the_scene_is_closed(self, panel, running):
        slicer.mrmlScene.Clear(0)
        before = nodes()
        wait_until_idle()
        assert not segmentations() and nodes() == before
        assert plain(panel.ui.applyButton) == "Apply" and "Load a scan" in panel.ui.reasonLabel.text

    def test_the_output_is_deleted(self, panel, phantom):
        add(phantom)
        own = slicer.mrmlScene.AddNewNodeByClass(SEGMENTATION, "mine")
        panel.ui.outputSelector.setCurrentNode(own)
        click(panel.ui.applyButton)
        process_events_until(lambda: panel.runs.mine and panel.runs.mine[0].state is State.RUNNING)
        slicer.mrmlScene.RemoveNode(own)
        wait_until_idle()
        assert not segmentations() and panel.ui.messageLabel.text


class TestQueue:
    @pytest.fixture
    def queue(self, panel, phantom) -> Any:
        for name in ("first", "second", "third"):
            panel.ui.inputSelector.setCurrentNode(add(phantom, name))
            click(panel.ui.applyButton if name == "first" else panel.ui.queueButton)
        return panel

    def lines(self, panel: Any) -> list[str]:
        return [panel.ui.queueList.item(n).text().split(" ")[0] for n in range(panel.ui.queueList.count)]

    def test_runs_all_in_order(self, queue):
        wait_until_idle(60)
        assert [node.GetName().split()[0] for node in segmentations()] == ["first", "second", "third"]

    def test_is_shown_reordered_and_cancelled_one_by_one(self, queue):
        assert self.lines(queue) == ["first", "second", "third"]
        queue.ui.queueList.setCurrentRow(2)
        click(queue.ui.queueUpButton)
        assert self.lines(queue) == ["first", "third", "second"]
        queue.ui.queueList.setCurrentRow(2)
        click(queue.ui.queueCancelButton)
        wait_until_idle(60)
        assert [node.GetName().split()[0] for node in segmentations()] == ["first", "third"]

    def test_is_cancelled_all_at_once(self, queue):
        click(queue.ui.queueCancelAllButton)
        wait_until_idle()
        assert not segmentations()


class TestModels:
    def test_one_is_added_from_a_folder_and_is_there_after_a_restart(self, panel, models, tmp_path):
        make.write_spleen_like(tmp_path / "download" / "spleen")
        with answering(str(tmp_path / "download" / "spleen")):
            panel.models._addFolder()
        process_events_until(lambda: "spleen" in panel.models.names(), 20)
        assert panel.models.card.name == "spleen" and (models / "spleen").is_dir()
        unload_module("DeepSegmentation")
        _, again = load_module(MODULE)
        assert "spleen" in again.models.names()

    def test_the_card_tells_what_it_is_and_what_it_is_not_for(self, panel):
        click(panel.ui.modelCardButton)
        told = panel.ui.modelCard.text
        for words in ("liver", "CT", "4 × 4 × 4 mm", "phantom", "Apache", "Not for clinical use"):
            assert words in told, words

    def test_foreign_code_needs_trust_in_that_very_content(self, panel, models, phantom):
        config = {"preprocessing#transforms#0": {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x"}}
        bundle = make.write_spleen_like(models / "foreign")
        steps = make.read_config(bundle)["preprocessing"]["transforms"]
        make.change_config(bundle, {"preprocessing": {"_target_": "Compose", "transforms": [*steps, *config.values()]}})
        panel.enter()
        add(phantom)
        choose(panel, "foreign")
        process_events_until(lambda: panel.models.card.sha256, 20)
        assert not panel.ui.applyButton.enabled and "trust" in panel.ui.reasonLabel.text
        click(panel.ui.trustButton)
        assert panel.ui.applyButton.enabled
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations(), panel.ui.messageLabel.text
        (bundle / "configs" / "more.json").write_text("{}")
        panel.models.select("foreign")
        panel.refresh()
        assert not panel.ui.applyButton.enabled


class TestProbabilities:
    def labels(self, panel: Any) -> list[str]:
        selector = panel.ui.probabilitySelector
        return [selector.itemText(index) for index in range(selector.count)]

    def choose(self, panel: Any, text: str) -> None:
        index = self.labels(panel).index(text)
        panel.ui.probabilitySelector.setCurrentIndex(index)
        panel.ui.probabilitySelector.activated.emit(index)

    def test_can_be_had_of_the_labels_of_the_chosen_model(self, panel, models):
        assert self.labels(panel)[:2] == ["None", "All labels"]
        assert {"liver", "spleen"} < {*self.labels(panel)} and "background" not in self.labels(panel)
        make.write_brats_like(models / "tumour")
        panel.enter()
        self.choose(panel, "liver")
        choose(panel, "tumour")
        assert self.labels(panel)[2:] == ["Tumor core", "Whole tumor", "Enhancing tumor"]
        assert panel.ui.probabilitySelector.currentIndex == 0 and panel._parameterNode.probability == ""

    def test_come_as_volumes_that_are_no_input_of_the_next_run(self, panel, phantom):
        volume = add(phantom)
        self.choose(panel, "liver")
        click(panel.ui.applyButton)
        wait_until_idle()
        (node,) = segmentations()
        (liver,) = scene.probability_volumes(node)
        found = slicer.util.arrayFromVolume(liver)
        inside = slicer.util.arrayFromSegmentBinaryLabelmap(
            node, node.GetSegmentation().GetSegmentIdBySegmentName("liver"), volume
        )
        assert found.min() >= 0 and found.max() <= 1.0001
        assert found[inside > 0].mean() > 0.5 > 0.1 > found[inside == 0].mean()
        assert panel.result.ui.overlaySelector.itemText(1) == "liver probability"
        slicer.mrmlScene.RemoveNode(volume)
        panel.enter()
        process_events_until(lambda: True)
        assert panel.ui.inputSelector.currentNode() is None

    def test_and_the_memory_limit_go_into_the_run_and_are_saved(self, panel, phantom, tmp_path):
        add(phantom)
        self.choose(panel, "All labels")
        assert panel.ui.memoryLimitSpinBox.text == "Automatic"
        panel.ui.memoryLimitSpinBox.setValue(4.5)
        click(panel.ui.applyButton)
        wait_until_idle()
        options = provenanceOf(segmentations()[0])["options"]
        assert (options["probabilities"], options["memory_limit"]) == (["all"], 4_500_000_000)
        assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(str(tmp_path / "scene.mrb"))
        process_events_until(lambda: panel.result.node is not None)
        assert panel.ui.memoryLimitSpinBox.value == 4.5 and panel.ui.probabilitySelector.currentText == "All labels"
        click(panel.ui.restoreDefaultsButton)
        assert panel.ui.memoryLimitSpinBox.value == 0 and panel.ui.probabilitySelector.currentText == "None"


class TestWillItFit:
    """The button below the memory limit."""

    @pytest.fixture
    def ready(self, panel, phantom) -> Any:
        add(phantom)
        click(panel.ui.advancedCollapsibleButton)
        return panel

    def test_tells_how_a_run_would_go_and_makes_nothing(self, ready):
        before = nodes()
        ready.ui.memoryLimitSpinBox.setValue(4.0)
        click(ready.ui.memoryCheckButton)
        assert ready.ui.memoryCheckButton.text == "Stop"
        wait_until_idle()
        told = ready.ui.messageLabel.text
        assert told.startswith(f"CT · {SHIPPED} would go like this: ")
        assert "windows on cpu" in told and "of 4.0 GB of memory" in told
        assert nodes() == before and ready.ui.memoryCheckButton.text == "Will it fit?"

    def test_what_will_not_fit_is_told_with_what_would_help(self, ready, phantom):
        ready.ui.inputSelector.setCurrentNode(add(Voxels(np.tile(phantom.array, (3, 3, 3)), phantom.affine)))
        ready.ui.memoryLimitSpinBox.setValue(0.1)
        click(ready.ui.memoryCheckButton)
        wait_until_idle()
        assert "may take 100 MB; " in ready.ui.messageLabel.text
        assert ready.ui.applyButton.enabled and ready.ui.memoryCheckButton.enabled

    def test_can_be_stopped(self, ready):
        click(ready.ui.memoryCheckButton)
        process_events_until(lambda: runner.current().host.handles[0].state is State.RUNNING)
        click(ready.ui.memoryCheckButton)
        wait_until_idle()
        assert ready.ui.messageLabel.text == "" and ready.ui.memoryCheckButton.text == "Will it fit?"

    def test_and_a_run_never_go_on_at_the_same_time(self, ready):
        click(ready.ui.memoryCheckButton)
        click(ready.ui.applyButton)
        check, run = runner.current().host.handles
        states = set()
        watch = lambda: states.add((check.done, run.state is State.QUEUED))  # noqa: E731
        runner.current().listen(watch)
        process_events_until(lambda: check.done)
        assert "would go like this" in ready.ui.messageLabel.text and not ready.ui.memoryCheckButton.enabled
        wait_until_idle()
        runner.current().unlisten(watch)
        assert segmentations() and ready.ui.memoryCheckButton.enabled
        assert (False, True) in states and (False, False) not in states

    def test_is_grey_where_nothing_can_be_run(self, panel):
        click(panel.ui.advancedCollapsibleButton)
        assert not panel.ui.memoryCheckButton.enabled


class TestState:
    def test_comes_back_with_a_saved_scene(self, panel, phantom, tmp_path):
        volume = add(phantom, "kept")
        box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
        box.SetCenter(*np.mean([phantom.affine[:3, 3], (phantom.affine @ [*phantom.array.shape[::-1], 1])[:3]], axis=0))
        box.SetSize(200, 200, 200)
        panel.ui.regionSelector.setCurrentNode(box)
        panel.ui.precisionSelector.setCurrentIndex(1)
        click(panel.ui.applyButton)
        wait_until_idle()
        assert segmentations(), panel.ui.messageLabel.text
        assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
        slicer.mrmlScene.Clear(0)
        process_events_until(lambda: panel.result.node is None)
        slicer.util.loadScene(str(tmp_path / "scene.mrb"))
        process_events_until(lambda: panel.result.node is not None)
        assert panel.ui.inputSelector.currentNode().GetName() == volume.GetName() == "kept"
        assert panel.ui.regionSelector.currentNode().GetName() == "Box"
        assert panel.ui.precisionSelector.currentIndex == 1
        assert panel.result.ui.segmentsView.model().rowCount() > 0

    def test_what_runs_goes_on_when_the_panel_is_left(self, panel, phantom):
        add(phantom)
        click(panel.ui.applyButton)
        panel.exit()
        wait_until_idle()
        assert segmentations()
        panel.enter()
        assert panel.result.node is segmentations()[0]


class TestLogic:
    @pytest.fixture
    def logic(self, panel) -> Any:
        return panel.logic

    def test_process_waits_and_returns_the_node(self, logic, phantom):
        node = logic.process(add(phantom), SHIPPED, device="cpu")
        assert segmentations() == [node]

    def test_process_fills_the_output(self, logic, phantom):
        own = slicer.mrmlScene.AddNewNodeByClass(SEGMENTATION, "mine")
        assert logic.process(add(phantom), SHIPPED, own) is own

    def test_start_returns_a_handle(self, logic, phantom):
        run = logic.start({"image": add(phantom)}, SHIPPED)
        assert not run.done
        run.cancel()
        with pytest.raises(CancelledError):
            run.result()

    def test_wrong_input_is_an_error_of_one_sentence(self, logic, phantom):
        with pytest.raises(InputError, match="no volume"):
            logic.process(None, SHIPPED)
        with pytest.raises(InputError, match="Device 'gpu' is unknown"):
            logic.process(add(phantom), SHIPPED, device="gpu")
        with pytest.raises(TypeError):
            logic.process(add(phantom), SHIPPED, presicion="full")


def test_the_modules_own_tests_pass(panel):
    suite = unittest.TestSuite([sys.modules["DeepSegmentation"].DeepSegmentationTest("runTest")])
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.testsRun == 1 and result.wasSuccessful(), result.failures + result.errors


def test_after_a_reload_all_is_new_and_runs(panel, phantom):
    add(phantom)
    kept = {name: sys.modules[name] for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES}
    panel.onReload()
    anew = sys.modules["DeepImagingPanel.runner"]
    try:
        assert anew is not runner and isinstance(anew.current(), anew.Runner)
        click(slicer.modules.DeepSegmentationWidget.ui.applyButton)
        process_events_until(lambda: not anew.current().busy, 40)
        assert slicer.modules.DeepSegmentationWidget.result.node is segmentations()[0]
    finally:
        anew.discard()
        sys.modules.update(kept)


def test_every_widget_is_reached_by_the_keyboard(panel):
    interactive = (qt.QPushButton, qt.QToolButton, qt.QComboBox, qt.QCheckBox, qt.QListWidget)
    found = [w for w in panel.parent.findChildren(qt.QWidget) if isinstance(w, interactive) and w.objectName]
    mine = [w for w in found if not w.objectName.startswith("qt_") and w.parent() is not None]
    unreachable = [w.objectName for w in mine if w.focusPolicy == qt.Qt.NoFocus and "Button" in w.objectName]
    assert not unreachable


@pytest.mark.parametrize("state", ["empty", "card", "queue", "done"])
def test_nothing_is_wider_than_a_narrow_panel(panel, phantom, state):
    if state != "empty":
        add(phantom, "A volume whose name is much longer than what a narrow panel has room for")
    if state == "card":
        click(panel.ui.modelCardButton)
    if state in ("queue", "done"):
        click(panel.ui.applyButton)
        click(panel.ui.queueButton)
    if state == "done":
        wait_until_idle()
        click(panel.result.ui.provenanceButton)
    process_events_until(lambda: True)
    panel.parent.layout().invalidate()
    panel.parent.layout().activate()
    assert panel.parent.layout().minimumSize().width() <= 300


def test_the_window_never_loads_torch():
    script = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "DeepImaging")!r}]
from Testing.panels.standins import click, install, load_module, process_events_until
install()
_, panel = load_module({str(MODULE)!r})
panel.enter()
click(panel.ui.tryButton)
import slicer
process_events_until(lambda: slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), 60)
print({{"torch", "monai", "PyTorchUtils"}} & set(sys.modules))
"""
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.strip().endswith("set()"), done.stdout + done.stderr


def test_the_event_loop_goes_on_while_it_runs(panel, phantom):
    """Not how fast, which a benchmark measures: that events happen at all in every stage of a run."""
    add(phantom)
    ticks: dict[str, int] = {}
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.update({panel.ui.stageLabel.text.split()[0]: 1}))
    timer.start(1)
    click(panel.ui.applyButton)
    started = time.perf_counter()
    wait_until_idle()
    timer.stop()
    assert len(ticks) > 1 or time.perf_counter() - started < 0.1
