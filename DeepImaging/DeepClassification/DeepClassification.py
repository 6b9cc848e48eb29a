"""Deep Classification: tells what an image shows with MONAI models, how sure they are, and where they saw it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
if (TOP / "DeepImagingLib").is_dir():  # a source tree; installed, both packages lie beside this file
    sys.path += [str(path) for path in (TOP, TOP / "DeepImaging") if str(path) not in sys.path]

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.hosts import Handle, Outcome
from DeepImagingLib.hosts.layers import LayersJob
from DeepImagingLib.options import Options
from DeepImagingLib.results import Classification, Heatmap
from DeepImagingPanel import runner, sample
from DeepImagingPanel.classes_section import ClassesSection
from DeepImagingPanel.inputs_section import PICTURE, VOLUME
from DeepImagingPanel.logic import PanelLogic
from DeepImagingPanel.module import PanelModule
from DeepImagingPanel.panel import PanelWidget
from DeepImagingPanel.parameters import trusted
from DeepImagingPanel.scene_run import SceneRun
from DeepImagingPanel.slice_choice import SliceChoice
from DeepImagingPanel.stored_result import provenanceOf

log = logging.getLogger(__name__)


class DeepClassification(PanelModule):
    """What the module says of itself."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Deep Classification")
        self.setHelp(
            _(
                "Tells what an image shows with a deep network (a MONAI bundle): a probability for each class, and on "
                "a click where in the image the network saw it. Choose an image and a model, then Apply. For research "
                "only, not for clinical use."
            )
        )


class DeepClassificationLogic(PanelLogic):
    """Classifies images.

    Example:
        logic = DeepClassificationLogic()
        table = logic.process(slicer.util.getNode("X-ray"), "chest_xray_findings_small")
        probabilities = DeepImagingLib.scene.classification_of(table).by_label
        logic.explain(table, "effusion").result()  # a heatmap over the image
    """

    def explain(
        self,
        table: Any,
        label: str,
        method: str = "gradcam",
        layer: str = "",
        inputVolume: Any | Mapping[str, Any] = None,
        model: str = "",
    ) -> SceneRun:
        """Line up a heatmap of a class, made as the result was, and return at once; its node is the table.

        Args:
            table: That stands for the result.
            label: The class.
            method, layer: As of `DeepImagingLib.Options`.
            inputVolume: Where the model takes several images, input names to volume nodes.
            model: The bundle's folder, where it is in none of the model folders, which is where the panel looks.

        Raises:
            InputError: The image was removed, or the result doesn't tell its model.
        """
        told = provenanceOf(table)
        if not told:
            raise InputError(_("This result doesn't tell which model made it; run the model again on the image."))
        volume = inputVolume or scene.image_of(table)
        options = {**told["options"], "heatmaps": (label,), "method": method, "layer": layer}
        return self.start(volume, model or told["bundle"], table, trust=_trust(told), **options)

    def show(self, outcome: Outcome, reference: Any, output: Any = None) -> Any:
        """Make a table and heatmaps of what a run returned, or add the heatmaps to a table; returns the table node."""
        if output is None:
            return scene.show_classes(outcome.result, reference)
        if output.GetScene() is None:
            raise InputError(_("The result was removed before its heatmap was made."))
        scene.add_heatmaps(output, outcome.result)
        return output


class DeepClassificationWidget(PanelWidget):
    """The panel."""

    intro = _("Tells what an image shows, how sure the model is, and where it saw it.")
    task = "classification"
    tried = sample.RADIOGRAPH
    inputKinds = (VOLUME, PICTURE)
    anyDimensions = True
    Logic = DeepClassificationLogic

    def setup(self) -> None:
        """Build the panel; classes have no probability volumes."""
        self._coming: dict[SceneRun, tuple[str, ...]] = {}
        self._layers: dict[str, tuple[str, ...]] = {}
        super().setup()
        self.slices = SliceChoice(
            self.ui, lambda: next(iter(self.inputs.volumes().values())), self._takeSlice, self.runs.say
        )
        self.slices.refresh()
        self.ui.probabilityLabel.visible = self.ui.probabilitySelector.visible = False

    def refresh(self) -> None:
        """As every panel; a volume may be looked at slice by slice, or as one slice is shown."""
        super().refresh()
        if hasattr(self, "slices"):  # the first one comes while the panel is built
            self.slices.refresh()

    def _takeSlice(self, volume: Any) -> None:
        self._parameterNode.inputVolume = volume

    def makeResultSection(self) -> ClassesSection:
        """Return what shows a classification."""
        return ClassesSection(self.explain, self.isComing)

    def explain(self, table: Any, label: str, method: str, layer: str) -> None:
        """Have a heatmap made; of several images those that are chosen now."""
        several = len(provenanceOf(table).get("input_sha256", ())) > 1
        run = self.logic.explain(table, label, method, layer, self.inputs.volumes() if several else None)
        self._coming[run] = (table.GetID(), label, method, layer)

    def isComing(self, table: Any, label: str, *how: str) -> bool:
        """Tell whether a heatmap of a class is being made; with a method and a layer, whether by these."""
        asked = (table.GetID(), label, *how)
        return any(told[: len(asked)] == asked and not run.done for run, told in self._coming.items())

    def _onEnded(self, run: SceneRun) -> None:
        self._coming.pop(run, None)
        super()._onEnded(run)
        self.result.onNodeModified()
        if run.node is not None and run.node.GetScene() is not None:
            self._findLayers(run.node)

    def _showResult(self, node: Any) -> None:
        super()._showResult(node)
        self._offerLayers()

    def _offerLayers(self) -> None:
        node = self.result.node
        model = provenanceOf(node).get("sha256", "") if node is not None else ""
        self.result.choice.setLayers(self._layers.get(model, ()))

    def _findLayers(self, table: Any) -> None:
        """Have the worker, where the model is warm now, tell which layers it has."""
        told = provenanceOf(table)
        if told["sha256"] in self._layers or len(told["input_sha256"]) > 1:
            return
        self._layers[told["sha256"]] = ()
        job = LayersJob(
            told["bundle"], scene.voxels(scene.image_of(table)), Options(device=told["options"]["device"]), _trust(told)
        )
        runner.current().do(job, lambda handle: self._onLayers(told["sha256"], handle))

    def _onLayers(self, model: str, handle: Handle) -> None:
        if handle.done and handle.error is None:
            self._layers[model] = handle.result()
            self._offerLayers()
        elif handle.done:
            self._layers.pop(model, None)  # it may be found another time
            log.info("The layers of a model could not be told: %s", handle.error)


def _trust(provenance: Mapping[str, Any]) -> str | None:
    """Return what lets a model through that the user trusts."""
    return provenance["sha256"] if provenance["sha256"] in trusted() else None


class DeepClassificationTest(ScriptedLoadableModuleTest):
    """What has to hold inside Slicer as outside."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        for test in (self.test_probabilitiesAndHeatmapAreShownAndRemoved,):
            self.setUp()
            test()

    def test_probabilitiesAndHeatmapAreShownAndRemoved(self) -> None:
        """A table tells the probabilities, a heatmap lies where the image does, and all goes with the table."""
        import numpy as np

        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        volume = slicer.util.addVolumeFromArray(np.zeros((1, 30, 40), np.int16), affine, "X-ray")
        values = np.zeros((40, 30, 1), np.float32)
        values[20:, 10:20] = 3
        result = Classification(
            ("effusion", "nodule"), (0.8, 0.1), False, (0.5, 0.5), (40, 30, 1), affine,
            heatmaps=(Heatmap("effusion", "gradcam", values),),
        )  # fmt: skip
        table = DeepClassificationLogic().show(Outcome(result, ()), volume)
        self.assertEqual(scene.classification_of(table).found, ("effusion",))
        (heatmap,) = scene.probability_volumes(table)
        self.assertEqual(heatmap.GetName(), "effusion (gradcam)")
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(heatmap), values.transpose(2, 1, 0))
        scene.remove(table)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLTableNode"), [])
        self.assertEqual([node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")], ["X-ray"])
        self.delayDisplay("The probabilities were shown and removed")
