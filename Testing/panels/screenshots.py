"""Draw the panels in their states, to be looked at.

    python Testing/panels/screenshots.py --output DIR [--resources]

Each state in light and dark and in three widths, from real runs of the shipped models in the worker; what slice by
slice and an unlike image look like is shown with numbers made by hand. `--resources`
writes those that the README shows to Resources/Screenshots. Needs slicer-core and PySide6.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "DeepImaging")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from Testing.panels.standins import click, install, load_module, process_events_until, render
from Testing.training import tiny

WIDTHS = (300, 420, 700)
GAP = 24
VIEWS = "views.png"
SHOWN = ("ready_420.png", "running_420.png", "done_420.png", "done_300_dark.png", "training_done_420.png")


def main() -> None:
    """Draw all states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the pictures go")
    parser.add_argument("--resources", action="store_true", help="write the README's pictures as well")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEEPIMAGING_MODELS"] = str(Path(folder) / "models")  # trainings lie beside it
        panel = open_panel()
        for state in states(panel, given.output / VIEWS):
            draw_widths(panel, given.output, state)
        draw_detection(given.output)
        draw_classification(given.output)
        draw_training(given.output)
        close_worker()
    if given.resources:
        write_resources(given.output, ROOT / "Resources" / "Screenshots")


def open_panel(name: str = "DeepSegmentation") -> Any:
    """Open a panel."""
    install()
    _, panel = load_module(ROOT / "DeepImaging" / name / f"{name}.py")
    panel.enter()
    return panel


def draw_detection(output: Path) -> None:
    """Draw the Deep Detection panel on a made-up chest, with the organs of the shipped model to tell places by."""
    import slicer

    from DeepImagingLib import run, scene
    from DeepImagingPanel import runner, sample

    slicer.mrmlScene.Clear(0)
    panel = open_panel("DeepDetection")
    render(panel, output / "detection_empty_420.png", 420, False)
    volume = sample.makeVolume(sample.CHEST)[0]
    chosen = panel.logic.getParameterNode()
    chosen.anatomy = scene.show(run(sample.TORSO.model, scene.read(volume)), volume, surface=False)
    chosen.model = sample.CHEST.model
    process_events_until(lambda: panel.ui.applyButton.enabled)
    click(panel.ui.applyButton)
    settle(lambda: not runner.current().busy)
    render(panel, output / "detection_found_420.png", 420, False)
    click(panel.result.ui.nextButton)
    click(panel.result.ui.acceptButton)
    click(panel.result.ui.nextButton)
    click(panel.result.ui.rejectButton)
    draw_widths(panel, output, "detection_done")
    scene.write_sheet(panel.result.node, output / "detection_sheet.png")


def draw_classification(output: Path) -> None:
    """Draw the Deep Classification panel on a made-up X-ray, then in states that this one doesn't bring about."""
    import numpy as np
    import slicer

    from DeepImagingLib import scene
    from DeepImagingLib.scene import views
    from DeepImagingPanel import runner, sample
    from Testing.classes import classification
    from Testing.panels.test_deep_classification import write_findings

    slicer.mrmlScene.Clear(0)
    views.add_layout(slicer.mrmlScene)
    panel = open_panel("DeepClassification")
    if not panel.models.isSound(sample.RADIOGRAPH.model):  # until it has weights, one at random takes its place
        write_findings(Path(os.environ["DEEPIMAGING_MODELS"]) / sample.RADIOGRAPH.model)
        panel.models.reload()
        panel.models.select(sample.RADIOGRAPH.model)
        panel.refresh()
    render(panel, output / "classification_empty_420.png", 420, False)
    click(panel.ui.tryButton)
    process_events_until(lambda: panel.result.node is not None, 120)
    settle(lambda: not runner.current().busy)
    panel.logic.explain(panel.result.node, "effusion").result()
    settle(lambda: not runner.current().busy)
    draw_widths(panel, output, "classification_done")
    scene.write_class_picture(panel.result.node, output / "classification_picture.png")
    volume = sample.makeVolume()[0]
    shape = scene.voxels(volume).array.shape[::-1]
    labels = ("cardiomegaly", "pleural effusion", "pneumothorax", "pulmonary nodule or mass", "consolidation", "none")
    probabilities = np.array((0.61, 0.87, 0.02, 0.34, 0.18, 0.05))
    along = (np.arange(shape[2])[:, None] - 0.6 * shape[2]) / (0.1 * shape[2])
    states = {"slices": {"slices": np.exp(-(along**2)) * probabilities}, "unlike": {"unlike": 1.7}}
    for state, further in states.items():
        made = classification(
            scene.voxels(volume).affine, shape, labels=labels, probabilities=tuple(probabilities),
            thresholds=(0.5, 0.42, 0.3, 0.6, 0.5, 0.5), **further,
        )  # fmt: skip
        table = scene.show_classes(made, volume)
        panel.logic.getParameterNode().result = table
        process_events_until(lambda table=table: panel.result.node is table)
        draw_widths(panel, output, f"classification_{state}")


def draw_widths(panel: Any, output: Path, name: str) -> None:
    """Draw a panel in all widths, light and dark."""
    for width in WIDTHS:
        for dark in (False, True):
            render(panel, output / f"{name}_{width}{'_dark' if dark else ''}.png", width, dark)


def draw_training(output: Path) -> None:
    """Draw the Deep Training panel: paired, checked, training, done."""
    import nibabel
    import numpy as np
    import slicer

    from DeepImagingPanel import runner

    slicer.mrmlScene.Clear(0)
    panel = open_panel("DeepTraining")
    render(panel, output / "training_empty_420.png", 420, False)
    with tempfile.TemporaryDirectory() as folder:
        files = tiny.write_scans(Path(folder) / "scans")
        for number, path in enumerate(sorted((files / "images").iterdir()), 1):
            image, labels = nibabel.load(path), np.asarray(nibabel.load(files / "labels" / path.name).dataobj)
            values = np.ascontiguousarray(np.asarray(image.dataobj).astype(np.int16).T)
            volume = slicer.util.addVolumeFromArray(values, image.affine, f"CT {number}")
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"CT {number} segmentation")
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
            for value, name in ((1, "stone"), (2, "spleen")):
                segment = node.GetSegmentation().AddEmptySegment("", name)
                mask = np.ascontiguousarray((labels == value).astype(np.uint8).T)
                slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    process_events_until(lambda: panel.ui.casesTable.rowCount == 4)
    panel.ui.nameEdit.text, panel.ui.epochsSpinBox.value = "stones", 60
    panel.ui.baseSelector.currentIndex = panel.ui.baseSelector.count - 1
    click(panel.ui.checkButton)
    settle(lambda: not runner.current("Training").busy)
    for width, dark in ((420, False), (300, True)):
        render(panel, output / f"training_checked_{width}{'_dark' if dark else ''}.png", width, dark)
    click(panel.ui.startButton)
    process_events_until(lambda: "Training" in panel.ui.stageLabel.text and panel.ui.progressBar.value > 0, 60)
    render(panel, output / "training_running_420.png", 420, False)
    settle(lambda: not runner.current("Training").busy)
    render(panel, output / "training_done_420.png", 420, False)
    runner.discard("Training")


def states(panel: Any, views: Path) -> Iterator[str]:
    """Bring the panel into one state after the other; yields the name of each. `views` becomes what a run shows."""
    import slicer

    from DeepImagingLib import run, scene
    from DeepImagingPanel import requirements, runner, sample

    yield "empty"
    volume = sample.makeVolume()[0]
    process_events_until(lambda: panel.ui.applyButton.enabled)
    yield "ready"
    click(panel.ui.modelCardButton)
    yield "card"
    click(panel.ui.modelCardButton)
    click(panel.ui.advancedCollapsibleButton)
    yield "advanced"
    click(panel.ui.advancedCollapsibleButton)
    click(panel.ui.applyButton)
    process_events_until(lambda: "Computing" in panel.ui.stageLabel.text and panel.ui.progressBar.value > 0, 60)
    with standing_still():
        yield "running"
    settle(lambda: not runner.current().busy)
    image = scene.read(volume)
    scene.ResultExport(run(sample.TORSO.model, image), {volume.GetName(): image}, "CT").write_png(views)
    yield "done"
    click(panel.result.ui.provenanceButton)
    yield "provenance"
    click(panel.result.ui.provenanceButton)
    click(panel.ui.applyButton)
    click(panel.ui.queueButton)
    process_events_until(lambda: panel.ui.progressBar.value > 0, 60)
    with standing_still():
        yield "queue"
    click(panel.ui.queueCancelAllButton)
    settle(lambda: not runner.current().busy)
    click(panel.ui.applyButton)
    process_events_until(lambda: panel.ui.progressBar.value > 0, 60)
    slicer.util.arrayFromVolumeModified(volume)
    settle(lambda: not runner.current().busy)
    yield "error"
    with mock.patch.object(requirements.importlib.metadata, "version", version_without_torch):
        panel.install.refresh()
        yield "install"


@contextmanager
def standing_still() -> Iterator[None]:
    """Let no run go on, so that all pictures of a state show the same."""
    from DeepImagingPanel import runner

    timer = runner.current()._timer
    timer.stop()
    yield
    timer.start(0)


def version_without_torch(name: str, version: Callable[[str], str] = metadata.version) -> str:
    """Tell versions as in a Slicer that has neither PyTorch nor MONAI yet."""
    if name in ("torch", "monai"):
        raise metadata.PackageNotFoundError(name)
    return version(name)


def settle(condition: Callable[[], bool]) -> None:
    """Wait until a run has ended and the panel shows it."""
    process_events_until(condition, 300)
    process_events_until(lambda: True)


def close_worker() -> None:
    """End the application's worker."""
    from DeepImagingPanel import runner

    runner.discard()


def write_resources(drawn: Path, resources: Path) -> None:
    """Put together what the README shows."""
    side_by_side([drawn / "done_300.png", drawn / VIEWS], resources / "panel.png")
    for picture in SHOWN:
        (resources / f"panel_{picture}").write_bytes((drawn / picture).read_bytes())


def side_by_side(pictures: list[Path], path: Path) -> None:
    """Write pictures as one, from left to right."""
    from PySide6 import QtCore, QtGui

    images = [QtGui.QImage(str(picture)) for picture in pictures]
    height = min(image.height() for image in images)
    images = [image.scaledToHeight(height, QtCore.Qt.TransformationMode.SmoothTransformation) for image in images]
    width = sum(image.width() for image in images) + GAP * (len(images) + 1)
    sheet = QtGui.QImage(width, height + 2 * GAP, QtGui.QImage.Format.Format_RGB32)
    sheet.fill(QtCore.Qt.GlobalColor.white)
    painter, left = QtGui.QPainter(sheet), GAP
    for image in images:
        painter.drawImage(left, GAP, image)
        left += image.width() + GAP
    painter.end()
    sheet.save(str(path))


if __name__ == "__main__":
    main()
