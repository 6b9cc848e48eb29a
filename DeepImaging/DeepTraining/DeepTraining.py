"""Deep Training: makes a model of scans and segmentations of one's own, beside a window that never freezes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
if (TOP / "DeepImagingLib").is_dir():  # a source tree; installed, both packages lie beside this file
    sys.path += [str(path) for path in (TOP, TOP / "DeepImaging") if str(path) not in sys.path]

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from DeepImagingLib import scene
from DeepImagingLib.bundles import user_model_folder
from DeepImagingLib.errors import DeepImagingError, InputError
from DeepImagingLib.hosts import Handle, State
from DeepImagingLib.hosts.training import (
    CheckTraining,
    KeepBest,
    Order,
    Standing,
    Train,
    Trained,
    last_saved,
    order_to_go_on,
)
from DeepImagingPanel import runner
from DeepImagingPanel.close_question import CloseQuestion
from DeepImagingPanel.install_section import InstallSection
from DeepImagingPanel.module import PanelModule
from DeepImagingPanel.next_scans import NextScans
from DeepImagingPanel.scene_scans import SceneScans
from DeepImagingPanel.texts import asPlain
from DeepImagingPanel.trained_section import TrainedSection
from DeepImagingPanel.training_check import TrainingCheck
from DeepImagingPanel.training_choice import TrainingChoice, scansOf
from DeepImagingPanel.training_curve import TrainingCurve
from DeepImagingPanel.training_progress import showProgress
from DeepImagingPanel.training_under_way import PURPOSE, Training


class DeepTraining(PanelModule):
    """What the module says of itself."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Deep Training")
        self.setHelp(
            _(
                "Makes a model (a MONAI bundle) of scans and segmentations of your own: checks them, goes on from a "
                "model that is there or begins from scratch, and puts the new one into the list of models. "
                "For research only, not for clinical use."
            )
        )


class DeepTrainingLogic(ScriptedLoadableModuleLogic):
    """Trains models.

    Example:
        order = Order(Path("scans"), "tumour", "torso_ct_segmentation", Path("tumour_model"))
        bundle = DeepTrainingLogic().process(order).bundle
    """

    def process(self, order: Order) -> Trained:
        """Train, wait, and return where the bundle is; raises the DeepImagingError that ended it."""
        return self.start(order, lambda _handle: None).result()

    def start(self, order: Order, listener: Callable[[Handle], None]) -> Handle:
        """Begin to train in a process of its own and return at once; the listener hears of each change."""
        return runner.current(PURPOSE).do(Train(order), listener, order.output.name)

    def check(self, order: Order, listener: Callable[[Handle], None]) -> Handle:
        """Have all scans read, and return at once; the handle's result is an `Outline`."""
        return runner.current(PURPOSE).do(CheckTraining(order), listener, order.output.name)

    def keepBest(self, output: Path, listener: Callable[[Handle], None]) -> Handle:
        """Make the bundle of what was best in a training that was stopped, and return at once."""
        return runner.current(PURPOSE).do(KeepBest(output), listener, output.name)

    def outputOf(self, name: str) -> Path:
        """Return the folder for a training: beside the model folder, which gets the model when it is to be used.

        Raises:
            InputError: The name is no file name.
        """
        if not name or name.strip(". ") != name or any(sign in name for sign in '/\\:*?"<>|'):
            raise InputError(_("Give the new model a name of letters, digits, spaces and '-' or '_'."))
        return user_model_folder().parent / "trainings" / name

    def write(self, pairs: list[tuple[Any, Any]], output: Path, listener: Callable[[Handle], None]) -> SceneScans:
        """Begin to write volumes and segmentations of the scene for a training, and return at once."""
        return SceneScans(pairs, scansOf(output), runner.current(PURPOSE), listener)


class DeepTrainingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = DeepTrainingLogic()
        self.install: InstallSection | None = None
        self._keeping: Handle | None = None
        self._lastCurve: TrainingCurve | None = None
        panel = slicer.util.loadUI(self.resourcePath("UI/DeepTraining.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.introLabel.text = _("Makes a model of scans and segmentations of your own.")
        self.choice = TrainingChoice(self.ui, self.logic.outputOf, self._changed)
        self.check = TrainingCheck(self.ui, self.logic, self.choice, self._say, self.refresh)
        self.trained = TrainedSection(self.ui, self._say, self._onAdded)
        self.next = NextScans(self.ui, lambda: self.choice.model, self._lookAtScene)
        self.install = InstallSection(self.ui, self.refresh)
        self._connect()
        window = slicer.util.mainWindow()
        self.closing = CloseQuestion(window, lambda: self._training is not None) if window is not None else None
        self._follow()
        self.enter()

    @property
    def _training(self) -> Training | None:
        """The training under way, be it begun by this panel or by the one before it was loaded anew."""
        return Training.current()

    @property
    def _handle(self) -> Handle | None:
        """Of the check under way, or of what keeps the best of a training."""
        return self.check.handle or self._keeping

    @property
    def curve(self) -> TrainingCurve | None:
        """The course of the last training."""
        return self._training.curve if self._training is not None else self._lastCurve

    def _connect(self) -> None:
        ui = self.ui
        ui.baseSelector.connect("currentIndexChanged(int)", lambda _index: self.next.lookAtScene())
        ui.checkButton.connect("clicked()", self.onCheck)
        ui.startButton.connect("clicked()", self.onStart)
        ui.checkInstallationButton.connect("clicked()", self.install.check)
        runner.current(PURPOSE).listen(self._follow)
        self._later = qt.QTimer()
        self._later.setSingleShot(True)
        self._later.connect("timeout()", self._lookAtScene)
        for event in (slicer.mrmlScene.NodeAddedEvent, slicer.mrmlScene.NodeRemovedEvent):
            self.addObserver(slicer.mrmlScene, event, self._sceneChanged)

    # --- life ---

    def enter(self) -> None:
        """Look at the packages, the scene and the models, which may have changed meanwhile."""
        self.install.refresh()
        self.choice.lookAtModels()
        self._lookAtScene()
        self.refresh()

    def cleanup(self) -> None:
        """Let go of the scene and of the runner; what is being trained goes on."""
        runner.unlisten(self._follow, PURPOSE)
        self.check.leave()
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
        self.next.stop()
        if self.closing is not None:
            self.closing.stop()
        self._later.stop()
        self.removeObservers()

    def _sceneChanged(self, caller: Any = None, event: Any = None) -> None:
        self._later.start(0)

    def _lookAtScene(self) -> None:
        self.next.lookAtScene()
        before = self.chosenPairs()
        if self.choice.lookAtScene():
            if self.chosenPairs() != before:
                self._changed()
            self.refresh()

    def _changed(self) -> None:
        """Forget the check: it was of something else."""
        if self._handle is None and self._training is None:
            self.check.forget()
        else:
            self.check.makeVoid()
        self.refresh()

    # --- what the user does ---

    def chosenPairs(self) -> list[tuple[Any, Any]]:
        """Return the volumes with the segmentations chosen for them."""
        return self.choice.cases.pairs

    def onCheck(self) -> None:
        """Have all scans read and the plan made; or stop that; or keep the best of a training that was begun."""
        if self._handle is not None:
            self._handle.cancel()
            return
        if self.choice.standing is Standing.BEGUN:
            self.check.forget()
            self._keeping = self.logic.keepBest(self.choice.output, self._onKept)
        else:
            try:
                self.check.begin()
            except DeepImagingError as error:
                self._say(str(error))
                return
        self.refresh()

    def onStart(self) -> None:
        """Begin to train what was checked, or go on with what was begun; or stop, and keep the best so far."""
        if self._training is not None:
            self._training.stop()
        elif self.check.scans is not None and self.check.scans.changed:
            self.check.forget()
            self._say(_("A scan or its segmentation was changed since the check; check again."))
        else:
            self._begin()
        self.refresh()

    def _begin(self) -> None:
        try:
            begun = self.choice.standing is Standing.BEGUN
            order = order_to_go_on(self.choice.output) if begun else self.check.order
        except DeepImagingError as error:
            self._say(str(error))
            return
        self._say("")
        self.ui.resultCollapsibleButton.collapsed = True
        before = last_saved(order.output)
        handle = self.logic.start(order, lambda _handle: None)  # followed by whatever panel there is
        Training(handle, order.output, before).remember()

    # --- what comes back ---

    def _follow(self) -> None:
        """Show what the worker has done meanwhile."""
        training = self._training
        if training is not None:
            training.follow()
            if training.handle.done:
                self._end(training)
        self.refresh()

    def _end(self, training: Training) -> None:
        """Show what a training left; of one that was stopped, or failed, the best so far is kept."""
        self._lastCurve = training.curve
        training.forget()
        self.check.reset()
        error = training.handle.error
        if error is None:
            self.trained.show(training.handle.result())
            return
        keeps = training.leavesMore
        text = _("{reason} The best so far is kept.") if keeps else "{reason}"
        self._say("" if training.stopping else text.format(reason=error))
        if keeps:
            self._keeping = self.logic.keepBest(training.output, self._onKept)

    def _onKept(self, handle: Handle) -> None:
        if not handle.done or self._keeping is not handle:
            return
        self._keeping = None
        if handle.error is None:
            self.trained.show(handle.result())
        else:
            self._say(str(handle.error))
        self.refresh()

    def _onAdded(self, name: str) -> None:
        self.choice.lookAtModels()
        if name:
            self.choice.goOnFrom(name)
            self.next.lookAtScene()

    # --- what is shown ---

    def refresh(self) -> None:
        """Show what can be done, and how far it is."""
        ui, training = self.ui, self._training
        handle = training.handle if training is not None else self._handle
        begun = handle is None and self.choice.standing is Standing.BEGUN
        ready = self.install is not None and not self.install.needed
        self._showCheckButton(begun, ready and training is None)
        self._showStartButton(begun, ready)
        ui.useButton.enabled = ui.exportButton.enabled = self.trained.trained is not None and handle is None
        ui.nextCollapsibleButton.enabled = ready
        ui.casesTable.visible = self.choice.fromScene
        ui.dataPath.visible = not self.choice.fromScene
        showProgress(ui, handle, self.check.scans)
        reason = self._reason(begun)
        ui.reasonLabel.text = reason
        ui.reasonLabel.visible = bool(reason) and handle is None

    def _showCheckButton(self, begun: bool, enabled: bool) -> None:
        button = self.ui.checkButton
        button.text = _("Stop") if self._handle is not None else _("Kee&p the best") if begun else _("&Check")
        button.enabled = enabled
        button.toolTip = (
            _("Make a model of the best that was reached.")
            if begun
            else _("Read all scans and see what is wrong, and what would be trained.")
        )

    def _showStartButton(self, begun: bool, ready: bool) -> None:
        button, training = self.ui.startButton, self._training
        button.text = _("S&top") if training is not None else _("&Go on") if begun else _("&Train")
        button.enabled = ready and (
            training.handle.state is not State.CANCELLING
            if training is not None
            else begun or (self._handle is None and self.check.passed)
        )
        button.toolTip = (
            _("Stop; the best so far is kept.")
            if training is not None
            else _("Begin to train. Slicer can be used meanwhile.")
        )

    def _reason(self, begun: bool) -> str:
        """Return what is to be done before one can train, "" where nothing is."""
        if self.install is None or self.install.needed:
            return _("Some packages have to be installed first; see above.")
        if begun:
            return _(
                "A training of this name was begun and not finished. Go on with it as it was begun, keep the best of "
                "it, or take another name."
            )
        if self.choice.fromScene and not self.chosenPairs():
            return _("Load scans and their segmentations, or choose files.")
        if not self.check.passed and not self.ui.messageLabel.text and self.ui.resultCollapsibleButton.collapsed:
            return _("Check the scans first; then training can begin.")
        return ""

    def _say(self, text: str) -> None:
        self.ui.messageLabel.text = text
        self.ui.messageLabel.visible = bool(text)
        self.ui.messageLabel.toolTip = asPlain(text)


class DeepTrainingTest(ScriptedLoadableModuleTest):
    """What has to hold inside Slicer as outside."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_aSegmentationBelongsToTheVolumeItWasDrawnOn()

    def test_aSegmentationBelongsToTheVolumeItWasDrawnOn(self) -> None:
        """Pairs are found by reference."""
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 4)
        image.AllocateScalars(vtk.VTK_SHORT, 1)
        volume.SetAndObserveImageData(image)
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        self.assertEqual(scene.pairs(slicer.mrmlScene), [(volume, segmentation)])
        self.delayDisplay("The pair is found")
