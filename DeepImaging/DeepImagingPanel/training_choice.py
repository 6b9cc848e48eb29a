"""What is chosen for a training: the model it begins with, the scans it learns from, its name, how long and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.bundles.card import entries
from DeepImagingLib.errors import InputError
from DeepImagingLib.hosts.training import Order, Standing, standing
from DeepImagingPanel.cases_table import CasesTable
from DeepImagingPanel.parameters import Device

SCRATCH = "scratch"
SCENE, FILES = range(2)


def scansOf(output: Path) -> Path:
    """Return the folder for what is written of the scene for a training."""
    return output.with_name(f"{output.name} scans")


class TrainingChoice:
    """Drives the widgets with which a training is chosen.

    Args:
        ui: The panel's widgets.
        outputOf: Gives the folder for a training of a name; raises InputError where that is no name.
        changed: Called when something else is chosen.

    Attributes:
        cases: The table of the scene's scans.
        bases: Names of the models one can begin with, in the order of the list.
    """

    def __init__(self, ui: Any, outputOf: Callable[[str], Path], changed: Callable[[], None]) -> None:
        self._ui, self._outputOf = ui, outputOf
        self.cases = CasesTable(ui.casesTable, changed)
        self.bases: list[str] = []
        for text in (_("Nodes of this scene"), _("Files")):
            ui.sourceSelector.addItem(text)
        for device in Device:
            ui.deviceSelector.addItem(device.label())
        for selector in (ui.sourceSelector, ui.baseSelector, ui.deviceSelector):
            selector.connect("currentIndexChanged(int)", lambda _index: changed())
        for edit in (ui.labelsEdit, ui.nameEdit):
            edit.connect("textChanged(QString)", lambda _text: changed())
        for spinBox in (ui.minutesSpinBox, ui.epochsSpinBox):
            spinBox.connect("valueChanged(int)", lambda _value: changed())
        ui.dataPath.connect("currentPathChanged(QString)", lambda _path: changed())
        ui.keepOldCheckBox.connect("toggled(bool)", lambda _on: changed())

    @property
    def fromScene(self) -> bool:
        """Whether nodes of the scene are learnt from, and not files."""
        return self._ui.sourceSelector.currentIndex == SCENE

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """The scene's volumes and segmentations that are learnt from; none where files are."""
        return self.cases.pairs if self.fromScene else []

    @property
    def base(self) -> str:
        """Name of the model to begin with, or SCRATCH."""
        return self.bases[self._ui.baseSelector.currentIndex]

    @property
    def device(self) -> str:
        """Where to compute."""
        return list(Device)[self._ui.deviceSelector.currentIndex].value

    @property
    def model(self) -> tuple[str, str]:
        """The model to begin with, "" for none, and where to compute."""
        return "" if self.base == SCRATCH else self.base, self.device

    @property
    def output(self) -> Path:
        """The training's folder; raises InputError where there is no name yet."""
        return self._outputOf(self._ui.nameEdit.text.strip())

    @property
    def standing(self) -> Standing:
        """What there is of a training of the name that is chosen."""
        try:
            return standing(self.output)
        except InputError:  # no name yet
            return Standing.NEW

    def order(self) -> Order:
        """Return what is chosen; nothing is written for it.

        Raises:
            InputError: Something is missing, or the name is taken.
        """
        ui, output = self._ui, self.output
        if standing(output) is not Standing.NEW:
            raise InputError(_("There is a model named {name} already; take another name.").format(name=output.name))
        if self.fromScene and not self.pairs:
            raise InputError(_("No scan has a segmentation to learn from; choose one beside it, or take files."))
        epochs, minutes = ui.epochsSpinBox.value, ui.minutesSpinBox.value
        return Order(
            scene.list_of(scansOf(output)) if self.fromScene else Path(ui.dataPath.currentPath),
            ",".join(part.strip() for part in ui.labelsEdit.text.split(",") if part.strip()),
            self.base,
            output,
            self.device,
            {"epochs": epochs} if epochs else {},
            ui.keepOldCheckBox.checked,
            float(minutes) if minutes else None,
        )

    # --- what there is to choose from ---

    def lookAtModels(self) -> None:
        """List the models one can begin with; the choice stays what it is."""
        found = entries("segmentation")
        names = [*(entry.name for entry in found), SCRATCH]
        if names == self.bases:
            return
        selector, before = self._ui.baseSelector, self.base if self.bases else names[0]
        self.bases = names
        selector.blockSignals(True)
        selector.clear()
        for title in (*(entry.title for entry in found), _("Nothing (from scratch)")):
            selector.addItem(title)
        selector.currentIndex = names.index(before) if before in names else 0
        selector.blockSignals(False)

    def lookAtScene(self) -> bool:
        """Show the scene's scans, and name their segments; tells whether there is something else than before."""
        if not self.cases.lookAtScene():
            return False
        if not self._ui.labelsEdit.text:
            self._ui.labelsEdit.text = ", ".join(scene.segment_names([one for _volume, one in self.cases.pairs]))
        return True

    def goOnFrom(self, name: str) -> None:
        """Choose a model to begin the next training with, and propose a name for that one."""
        ui = self._ui
        for widget in (ui.baseSelector, ui.nameEdit):
            widget.blockSignals(True)  # the result stays in sight
        ui.baseSelector.currentIndex = self.bases.index(name)
        ui.nameEdit.text = _following(name)
        for widget in (ui.baseSelector, ui.nameEdit):
            widget.blockSignals(False)


def _following(name: str) -> str:
    """Return "stones 2" for "stones", "stones 3" for that."""
    stem, _space, number = name.rpartition(" ")
    return f"{stem} {int(number) + 1}" if stem and number.isdigit() else f"{name} 2"
