"""The inputs: one volume, or one for each channel that the model names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib.inference.match import match
from DeepImagingLib.scene.removal import RESULT_REFERENCE
from DeepImagingPanel.parameters import PanelParameterNode

VOLUME, PICTURE = "vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"
ROLE = "input{number}"
"""Role of a further input among the parameter node's references; these follow a node into a saved scene and back."""


class InputsSection:
    """The first selector comes from the .ui file and is the parameter `inputVolume`; further ones are made here.

    Args:
        ui: The panel's named widgets.
        changed: Called when a further input was chosen.
        kinds: Class names of the volumes that can be chosen.
    """

    def __init__(self, ui: Any, changed: Callable[[], None], kinds: Sequence[str] = (VOLUME,)) -> None:
        self._ui = ui
        self._kinds = list(kinds)
        self._changed = changed
        self._rows: list[tuple[Any, Any]] = [(ui.inputLabel, ui.inputSelector)]
        self._channels: tuple[str, ...] = ("",)
        self._parameters: PanelParameterNode | None = None
        self._updating = False

    def setParameters(self, parameters: PanelParameterNode | None) -> None:
        """Take another parameter node."""
        self._parameters = parameters

    def listKinds(self, chosen: Any) -> None:
        """List what can be chosen; connected to a parameter, a selector lists nodes of the parameter's class only."""
        self._ui.inputSelector.nodeTypes = self._kinds
        self._ui.inputSelector.setCurrentNode(chosen)

    def setChannels(self, channels: Sequence[str]) -> bool:
        """Show a row for each; returns whether they are others than before."""
        if tuple(channels) == self._channels:
            return False
        self._channels = tuple(channels)
        while len(self._rows) < len(channels):
            self._rows.append(self._addRow())
        for number, (label, selector) in enumerate(self._rows):
            label.visible = selector.visible = number < len(channels)
            if number < len(channels):
                name = channels[number].replace("&", "&&")
                label.text = _("V&olume:") if len(channels) == 1 else _("{channel}:").format(channel=name)
        return True

    def volumes(self) -> dict[str, Any]:
        """Return channel name → volume node, None where none is chosen."""
        return dict(zip(self._channels, self._nodes()))

    def fill(self, anew: bool = False) -> None:
        """Choose volumes by their names; `anew` for all channels, else for those that have none."""
        if self._parameters is None:
            return
        volumes = slicer.util.getNodesByClass(VOLUME)
        there = [
            v for v in volumes if v.GetClassName() in self._kinds and v.GetNodeReferenceID(RESULT_REFERENCE) is None
        ]
        chosen = self._nodes()
        matched = match(self._channels, [node.GetName() or "" for node in there])
        found = [there[matched[name]] if name in matched else None for name in self._channels]
        if len(self._channels) == 1:
            volumes = [node for node in there if node.GetClassName() == self._kinds[0]] or there
            found = chosen if chosen[0] or not there else [found[0] or volumes[-1]]
        else:
            found = [(f or (c if c not in found else None)) if anew or c is None else c for f, c in zip(found, chosen)]
        for number, node in enumerate(found):
            self._put(number, node)
        self.show()

    def show(self) -> None:
        """Show in the further selectors what the parameter node says."""
        self._updating = True
        for (_label, selector), node in zip(self._rows[1:], self._nodes()[1:]):
            selector.setCurrentNode(node)
        self._updating = False

    def rolesOf(self, node: Any) -> set[str]:
        """Return the roles in which a volume is a further input."""
        return {ROLE.format(number=n) for n, one in enumerate(self._nodes()) if n > 0 and one is node}

    def clear(self, role: str) -> None:
        """Choose none for a further input."""
        self._parameters.parameterNode.SetNodeReferenceID(role, None)
        self._parameters.Modified()

    def _nodes(self) -> list[Any]:
        if self._parameters is None:
            return [None] * len(self._channels)
        raw = self._parameters.parameterNode
        further = [raw.GetNodeReference(ROLE.format(number=n)) for n in range(1, len(self._channels))]
        return [self._parameters.inputVolume, *further]

    def _put(self, number: int, node: Any) -> None:
        if number == 0:
            self._parameters.inputVolume = node
        else:
            role, nodeID = ROLE.format(number=number), node.GetID() if node else None
            self._parameters.parameterNode.SetNodeReferenceID(role, nodeID)
            self._parameters.Modified()

    def _addRow(self) -> tuple[Any, Any]:
        number = len(self._rows)
        selector = slicer.qMRMLNodeComboBox()
        selector.objectName = f"inputSelector{number + 1}"
        selector.nodeTypes = self._kinds
        selector.showChildNodeTypes = selector.addEnabled = selector.removeEnabled = False
        selector.noneEnabled = True
        selector.noneDisplay = self._ui.inputSelector.noneDisplay
        selector.setMRMLScene(slicer.mrmlScene)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._chosen(number, node))
        label = qt.QLabel()
        label.textFormat = qt.Qt.PlainText  # the name comes with the model
        label.setBuddy(selector)
        self._ui.inputsForm.addRow(label, selector)
        return label, selector

    def _chosen(self, number: int, node: Any) -> None:
        if not self._updating and self._parameters is not None:
            self._put(number, node)
            self._changed()
