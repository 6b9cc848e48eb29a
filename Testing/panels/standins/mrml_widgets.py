"""Slicer's widgets that hold a scene: qMRMLWidget and its kin, and the node selector."""

from __future__ import annotations

import weakref
from typing import Any

import qt
import shiboken6
import slicer
import vtk
from PySide6 import QtCore

from Testing.panels.standins.ctk_module import ctkComboBox, nameOnly
from Testing.panels.standins.properties import strict

NAMES_ONLY = ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget")
SCENE_EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndBatchProcessEvent", "EndImportEvent", "EndCloseEvent")


class _SceneHolder(qt.QWidget):
    """What has `setMRMLScene` and tells it on."""

    mrmlSceneChanged = QtCore.Signal(object)
    _scene: Any = None

    def mrmlScene(self) -> Any:
        """Return the scene, or None."""
        return self._scene

    @QtCore.Slot(object)
    def setMRMLScene(self, scene: Any) -> None:
        """Set the scene and tell it."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@strict
class qMRMLWidget(_SceneHolder):
    """A widget with a scene."""


@strict
class qSlicerWidget(_SceneHolder):
    """A widget with a scene."""


def _stored(name: str, kind: Any, default: Any) -> Any:
    """Return a property, and its setter, of a node selector, which looks at the scene anew when it changes."""

    def put(self: Any, value: Any) -> None:
        self._values[name] = value
        self._refresh()

    return QtCore.Property(kind, lambda self: self._values.get(name, default), put), put


class _Filter(QtCore.QObject):
    """What a node selector leaves out: of qMRMLSortFilterProxyModel, the nodes that are hidden by their IDs."""

    def __init__(self, selector: Any) -> None:
        super().__init__(selector)
        self._hidden: tuple[str, ...] = ()

    @property
    def hiddenNodeIDs(self) -> tuple[str, ...]:
        """IDs of the nodes that are not listed."""
        return self._hidden

    @hiddenNodeIDs.setter
    def hiddenNodeIDs(self, ids: Any) -> None:
        if tuple(ids) != self._hidden:
            self._hidden = tuple(ids)
            self.parent()._refresh()


@strict
class qMRMLNodeComboBox(qt.QWidget):
    """A combo box of the scene's nodes of some types. Not here: the actions below the nodes (rename, delete …)."""

    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    _combo: Any = None
    _filter: Any = None
    _scene: Any = None
    _values: Any = None
    _nodes: Any = ()
    _observed: Any = ()
    _told: Any = ""
    _requested: Any = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._values = {}
        self._filter = _Filter(self)
        self._combo = ctkComboBox()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.enabled = False  # until there is a scene
        self.setFocusProxy(self._combo)
        self._combo.connect("currentIndexChanged(int)", self._tell)

    showHidden, setShowHidden = _stored("showHidden", bool, False)
    showChildNodeTypes, setShowChildNodeTypes = _stored("showChildNodeTypes", bool, True)
    noneEnabled, setNoneEnabled = _stored("noneEnabled", bool, False)
    noneDisplay, setNoneDisplay = _stored("noneDisplay", str, "None")
    addEnabled, setAddEnabled = _stored("addEnabled", bool, True)
    removeEnabled, setRemoveEnabled = _stored("removeEnabled", bool, True)
    editEnabled, setEditEnabled = _stored("editEnabled", bool, False)
    renameEnabled, setRenameEnabled = _stored("renameEnabled", bool, False)
    selectNodeUponCreation, setSelectNodeUponCreation = _stored("selectNodeUponCreation", bool, True)
    baseName, setBaseName = _stored("baseName", str, "")

    def _getNodeTypes(self) -> Any:
        return self._values.get("nodeTypes", ())

    def setNodeTypes(self, types: Any) -> None:
        """Set the class names of the nodes to list."""
        self._values["nodeTypes"] = tuple(name for name in types if name)
        self._refresh()

    nodeTypes = QtCore.Property("QStringList", _getNodeTypes, setNodeTypes)

    def sortFilterProxyModel(self) -> _Filter:
        """Return what decides which nodes are listed."""
        return self._filter

    def mrmlScene(self) -> Any:
        """Return the scene, or None."""
        return self._scene

    @QtCore.Slot(object)
    def setMRMLScene(self, scene: Any) -> None:
        """Set the scene; what was asked for before there was one is chosen now."""
        if scene is self._scene:
            return
        self._stopObserving()
        wanted, self._scene = self._requested or self.currentNodeID, scene
        self._requested = ""
        self.enabled = scene is not None
        self._refresh()
        if wanted:
            self.setCurrentNodeID(wanted)

    def currentNode(self) -> Any:
        """Return the chosen node, or None."""
        return self._scene.GetNodeByID(self.currentNodeID) if self._scene and self.currentNodeID else None

    def _getCurrentNodeID(self) -> str:
        return str(self._combo.itemData(self._combo.currentIndex) or "")

    @QtCore.Slot(str)
    def setCurrentNodeID(self, nodeID: str) -> None:
        """Choose a node; one that isn't listed is no choice."""
        if self._scene is None:
            self._requested = nodeID
        found = self._combo.findData(nodeID) if nodeID else -1
        self._combo.currentIndex = found if found >= 0 else (0 if self.noneEnabled else -1)

    currentNodeID = QtCore.Property(str, _getCurrentNodeID, setCurrentNodeID, notify=currentNodeIDChanged)

    @QtCore.Slot(object)
    def setCurrentNode(self, node: Any) -> None:
        """Choose a node, by itself or by its ID."""
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        """Choose a node by its place among the nodes."""
        self.setCurrentNodeID(self._nodes[index].GetID() if 0 <= index < len(self._nodes) else "")

    def nodeCount(self) -> int:
        """Return how many nodes are listed."""
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        """Return a listed node."""
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def addNode(self, nodeType: str = "") -> Any:
        """Add a node to the scene, as the entry "Create new …" does, and return it."""
        kind = nodeType or next(iter(self.nodeTypes), "")
        if kind not in self.nodeTypes or self._scene is None:
            raise ValueError(f"no {kind or 'node'} can be added: node types {self.nodeTypes}, scene {self._scene}")
        name = self._scene.GetUniqueNameByString(self.baseName) if self.baseName else ""
        node = self._scene.AddNewNodeByClass(kind, name)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def _refresh(self) -> None:
        """List the scene's nodes; keep the choice, or move it as a Qt model does when the chosen row goes."""
        chosen, row, wasEmpty = self.currentNodeID, self._combo.currentIndex, self._combo.count == 0
        before, self._nodes = {node.GetID() for node in self._nodes}, self._listed()
        self._combo.blockSignals(True)
        self._fill()
        found = self._combo.findData(chosen) if chosen else -1
        if found < 0 and chosen:
            found = min(row - 1, self._combo.count - 1)
        elif found < 0 and (self.noneEnabled or (wasEmpty and not self._hasActions() and self._nodes)):
            found = 0
        self._combo.currentIndex = found
        self._combo.blockSignals(False)
        self._observe()
        for node in self._nodes:
            if node.GetID() not in before:
                self.nodeAdded.emit(node)
        self._tell()

    def _fill(self) -> None:
        self._combo.clear()
        tag = self._scene.GetTypeDisplayNameByClassName(self.nodeTypes[0]) if self._scene and self.nodeTypes else ""
        self._combo.defaultText = f"Select a {tag or 'node'}"
        if self._scene and self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in self._nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())

    def _hasActions(self) -> bool:
        """Tell whether Slicer would have entries below the nodes; then the first node isn't chosen by itself."""
        return bool(self.addEnabled or self.removeEnabled or self.editEnabled or self.renameEnabled)

    def _listed(self) -> list[Any]:
        if self._scene is None or self._scene.IsClosing():
            return []
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._shows(node)]

    def _shows(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if node.GetID() in self._filter.hiddenNodeIDs:
            return False
        matches = node.IsA if self.showChildNodeTypes else node.GetClassName().__eq__
        return any(matches(name) for name in self.nodeTypes)

    def _tell(self, *_: Any) -> None:
        """Emit what changed, once for every change."""
        nodeID = self.currentNodeID
        if nodeID == self._told:
            return
        self._told = nodeID
        node = self.currentNode()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(nodeID)

    def _observe(self) -> None:
        self._stopObserving()
        if self._scene is None:
            return
        look = _weakly(self)
        scene = [(self._scene, getattr(slicer.vtkMRMLScene, event)) for event in SCENE_EVENTS]
        nodes = [(node, vtk.vtkCommand.ModifiedEvent) for node in self._nodes]
        self._observed = [(source, source.AddObserver(event, look)) for source, event in scene + nodes]

    def _stopObserving(self) -> None:
        for source, tag in self._observed:
            source.RemoveObserver(tag)
        self._observed = []

    def _changed(self, source: Any) -> None:
        """Look at the scene again, where a node's name or the list of nodes isn't what is shown."""
        shown = [(node.GetID(), self._combo.itemText(self._combo.findData(node.GetID()))) for node in self._nodes]
        if self._scene.IsBatchProcessing() and not self._scene.IsClosing():
            return
        if [(node.GetID(), node.GetName() or "") for node in self._listed()] != shown:
            self._refresh()


def _weakly(selector: qMRMLNodeComboBox) -> Any:
    """Return an observer that doesn't keep the selector alive, nor calls one that Qt deleted."""
    reference = weakref.ref(selector)

    def look(source: Any, _: str) -> None:
        found = reference()
        if found is not None and shiboken6.isValid(found):
            found._changed(source)

    return look


def classes() -> list[type]:
    """Return what is put into `slicer`."""
    return [qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox, *map(nameOnly, NAMES_ONLY)]
