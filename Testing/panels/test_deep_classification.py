"""The Deep Classification panel, clicked through: pictures and volumes, the real worker, small networks."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import io
import json
import shutil
import sys
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
from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.scene import views
from Testing.bundles.make_bundles import write_spleen_like
from Testing.bundles.make_classifiers import DENSE, write_classifier, write_endoscopy_like
from Testing.grids import affine
from Testing.panels.standins import click, install, load_module, process_events_until, unload_module

install()
import slicer

from DeepImagingPanel import runner, sample

MODULE = Path(__file__).parents[2] / "DeepImaging" / "DeepClassification" / "DeepClassification.py"
GREY, COLOUR = "findings", "scope"
LABELS = ("effusion", "nodule", "pneumothorax")
GRID = affine("LPS", (0.8, 0.8, 3.0), (10.0, 20.0, 30.0))
TABLE = "vtkMRMLTableNode"


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    """The application's worker stays warm from test to test, as it does for a user."""
    yield
    runner.discard()


def write_findings(folder: Path) -> Path:
    """Write a model for grey pictures that knows what these should look like."""
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 3, **DENSE}
    steps = [
        {"_target_": "ScaleIntensityd", "keys": "image"},
        {"_target_": "Resized", "keys": "image", "spatial_size": [64, 64]},
    ]
    post = [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]
    return write_classifier(folder, network, steps, post, LABELS, looks_like="a chest X-ray")


def write_transformer(folder: Path) -> Path:
    """Write a model for grey pictures that has no layer with places."""
    network = {"_target_": "ViT", "in_channels": 1, "img_size": [32, 32], "patch_size": [8, 8], "hidden_size": 24}
    network |= {"mlp_dim": 24, "num_layers": 2, "num_heads": 2, "num_classes": 2, "spatial_dims": 2}
    steps = [{"_target_": "Resized", "keys": "image", "spatial_size": [32, 32]}]
    post = [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]
    return write_classifier(folder, {**network, "classification": True}, steps, post, LABELS[:2])


@pytest.fixture
def models() -> Iterator[Path]:
    """The user's model folder, with a classifier for grey, one for colour, and a model for segmentation."""
    folder = user_model_folder()
    write_findings(folder / GREY)
    write_endoscopy_like(folder / COLOUR)
    write_spleen_like(folder / "organs")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def panel(mrml_scene: Any, models: Path) -> Iterator[Any]:
    """The panel, opened in an empty scene."""
    _, widget = load_module(MODULE)
    widget.enter()
    views.add_layout(mrml_scene)
    widget._chooseModel(GREY)
    yield widget
    runner.current().cancelAll()
    wait_until_idle()
    mrml_scene.Clear(0)
    unload_module("DeepClassification")


@pytest.fixture
def picture(panel: Any) -> Any:
    """A grey picture, as Slicer loads it."""
    voxels = np.random.default_rng(0).integers(0, 255, (1, 90, 80)).astype(np.uint8)
    return added(voxels, "X-ray")


def added(voxels: np.ndarray, name: str, kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    node = slicer.util.addVolumeFromArray(voxels, GRID, name, kind)
    process_events_until(lambda: True)
    return node


def wait_until_idle(timeout: float = 60.0) -> None:
    process_events_until(lambda: not runner.current().busy, timeout)
    process_events_until(lambda: True)


def run(panel: Any) -> Any:
    """Apply and return the newest table."""
    process_events_until(lambda: panel.ui.applyButton.enabled)
    click(panel.ui.applyButton)
    wait_until_idle()
    assert panel.ui.messageLabel.text == ""
    return panel.result.node


def refused(panel: Any) -> str:
    """Apply where that isn't grey, see that the scene is as before, and return the sentence that tells why."""
    before = nodes()
    process_events_until(lambda: panel.ui.applyButton.enabled or panel.ui.reasonLabel.text)
    if panel.ui.applyButton.enabled:
        click(panel.ui.applyButton)
    wait_until_idle()
    assert nodes() == before and panel.result.node is None
    told: str = panel.ui.reasonLabel.text or panel.ui.messageLabel.text
    assert told.endswith(".") and "\n" not in told
    return told


def click_class(panel: Any, row: int) -> None:
    from PySide6 import QtCore, QtTest

    view = panel.result.ui.classesView
    place = view.visualRect(view.model().index(row, 0)).center()
    QtTest.QTest.mouseClick(view.viewport().plain, QtCore.Qt.MouseButton.LeftButton, pos=place)


def mark(panel: Any, row: int) -> str:
    model = panel.result.ui.classesView.model()
    return model.data(model.index(row, 3))


def nodes() -> set[str]:
    """All nodes but those that are made once and stay: a panel's state, the scales, the subject hierarchy."""
    found = (slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes()))
    kept = ("vtkMRMLScriptedModuleNode", "vtkMRMLSubjectHierarchyNode")
    return {node.GetID() for node in found if node.GetClassName() not in kept}


def test_only_models_that_classify_are_listed(panel):
    assert {GREY, COLOUR} <= set(panel.models.names())
    assert not {"organs", "torso_ct_segmentation", "lung_nodule_ct_detection_small"} & set(panel.models.names())
    assert panel.ui.probabilitySelector.isHidden()


def test_a_picture_is_classified_explained_on_a_click_and_removed(panel, picture):
    before = nodes()
    table = run(panel)
    result = scene.classification_of(table)
    assert result.labels == LABELS and result.shape == (80, 90, 1) and result.heatmaps == ()
    click_class(panel, 1)
    assert mark(panel, 1) == "…" and panel.ui.applyButton.text == "&Cancel"
    wait_until_idle()
    assert panel.ui.messageLabel.text == "" and panel.result.node is table
    (made,) = scene.shown_heatmaps(table)
    assert (made.label, made.method) == ("nodule", "gradcam") and made.node.GetName() == "nodule (gradcam)"
    np.testing.assert_allclose(scene.voxels(made.node).affine, GRID)
    assert mark(panel, 1) == "●" and slicer.util.arrayFromVolume(made.node).shape == (1, 90, 80)
    told = json.loads(made.node.GetAttribute("DeepImaging.Provenance"))
    assert told["options"]["heatmaps"] == ["nodule"]
    click(panel.result.ui.removeButton)
    assert nodes() == before and panel.ui.resultCollapsibleButton.collapsed


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (noise(1, 40, 30, 2), "has 2 channels, but the model takes 1"),
        (noise(1, 1, 1), "choose a volume with content"),
        (np.full((1, 40, 30), np.nan, np.float32), "not numbers"),
        (np.full((1, 40, 30), 7, np.float32), "7 everywhere"),
    ],
    ids=["channels", "one pixel", "no numbers", "constant"],
)
def test_an_image_that_makes_no_sense_leaves_the_scene_untouched(panel, voxels, words):
    added(voxels, "X-ray", "vtkMRMLVectorVolumeNode" if voxels.ndim == 4 else "vtkMRMLScalarVolumeNode")
    assert words in refused(panel)


def test_pixels_without_a_size_leave_the_scene_untouched(panel, picture):
    picture.SetSpacing(0, 0.8, 3)
    assert "spacing" in refused(panel)


def test_labels_that_do_not_fit_the_network_leave_the_scene_untouched(panel, picture, models):
    path = models / GREY / "configs" / "metadata.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["network_data_format"]["outputs"]["pred"]["channel_def"]["3"] = "mass"
    path.write_text(json.dumps(told), encoding="utf-8")
    panel.models.reload()
    assert "name 4 labels, but its network answers with 3 numbers" in refused(panel)


def test_a_network_without_places_gives_its_answer_and_no_heatmap(panel, picture, models):
    write_transformer(models / "transformer")
    panel.models.reload()
    panel._chooseModel("transformer")
    table = run(panel)
    before = nodes()
    click_class(panel, 0)
    wait_until_idle()
    assert "integrated gradients or occlusion" in panel.ui.messageLabel.text
    assert nodes() == before and panel.result.node is table and mark(panel, 0) == ""


def test_layers_are_known_after_a_run_and_can_be_chosen(panel, picture):
    run(panel)
    selector = panel.result.ui.layerSelector
    process_events_until(lambda: selector.count > 1, 60)
    selector.currentIndex = 1
    click_class(panel, 0)
    wait_until_idle()
    (made,) = scene.shown_heatmaps(panel.result.node)
    assert made.layer == selector.itemText(1)


def test_a_heatmap_of_an_image_that_was_changed_is_refused(panel, picture):
    table = run(panel)
    slicer.util.arrayFromVolume(picture)[0, :20] = 0
    slicer.util.arrayFromVolumeModified(picture)
    click_class(panel, 0)
    wait_until_idle()
    assert "changed since this result" in panel.ui.messageLabel.text
    assert scene.shown_heatmaps(table) == [] and mark(panel, 0) == ""


def test_a_cancelled_heatmap_leaves_the_result_as_it_was(panel, picture):
    table = run(panel)
    before = nodes()
    click_class(panel, 0)
    click(panel.ui.applyButton)
    wait_until_idle()
    assert "cancelled" in panel.ui.messageLabel.text
    assert nodes() == before and panel.result.node is table and mark(panel, 0) == ""


def test_a_volume_is_seen_slice_by_slice(panel):
    voxels = np.random.default_rng(0).integers(-500, 500, (5, 40, 30)).astype(np.int16)
    added(voxels, "CT")
    table = run(panel)
    assert scene.classification_of(table).slices.shape == (5, 3)
    assert not panel.result.ui.slicesWidget.isHidden()
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode")) == 3


def test_the_slice_that_a_view_shows_becomes_the_input(panel, picture):
    assert panel.slices.button.isHidden()
    values = np.random.default_rng(0).normal(0, 50, (6, 40, 36)).astype(np.float32)
    panel._parameterNode.inputVolume = volume = added(values, "CT")
    process_events_until(lambda: True)
    assert not panel.slices.button.isHidden()
    view = slicer.util.getNodesByClass("vtkMRMLSliceNode")[0]
    view.SetFieldOfView(300, 300, 1)
    panel.slices.choose(view)
    assert "shows nothing of the volume" in panel.ui.messageLabel.text
    view.JumpSliceByCentering(*(GRID @ [18, 20, 3, 1])[:3])
    panel.slices.choose(view)
    process_events_until(lambda: True)
    taken = panel._parameterNode.inputVolume
    assert taken is not volume and taken.GetName() == f"CT, {view.GetLayoutName()}"
    assert taken.GetImageData().GetDimensions()[2] == 1 and panel.slices.button.isHidden()
    assert sum(scene.classification_of(run(panel)).probabilities) > 0


def test_a_coloured_picture_is_classified(panel):
    panel._chooseModel(COLOUR)
    voxels = np.random.default_rng(0).integers(0, 255, (1, 50, 60, 3)).astype(np.uint8)
    added(voxels, "frame", "vtkMRMLVectorVolumeNode")
    table = run(panel)
    assert scene.classification_of(table).exclusive
    assert panel.result.ui.classesHint.text.startswith("Most probable")


def test_what_looks_like_nothing_known_is_told_in_the_models_words(panel, picture):
    from dataclasses import replace

    result = scene.classification_of(run(panel))
    table = scene.show_classes(replace(result, unlike=1.5), picture)
    panel.logic.getParameterNode().result = table
    process_events_until(lambda: panel.result.node is table)
    assert "This does not look like a chest X-ray." in panel.result.ui.notesLabel.text


def test_the_logic_is_what_scripts_call(panel, picture):
    logic = sys.modules["DeepClassification"].DeepClassificationLogic()
    table = logic.process(picture, GREY, heatmaps=("top",))
    assert len(scene.shown_heatmaps(table)) == 1
    logic.explain(table, "effusion", "occlusion").result()
    assert "effusion (occlusion)" in [one.node.GetName() for one in scene.shown_heatmaps(table)]
    with pytest.raises(InputError, match="no volume"):
        logic.process(None, GREY)
    slicer.mrmlScene.RemoveNode(picture)
    with pytest.raises(InputError, match="removed from the scene"):
        logic.explain(table, "effusion")


def test_a_model_from_elsewhere_explains_what_it_said_unless_it_has_changed(panel, picture, tmp_path):
    logic = sys.modules["DeepClassification"].DeepClassificationLogic()
    own = write_findings(tmp_path / "own")
    table = logic.process(picture, str(own))
    with pytest.raises(BundleError, match="no bundle 'own'"):
        logic.explain(table, "effusion").result()
    logic.explain(table, "effusion", model=str(own)).result()
    (shown,) = scene.shown_heatmaps(table)
    metadata = own / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="was changed"):
        logic.explain(table, "effusion", "occlusion", model=str(own)).result()
    assert [one.node for one in scene.shown_heatmaps(table)] == [shown.node]


def test_try_it_is_offered_where_the_model_is_whole(panel):
    folder = write_findings(user_model_folder() / sample.RADIOGRAPH.model)
    panel.models.reload()
    panel.refresh()
    assert not panel.ui.tryButton.isHidden()
    shutil.rmtree(folder / "models")
    panel.models.reload()
    panel.refresh()
    assert panel.ui.tryButton.isHidden()


@pytest.mark.slow
def test_try_it_makes_an_x_ray_and_classifies_it(panel):
    write_findings(user_model_folder() / sample.RADIOGRAPH.model)
    panel.models.reload()
    panel.refresh()
    click(panel.ui.tryButton)
    process_events_until(lambda: panel.result.node is not None, 120)
    wait_until_idle()
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert panel.ui.inputSelector.currentNode() is volume and volume.GetName() == "Made-up chest X-ray"
    assert scene.classification_of(panel.result.node).labels == LABELS


def test_the_modules_own_tests_pass(panel):
    suite = unittest.TestSuite([sys.modules["DeepClassification"].DeepClassificationTest("runTest")])
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.testsRun == 1 and result.wasSuccessful(), result.failures + result.errors
