"""Deep Training: makes a model of scans and segmentations of one's own, beside a window that never freezes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
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
from DeepImagingLib.bundles.card import entries
from DeepImagingLib.errors import CancelledError, DeepImagingError, InputError
from DeepImagingLib.hosts import Handle, State
from DeepImagingLib.hosts.errands import AddModel, ExportModel
from DeepImagingLib.hosts.training import (
    CURVE,
    EXAMPLES,
    CheckTraining,
    KeepBest,
    Order,
    Outline,
    Standing,
    Train,
    Trained,
    last_saved,
    order_to_go_on,
    standing,
)
from DeepImagingPanel import runner
from DeepImagingPanel.close_question import CloseQuestion
from DeepImagingPanel.install_section import InstallSection
from DeepImagingPanel.module import PanelModule
from DeepImagingPanel.next_scans import NextScans
from DeepImagingPanel.parameters import Device
from DeepImagingPanel.scene_scans import SceneScans
from DeepImagingPanel.texts import asPlain
from DeepImagingPanel.training_curve import TrainingCurve

PURPOSE = "Training"
SCRATCH = "scratch"
SCENE, FILES = range(2)
FULL, PICTURE_WIDTH, LEAST_WIDTH = 1000, 600, 220
UNDER_WAY = "deepImagingTraining"
"""Attribute of `slicer.modules` with the training under way: a panel that is loaded anew finds it there."""


@dataclass
class Training:
    """A training under way.

    Attributes:
        handle: Of its job.
        output: Its folder.
        curve: Its course.
        before: When its last checkpoint had been written as it was started.
        stopping: Whether the user stopped it.
    """

    handle: Handle
    output: Path
    curve: TrainingCurve
    before: int
    stopping: bool = False


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


def scansOf(output: Path) -> Path:
    """Return the folder for what is written of the scene for a training."""
    return output.with_name(f"{output.name} scans")


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
        self._seen: tuple[list[Any], list[Any]] = ([], [])
        self._choices: list[tuple[Any, Any]] = []
        self._byHand: dict[Any, Any] = {}
        self._bases: list[str] = []
        self._order: Order | None = None
        self._scans: SceneScans | None = None
        self._handle: Handle | None = None
        self._checked = self._stale = False
        self._outline: Outline | None = None
        self._lastCurve: TrainingCurve | None = None
        self._result: Trained | None = None
        panel = slicer.util.loadUI(self.resourcePath("UI/DeepTraining.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.introLabel.text = _("Makes a model of scans and segmentations of your own.")
        for text in (_("Nodes of this scene"), _("Files")):
            self.ui.sourceSelector.addItem(text)
        for device in Device:
            self.ui.deviceSelector.addItem(device.label())
        self.ui.casesTable.setHorizontalHeaderLabels([_("Scan"), _("Segmentation")])
        self.ui.casesTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        self.ui.casesTable.verticalHeader().hide()
        self.next = NextScans(self.ui, self._chosenModel, self._lookAtScene)
        self.install = InstallSection(self.ui, self.refresh)
        self._connect()
        self._forget()
        window = slicer.util.mainWindow()
        self.closing = CloseQuestion(window, lambda: self._training is not None) if window is not None else None
        self._follow()
        self.enter()

    @property
    def _training(self) -> Training | None:
        """The training under way, be it begun by this panel or by the one before it was loaded anew."""
        return getattr(slicer.modules, UNDER_WAY, None)

    @property
    def curve(self) -> TrainingCurve | None:
        """The course of the last training."""
        return self._training.curve if self._training is not None else self._lastCurve

    def _connect(self) -> None:
        ui = self.ui
        ui.sourceSelector.connect("currentIndexChanged(int)", lambda _index: self._changed())
        ui.dataPath.connect("currentPathChanged(QString)", lambda _path: self._changed())
        ui.labelsEdit.connect("textChanged(QString)", lambda _text: self._changed())
        ui.nameEdit.connect("textChanged(QString)", lambda _text: self._changed())
        ui.baseSelector.connect("currentIndexChanged(int)", lambda _index: (self._changed(), self.next.lookAtScene()))
        ui.keepOldCheckBox.connect("toggled(bool)", lambda _on: self._changed())
        ui.minutesSpinBox.connect("valueChanged(int)", lambda _value: self._changed())
        ui.epochsSpinBox.connect("valueChanged(int)", lambda _value: self._changed())
        ui.deviceSelector.connect("currentIndexChanged(int)", lambda _index: self._changed())
        ui.checkButton.connect("clicked()", self.onCheck)
        ui.startButton.connect("clicked()", self.onStart)
        ui.checkInstallationButton.connect("clicked()", self.install.check)
        ui.useButton.connect("clicked()", self.onUse)
        ui.exportButton.connect("clicked()", self.onExport)
        ui.problemsList.connect("currentRowChanged(int)", self._showCase)
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
        self._lookAtModels()
        self._lookAtScene()
        self.refresh()

    def cleanup(self) -> None:
        """Let go of the scene and of the runner; what is being trained goes on."""
        runner.unlisten(self._follow, PURPOSE)
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()  # a check, which nobody would see
        self.next.stop()
        if self.closing is not None:
            self.closing.stop()
        self._later.stop()
        self.removeObservers()

    def _sceneChanged(self, caller: Any = None, event: Any = None) -> None:
        self._later.start(0)

    def _lookAtModels(self) -> None:
        found = entries("segmentation")
        names = [*(entry.name for entry in found), SCRATCH]
        if names == self._bases:
            return
        ui, before = self.ui, self._bases[self.ui.baseSelector.currentIndex] if self._bases else names[0]
        self._bases = names
        ui.baseSelector.blockSignals(True)  # the choice stays what it is
        ui.baseSelector.clear()
        for title in (*(entry.title for entry in found), _("Nothing (from scratch)")):
            ui.baseSelector.addItem(title)
        ui.baseSelector.currentIndex = names.index(before) if before in names else 0
        ui.baseSelector.blockSignals(False)

    def _lookAtScene(self) -> None:
        self.next.lookAtScene()
        found, outlines = scene.scans(slicer.mrmlScene), scene.outlines(slicer.mrmlScene)
        if (found, outlines) == self._seen:
            return
        before, volumes = self.chosenPairs(), [volume for volume, _segmentation in found]
        self._seen = found, outlines
        kept = [(volume, one) for volume, one in self._byHand.items() if volume in volumes]
        self._byHand = {volume: one for volume, one in kept if one is None or one in outlines}
        self._fillTable()
        if not self.ui.labelsEdit.text:
            self.ui.labelsEdit.text = ", ".join(scene.segment_names([one for _volume, one in self.chosenPairs()]))
        if self.chosenPairs() != before:
            self._changed()
        self.refresh()

    def _fillTable(self) -> None:
        """Show each scan with its segmentation: what the user chose stays, the others have what fits."""
        (found, outlines), table = self._seen, self.ui.casesTable
        table.setRowCount(len(found))
        self._choices = []
        for row, (volume, fitting) in enumerate(found):
            name = qt.QTableWidgetItem(volume.GetName())
            name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            table.setItem(row, 0, name)
            choice = qt.QComboBox()
            choice.addItem(_("(left out)"))
            for one in outlines:
                choice.addItem(one.GetName())
            chosen = self._byHand.get(volume, fitting)
            choice.currentIndex = 1 + outlines.index(chosen) if chosen is not None else 0
            choice.connect("currentIndexChanged(int)", lambda index, volume=volume: self._choose(volume, index))
            table.setCellWidget(row, 1, choice)
            self._choices.append((volume, choice))

    def _choose(self, volume: Any, index: int) -> None:
        self._byHand[volume] = self._seen[1][index - 1] if index > 0 else None
        self._changed()

    # --- what the user does ---

    def chosenPairs(self) -> list[tuple[Any, Any]]:
        """Return the volumes with the segmentations chosen for them."""
        outlines = self._seen[1]
        rows = [(volume, choice.currentIndex - 1) for volume, choice in self._choices]
        return [(volume, outlines[index]) for volume, index in rows if index >= 0]

    def onCheck(self) -> None:
        """Have all scans read and the plan made; or stop that; or keep the best of a training that was begun."""
        if self._handle is not None:
            self._handle.cancel()
            return
        if self._standing() is Standing.BEGUN:
            self._forget()
            self._handle = self.logic.keepBest(self._chosenOutput(), self._onKept)
            self.refresh()
            return
        try:
            order = self._chosenOrder()
        except DeepImagingError as error:
            self._say(str(error))
            return
        self._forget()
        self._order, self._stale = order, False
        if self.ui.sourceSelector.currentIndex == SCENE:
            self._scans = self.logic.write(self.chosenPairs(), order.output, self._onWritten)
            self._handle = self._scans.handle
        else:
            self._handle = self.logic.check(order, self._onChecked)
        self.refresh()

    def onStart(self) -> None:
        """Begin to train what was checked, or go on with what was begun; or stop, and keep the best so far."""
        if self._training is not None:
            self._training.stopping = True
            self._training.handle.cancel()
        elif self._scans is not None and self._scans.changed:
            self._forget()
            self._say(_("A scan or its segmentation was changed since the check; check again."))
        else:
            self._begin()
        self.refresh()

    def _begin(self) -> None:
        try:
            begun = self._standing() is Standing.BEGUN
            order = order_to_go_on(self._chosenOutput()) if begun else self._order
        except DeepImagingError as error:
            self._say(str(error))
            return
        self._say("")
        self.ui.resultCollapsibleButton.collapsed = True
        before = last_saved(order.output)
        handle = self.logic.start(order, lambda _handle: None)  # followed by whatever panel there is
        setattr(slicer.modules, UNDER_WAY, Training(handle, order.output, TrainingCurve(), before))

    def onUse(self) -> None:
        """Put the new model into the list of models."""
        runner.current(PURPOSE).do(AddModel(self._result.bundle), self._onAdded)

    def onExport(self) -> None:
        """Write the new model as an archive."""
        path = qt.QFileDialog.getSaveFileName(
            self.parent, _("Export the model"), f"{self._result.bundle.name}.zip", "Zip (*.zip)"
        )
        if path:
            runner.current(PURPOSE).do(ExportModel(self._result.bundle, Path(path)), self._onExported)

    def _chosenModel(self) -> tuple[str, str]:
        """Return the model to begin with, "" for none, and where to compute."""
        base = self._bases[self.ui.baseSelector.currentIndex]
        return "" if base == SCRATCH else base, list(Device)[self.ui.deviceSelector.currentIndex].value

    def _chosenOutput(self) -> Path:
        return self.logic.outputOf(self.ui.nameEdit.text.strip())

    def _standing(self) -> Standing:
        """Tell what there is of a training of the name that is chosen."""
        try:
            return standing(self._chosenOutput())
        except InputError:  # no name yet
            return Standing.NEW

    def _chosenOrder(self) -> Order:
        """Return what is chosen; nothing is written for it.

        Raises:
            InputError: Something is missing, or the name is taken.
        """
        ui, output = self.ui, self._chosenOutput()
        if standing(output) is not Standing.NEW:
            raise InputError(_("There is a model named {name} already; take another name.").format(name=output.name))
        if ui.sourceSelector.currentIndex == SCENE and not self.chosenPairs():
            raise InputError(_("No scan has a segmentation to learn from; choose one beside it, or take files."))
        fromScene = ui.sourceSelector.currentIndex == SCENE
        epochs, minutes = ui.epochsSpinBox.value, ui.minutesSpinBox.value
        return Order(
            scene.list_of(scansOf(output)) if fromScene else Path(ui.dataPath.currentPath),
            ",".join(part.strip() for part in ui.labelsEdit.text.split(",") if part.strip()),
            self._bases[ui.baseSelector.currentIndex],
            output,
            list(Device)[ui.deviceSelector.currentIndex].value,
            {"epochs": epochs} if epochs else {},
            ui.keepOldCheckBox.checked,
            float(minutes) if minutes else None,
        )

    # --- what comes back ---

    def _onWritten(self, handle: Handle) -> None:
        if self._handle is None:  # the panel has gone
            return
        self._handle = handle
        if self._scans.done:
            cancelled, problem = handle.state is State.CANCELLED, self._scans.problem
            self._handle = None
            if self._stale or cancelled or problem:
                self._drop(problem)
            else:
                self._handle = self.logic.check(self._order, self._onChecked)
        self.refresh()

    def _onChecked(self, handle: Handle) -> None:
        if self._handle is not handle:  # the panel has gone
            return
        if handle.done:
            self._handle = None
            cancelled = isinstance(handle.error, CancelledError)
            if self._stale or handle.error is not None:
                self._drop("" if cancelled else str(handle.error or ""))
            else:
                self._showOutline(handle.result())
        self.refresh()

    def _drop(self, problem: str) -> None:
        """Forget a check that failed, was stopped, or was of something else."""
        self._forget()
        self._say(_("Something was changed during the check; check again.") if self._stale else problem)

    def _showOutline(self, outline: Outline) -> None:
        self._outline = outline
        for text, _place, fatal in outline.problems:
            self.ui.problemsList.addItem(text if fatal else _("Note: {text}").format(text=text))
        self.ui.problemsList.visible = bool(outline.problems)
        if any(fatal for _text, _place, fatal in outline.problems):
            self._say(_("Nothing can be trained with these scans yet; see the list."))
            return
        counts = {part: sum(split == part for _name, split in outline.cases) for part in ("train", "validation")}
        lines = [
            _("{train} scans to learn from, {validation} kept back to measure on.").format(**counts),
            _("New: {names}.").format(names=", ".join(outline.new) or _("nothing")),
            *(f"{key}: {value} ({reason})" for key, value, reason in outline.plan),
        ]
        self._checked = True
        self.ui.planText.plainText = "\n".join(lines)
        self.ui.planText.visible = True

    def _follow(self) -> None:
        """Show what the worker has done meanwhile."""
        training = self._training
        if training is not None:
            training.curve.follow(training.output / CURVE)
            if training.handle.done:
                self._end(training)
        self.refresh()

    def _end(self, training: Training) -> None:
        """Show what a training left; of one that was stopped, or failed, the best so far is kept."""
        self._lastCurve = training.curve
        delattr(slicer.modules, UNDER_WAY)
        self._checked, self._order, self._scans, error = False, None, None, training.handle.error
        if error is None:
            self._showResult(training.handle.result())
            return
        closed = isinstance(error, CancelledError) and not training.stopping  # Slicer quits: it can be gone on with
        keeps = last_saved(training.output) != training.before and not closed
        text = _("{reason} The best so far is kept.") if keeps else "{reason}"
        self._say("" if training.stopping else text.format(reason=error))
        if keeps:
            self._handle = self.logic.keepBest(training.output, self._onKept)

    def _onKept(self, handle: Handle) -> None:
        if not handle.done or self._handle is not handle:
            return
        self._handle = None
        if handle.error is None:
            self._showResult(handle.result())
        else:
            self._say(str(handle.error))
        self.refresh()

    def _showResult(self, trained: Trained) -> None:
        self._checked, self._result = False, trained
        self.ui.resultCollapsibleButton.collapsed = False
        self.ui.resultLabel.text = _("{name}: mean Dice {dice:.2f} on the scans that were kept back.").format(
            name=trained.bundle.name, dice=trained.dice
        )
        picture = qt.QPixmap(str(trained.bundle / EXAMPLES))
        self.ui.examplesLabel.visible = not picture.isNull()
        if not picture.isNull():
            wide = max(LEAST_WIDTH, min(PICTURE_WIDTH, self.ui.resultLabel.width))
            self.ui.examplesLabel.setPixmap(picture.scaledToWidth(wide, qt.Qt.SmoothTransformation))

    def _onAdded(self, handle: Handle) -> None:
        if handle.done:
            self._say(str(handle.error or _("The model is in the list of models now.")))
            self._lookAtModels()
            if handle.error is None:
                self._goOnFrom(handle.result().name)

    def _goOnFrom(self, name: str) -> None:
        """Choose a model to begin the next training with, and propose a name for that one."""
        ui = self.ui
        for widget in (ui.baseSelector, ui.nameEdit):
            widget.blockSignals(True)  # the result stays in sight
        ui.baseSelector.currentIndex = self._bases.index(name)
        ui.nameEdit.text = _following(name)
        for widget in (ui.baseSelector, ui.nameEdit):
            widget.blockSignals(False)
        self.next.lookAtScene()

    def _onExported(self, handle: Handle) -> None:
        if handle.done:
            self._say(str(handle.error or _("The model was written.")))

    # --- what is shown ---

    def refresh(self) -> None:
        """Show what can be done, and how far it is."""
        ui, training = self.ui, self._training
        handle = training.handle if training is not None else self._handle
        begun = handle is None and self._standing() is Standing.BEGUN
        ready = self.install is not None and not self.install.needed
        ui.checkButton.text = _("Stop") if self._handle is not None else _("Kee&p the best") if begun else _("&Check")
        ui.checkButton.enabled = ready and training is None
        ui.checkButton.toolTip = (
            _("Make a model of the best that was reached.")
            if begun
            else _("Read all scans and see what is wrong, and what would be trained.")
        )
        ui.startButton.text = _("S&top") if training is not None else _("&Go on") if begun else _("&Train")
        ui.startButton.enabled = ready and (
            handle.state is not State.CANCELLING
            if training is not None
            else begun or (handle is None and self._checked)
        )
        ui.startButton.toolTip = (
            _("Stop; the best so far is kept.")
            if training is not None
            else _("Begin to train. Slicer can be used meanwhile.")
        )
        ui.useButton.enabled = ui.exportButton.enabled = self._result is not None and handle is None
        ui.nextCollapsibleButton.enabled = ready
        ui.casesTable.visible = ui.sourceSelector.currentIndex == SCENE
        ui.dataPath.visible = ui.sourceSelector.currentIndex == FILES
        self._showProgress(handle)
        reason = self._reason(begun)
        ui.reasonLabel.text = reason
        ui.reasonLabel.visible = bool(reason) and handle is None

    def _showProgress(self, handle: Handle | None) -> None:
        ui, told = self.ui, handle.progress if handle is not None else None
        ui.progressBar.visible = ui.stageLabel.visible = handle is not None
        fraction, text = (told.fraction if told is not None else 0.0), _stage(told)
        if self._scans is not None and not self._scans.done:
            fraction, text = self._scans.fraction, self._scans.text
        ui.progressBar.maximum = FULL if fraction > 0 else 0
        ui.progressBar.value = round(FULL * fraction)
        ui.stageLabel.text = text if handle is not None else ""

    def _reason(self, begun: bool) -> str:
        """Return what is to be done before one can train, "" where nothing is."""
        if self.install is None or self.install.needed:
            return _("Some packages have to be installed first; see above.")
        if begun:
            return _(
                "A training of this name was begun and not finished. Go on with it as it was begun, keep the best of "
                "it, or take another name."
            )
        if self.ui.sourceSelector.currentIndex == SCENE and not self.chosenPairs():
            return _("Load scans and their segmentations, or choose files.")
        if not self._checked and not self.ui.messageLabel.text and self.ui.resultCollapsibleButton.collapsed:
            return _("Check the scans first; then training can begin.")
        return ""

    def _changed(self) -> None:
        """Forget the check: it was of something else."""
        self._stale = True
        if self._handle is None and self._training is None:
            self._forget()
        elif self._handle is not None and self._order is not None:
            self._handle.cancel()
        self.refresh()

    def _forget(self) -> None:
        self._checked, self._order, self._scans = False, None, None
        self.ui.resultCollapsibleButton.collapsed = True
        self.ui.problemsList.clear()
        self.ui.problemsList.visible = self.ui.planText.visible = False
        self._say("")

    def _showCase(self, row: int) -> None:
        """Show the scan that a line of the list is about."""
        place = self._outline.problems[row][1] if row >= 0 else -1
        pairs = self.chosenPairs()
        if self.ui.sourceSelector.currentIndex == SCENE and 0 <= place < len(pairs):
            slicer.util.setSliceViewerLayers(background=pairs[place][0], fit=True)
            self.ui.casesTable.selectRow([volume for volume, _choice in self._choices].index(pairs[place][0]))

    def _say(self, text: str) -> None:
        self.ui.messageLabel.text = text
        self.ui.messageLabel.visible = bool(text)
        self.ui.messageLabel.toolTip = asPlain(text)


def _stage(told: Any) -> str:
    if told is None:
        return _("Starting …")
    names = {"training": _("Training"), "writing the bundle": _("Writing the model")}
    stage = names.get(told.stage, told.stage)
    if told.seconds_left is None or told.seconds_left < 1:
        return _("{stage} …").format(stage=stage)
    return _("{stage}, about {count} min left").format(stage=stage, count=max(1, round(told.seconds_left / 60)))


def _following(name: str) -> str:
    """Return "stones 2" for "stones", "stones 3" for that."""
    stem, _space, number = name.rpartition(" ")
    return f"{stem} {int(number) + 1}" if stem and number.isdigit() else f"{name} 2"


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
