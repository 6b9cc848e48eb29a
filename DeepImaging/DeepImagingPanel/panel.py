"""The panel that every module of this extension is: Input, Model, Output, Apply, Result, Advanced."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from DeepImagingLib.bundles.card import Card
from DeepImagingLib.errors import DeepImagingError
from DeepImagingLib.hosts import Handle, State
from DeepImagingLib.scene import fitness
from DeepImagingLib.scene.region import region as voxelsOfRegion
from DeepImagingLib.scene.removal import finding_nodes
from DeepImagingLib.tasks.segmentation import ALL
from DeepImagingPanel import runner, sample
from DeepImagingPanel.inputs_section import PICTURE, VOLUME, InputsSection
from DeepImagingPanel.install_section import InstallSection
from DeepImagingPanel.logic import PanelLogic
from DeepImagingPanel.memory_check import MemoryCheck
from DeepImagingPanel.model_section import ModelSection
from DeepImagingPanel.parameters import Device, PanelParameterNode, Precision
from DeepImagingPanel.probability_choice import ProbabilityChoice
from DeepImagingPanel.result_frame import ResultFrame
from DeepImagingPanel.result_section import ResultSection
from DeepImagingPanel.run_section import RunSection
from DeepImagingPanel.scene_run import SceneRun
from DeepImagingPanel.texts import asPlain

log = logging.getLogger(__name__)

LAYOUT = Path(__file__).parent / "UI" / "panel.ui"
CHOSEN = ("inputVolume", "output", "anatomy", "region")
"""Parameters that are nodes which the user chose."""
COLOURS = ({"r", "g", "b"}, {"red", "green", "blue"})
"""Names of channels that a coloured picture has in one."""
SHORT = 22
GB = 10**9
OWN_PACKAGES = ("DeepImagingLib", "DeepImagingPanel")


class PanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """A module's panel. A module gives a line of text, a task, its logic, and a .ui file with its output's widgets.

    Attributes:
        intro: What the module is for, in a line.
        task: Which models it lists, as `Bundle.task`.
        given: Name of the parameter that the logic's `show` is given beside the answer.
        tried: What is made to try a shipped model on.
        inputKinds: Class names of the volumes it takes.
        anyDimensions: Whether pictures and volumes can be given to every model.
        Logic: The module's logic.
    """

    intro = ""
    task = ""
    given = "output"
    tried = sample.TORSO
    inputKinds: tuple[str, ...] = (VOLUME,)
    anyDimensions = False
    Logic = PanelLogic

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = self.Logic()
        self.logic.moduleName = self.moduleName
        self._parameterNode: PanelParameterNode | None = None
        self._guiTag: Any = None
        self._observed: list[tuple[Any, int]] = []
        self._volumeCame = False
        self._lost: set[str] = set()
        self._entered = True
        self._shown: Any = None
        self._load()
        self.inputs = InputsSection(self.ui, self.refresh, self.inputKinds)
        self.install = InstallSection(self.ui, self.refresh)
        self.models = ModelSection(self.ui, self.task, self._chooseModel)
        self.probabilities = ProbabilityChoice(self.ui.probabilitySelector, self._chooseProbability)
        self.runs = RunSection(self.ui, self.moduleName, self.onApply, self._onEnded)
        self.memoryCheck = MemoryCheck(self.ui.memoryCheckButton, self._foresee, self.runs.say)
        self._connect()
        self.initializeParameterNode()

    # --- life ---

    def cleanup(self) -> None:
        """Let go of the scene and of the runner; what runs goes on."""
        runner.unlisten(self._onRuns)
        self.setParameterNode(None)
        self.result.clear()
        self.removeObservers()

    def enter(self) -> None:
        """Take up the scene's parameter node; models and packages may have come in the meantime."""
        self._entered = True
        self.install.refresh()
        self.models.reload()
        self.models.card = None  # to be shown anew: the list begins with another
        self.initializeParameterNode()

    def exit(self) -> None:
        """Stop following the parameter node; what runs goes on."""
        self._entered = False
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Load the module anew, with all that it is built on."""
        runner.discard()
        for name in [name for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Any = None, event: Any = None) -> None:
        """Let go of the parameter node, which is reset now."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any = None, event: Any = None) -> None:
        """Begin again with an empty scene."""
        if self._entered:
            self.initializeParameterNode()

    def initializeParameterNode(self, caller: Any = None, event: Any = None) -> None:
        """Take the scene's parameter node and choose what can be chosen without a doubt."""
        if not self._entered:
            return
        self.setParameterNode(self.logic.getParameterNode())
        self.inputs.fill()

    def setParameterNode(self, parameterNode: PanelParameterNode | None) -> None:
        """Follow a parameter node, or none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        self._parameterNode = parameterNode
        self.inputs.setParameters(parameterNode)
        if parameterNode is not None:
            self._hideFindings()
            if not parameterNode.model:
                parameterNode.model = next(iter(self.models.names()), "")
            chosen = parameterNode.inputVolume
            self._guiTag = parameterNode.connectGui(self.ui)
            self.inputs.listKinds(chosen)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
            self._followModel()
        self._observeVolumes()
        self._onParameters()

    # --- what the user does ---

    def onApply(self) -> None:
        """Line up a run with what is chosen."""
        volumes, model, further = self._chosen()
        try:
            self.runs.say("")
            self.logic.start(volumes, model, getattr(self._parameterNode, self.given), **further)
        except DeepImagingError as error:
            self.runs.say(str(error))

    def onTry(self) -> None:
        """Make an image and run the shipped model on it."""
        self.ui.tryButton.enabled = False
        self.runs.say(_("Making an image …"))
        runner.current().do(self.tried.errand, self._onMade)

    def restoreDefaults(self) -> None:
        """Set what is under Advanced as it was at first."""
        self._parameterNode.device, self._parameterNode.precision = Device.AUTO, Precision.AUTO
        self._parameterNode.region = None
        self._parameterNode.memoryLimit, self._parameterNode.probability = 0.0, ""

    def refresh(self) -> None:
        """Show what can be done with what is chosen."""
        if self._parameterNode is None:
            return
        volumes = self.inputs.volumes()
        reason = self._reason(volumes)
        complete = all(volume is not None for volume in volumes.values())
        modality = self.models.card.modality if self.models.card else ""
        self._sayInput(fitness.doubt(volumes, modality) if complete and not reason else "")
        self.ui.tryButton.visible = not any(volumes.values()) and self.models.isSound(self.tried.model)
        self.ui.tryButton.toolTip = _("Make an image of no real person and run the shipped model on it.")
        if self.install.needed:
            self.ui.tryButton.toolTip = asPlain(reason)
        self.ui.tryButton.enabled = not self.install.needed and not runner.current().busy
        self.ui.freeMemoryButton.enabled = runner.current().host.pid is not None and not runner.current().busy
        self.runs.setReason(reason)
        self.memoryCheck.refresh(not reason)

    def _chosen(self) -> tuple[Any, str, dict[str, Any]]:
        """Return what the logic takes: the volume, or one for each channel; the model; and all else."""
        chosen, volumes = self._parameterNode, self.inputs.volumes()
        further = {
            "trust": self.models.card.trust,
            "region": chosen.region,
            "device": chosen.device.value,
            "precision": chosen.precision.value,
            "memory_limit": round(chosen.memoryLimit * GB) or None,
            "probabilities": (chosen.probability,) if chosen.probability else (),
        }
        only = volumes if len(volumes) > 1 else next(iter(volumes.values()))
        return only, str(self.models.card.path), further

    def _foresee(self, listener: Callable[[Handle], None]) -> Handle:
        """Have the worker tell how a run of what is chosen would go."""
        volumes, model, further = self._chosen()
        return self.logic.foresee(volumes, model, listener, **further)

    # --- how it hangs together ---

    def _load(self) -> None:
        """Load the shared layout, and into it the module's own."""
        panel = slicer.util.loadUI(str(LAYOUT))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        own = self.resourcePath(f"UI/{self.moduleName}.ui")
        if os.path.isfile(own):
            output = slicer.util.loadUI(own)
            self.ui.outputPlace.addWidget(output)
            self.ui.__dict__.update(slicer.util.childWidgetVariables(output).__dict__)
            output.setMRMLScene(slicer.mrmlScene)
        self.ui.outputsCollapsibleButton.visible = os.path.isfile(own)
        self.result = self.makeResultSection()
        self.result.onRemoved = self._onRemoved
        self.ui.resultPlace.addWidget(self.result)
        self.ui.introLabel.text = self.intro
        panel.setMRMLScene(slicer.mrmlScene)
        _chainFocus(panel)

    def inputsOf(self, card: Card) -> tuple[str, ...]:
        """Return the names of the images to ask for: a coloured picture, where one can be chosen, is one."""
        isColoured = {name.lower() for name in card.channels} in COLOURS
        return ("image",) if isColoured and PICTURE in self.inputKinds else card.channels

    def makeResultSection(self) -> ResultFrame:
        """Return what shows a result."""
        return ResultSection()

    def _connect(self) -> None:
        self.ui.tryButton.connect("clicked()", self.onTry)
        self.ui.restoreDefaultsButton.connect("clicked()", self.restoreDefaults)
        self.ui.freeMemoryButton.connect("clicked()", lambda: runner.current().close())
        self.ui.checkInstallationButton.connect("clicked()", self.install.check)
        runner.current().listen(self._onRuns)
        self._later = qt.QTimer()
        self._later.setSingleShot(True)
        self._later.connect("timeout()", self._onSceneChanged)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.initializeParameterNode)
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeRemoved)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, caller: Any, event: Any, node: Any) -> None:
        self._volumeCame |= bool(node.IsA("vtkMRMLScalarVolumeNode"))
        self._soon()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Note what was chosen and goes: the selectors would take its neighbour, which nobody chose."""
        if self._parameterNode is not None:
            self._lost |= {name for name in CHOSEN if getattr(self._parameterNode, name) is node}
            self._lost |= self.inputs.rolesOf(node)
            self._soon()

    def _soon(self, caller: Any = None, event: Any = None) -> None:
        """Look at the scene again, once, when whoever changes it has done so."""
        self._later.start(0)

    def _onSceneChanged(self) -> None:
        if self._parameterNode is None:
            return
        for name in self._lost:
            if name in CHOSEN:
                setattr(self._parameterNode, name, None)
            else:
                self.inputs.clear(name)
        self._lost.clear()
        if self._volumeCame:
            self._volumeCame = False
            self.inputs.fill()
        self.inputs.show()
        self._hideFindings()
        self.refresh()

    def _onParameters(self, caller: Any = None, event: Any = None) -> None:
        if self._parameterNode is None:
            return
        self._followModel()
        self.inputs.show()
        self._observeVolumes()
        self._showResult(self._parameterNode.result)
        self.refresh()

    def _hideFindings(self) -> None:
        """List no boxes of findings among the regions; a copy of one, or what a script has chosen, is one."""
        tables = slicer.util.getNodesByClass("vtkMRMLTableNode")
        boxes = [box for table in tables for box in finding_nodes(table)]
        hidden = [box.GetID() for box in boxes if box is not self._parameterNode.region]
        self.ui.regionSelector.sortFilterProxyModel().hiddenNodeIDs = hidden

    def _onRuns(self) -> None:
        self.runs.refresh()
        self.refresh()

    def _chooseModel(self, name: str) -> None:
        self.models.card = None  # shown anew, even if it is the same: it may be trusted now
        self._parameterNode.model = name
        self._onParameters()

    def _chooseProbability(self, name: str) -> None:
        self._parameterNode.probability = name

    def _followModel(self) -> None:
        name = self._parameterNode.model
        if self.models.card is None or self.models.card.name != name:
            self.models.select(name)
            if self.inputs.setChannels(self.inputsOf(self.models.card) if self.models.card else ("",)):
                self.inputs.fill(True)
                _chainFocus(self.ui.inputsCollapsibleButton)
        labels = self.models.card.finds if self.models.card else ()
        if self.models.card and self._parameterNode.probability not in ("", ALL, *labels):
            self._parameterNode.probability = ""  # of a label of another model
        self.probabilities.show(labels, self._parameterNode.probability)

    def _observeVolumes(self) -> None:
        """Follow the chosen volumes: voxels may come, and a transform may go, while they are chosen."""
        events = (
            vtk.vtkCommand.ModifiedEvent,
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        )
        chosen = {volume for volume in self.inputs.volumes().values() if volume is not None}
        if chosen == {volume for volume, _tag in self._observed}:
            return
        # By hand: VTKObservationMixin would keep every volume that was ever chosen, with its voxels.
        for volume, tag in self._observed:
            volume.RemoveObserver(tag)
        self._observed = [(volume, volume.AddObserver(event, self._soon)) for volume in chosen for event in events]

    def _reason(self, volumes: dict[str, Any]) -> str:
        """Return why nothing can be started, "" where it can."""
        missing = [name for name, volume in volumes.items() if volume is None]
        if self.install.needed:
            return _("Some packages have to be installed first; see above.")
        if missing and len(volumes) == 1:
            return _("Load a scan and choose it as input.")
        if missing:
            return _("Choose a volume for {names}.").format(names=", ".join(missing))
        if self.models.card is None and self._parameterNode.model:
            missing = self._parameterNode.model
            return _("The model {name} is not on this computer; add it, or choose another.").format(name=missing)
        if self.models.reason():
            return self.models.reason()
        takesVolume = None if self.anyDimensions else self.models.card.takes_volume
        if problem := fitness.problem(volumes, takes_volume=takesVolume):
            return problem
        try:
            if self._parameterNode.region is not None:
                voxelsOfRegion(self._parameterNode.region, next(iter(volumes.values())))
        except DeepImagingError as error:
            return str(error)
        return ""

    def _sayInput(self, text: str) -> None:
        self.ui.inputMessage.text = text
        self.ui.inputMessage.visible = bool(text)

    def _onMade(self, handle: Handle) -> None:
        if not handle.done:
            return
        self.runs.say(str(handle.error or ""))
        if handle.error is None and self._parameterNode is not None:
            self._parameterNode.inputVolume = sample.addVolume(handle.result(), self.tried.name)
            self._parameterNode.model = self.tried.model
            self.onApply()

    # --- results ---

    def _onEnded(self, run: SceneRun) -> None:
        if run.state is State.DONE and run.node.GetScene() is not None:
            self._shown = None  # it may be the same node, with something else in it
            self.logic.getParameterNode().result = run.node
            self._onParameters()

    def _showResult(self, node: Any) -> None:
        if node is self._shown:
            return
        self._shown = node
        self.ui.resultCollapsibleButton.collapsed = node is None
        name = node.GetName() if node is not None else ""
        self.ui.resultCollapsibleButton.text = _("Result: {name}").format(name=_short(name)) if name else _("Result")
        self.ui.resultCollapsibleButton.toolTip = asPlain(name)
        self.result.setNode(node)

    def _onRemoved(self) -> None:
        if self._parameterNode is not None:
            self._parameterNode.result = None


def _short(name: str) -> str:
    return name if len(name) <= SHORT else f"{name[: SHORT - 1]}…"


def _chainFocus(root: Any) -> None:
    """Let the Tab key follow the order in which widgets are seen, whenever they were made."""
    here = root.window()  # lists that pop up and menus are windows of their own
    inside = [widget for widget in root.findChildren(qt.QWidget) if widget.window() == here]
    widgets = [widget for widget in inside if widget.focusPolicy != qt.Qt.NoFocus]
    for first, second in pairwise(widgets):
        qt.QWidget.setTabOrder(first, second)
