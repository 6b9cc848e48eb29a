"""Stands in for `slicer.ScriptedLoadableModule`: the four classes that a scripted module derives from."""

from __future__ import annotations

import os
import unittest
from typing import Any

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]

NODE = "vtkMRMLScriptedModuleNode"


class ScriptedLoadableModule:
    """What a module says of itself; `parent` is Slicer's side of it."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file in the Resources folder beside the module."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """Return nothing: there is no page for a module outside Slicer."""
        return ""

    def runTest(self, msec: int = 100, **arguments: Any) -> None:
        """Run the module's own test class."""
        import sys

        test = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**arguments)


class ScriptedLoadableModuleWidget:
    """The panel: `parent` is a qMRMLWidget with a layout; without one the panel makes its own window."""

    developerMode = False

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent if parent else self._makeParent()
        self.layout = self.parent.layout()
        if not parent:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def _makeParent(self) -> Any:
        parent = slicer.qMRMLWidget()
        parent.setLayout(qt.QVBoxLayout())
        parent.setMRMLScene(slicer.mrmlScene)
        return parent

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file in the Resources folder beside the module."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Fill the panel; the subclass does."""

    def cleanup(self) -> None:
        """Let go of everything; called once, before the panel goes."""

    def enter(self) -> None:
        """Called when the user comes to the module."""

    def exit(self) -> None:
        """Called when the user leaves the module."""

    def onReload(self) -> None:
        """Load the module's file again and build the panel anew."""
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """What works without a panel; its state is in a parameter node of the scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """Return the scene's first parameter node of this module, made where there is none."""
        found = self.getAllParameterNodes()
        if self.isSingletonParameterNode and not found:
            found = [node for node in [slicer.mrmlScene.GetSingletonNode(self.moduleName, NODE)] if node]
            for node in found:
                node.SetAttribute("ModuleName", self.moduleName)  # closing the scene may have reset it
        return found[0] if found else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        """Return the scene's parameter nodes of this module."""
        nodes = slicer.util.getNodesByClass(NODE)
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        """Return a new parameter node, not yet in the scene."""
        node = slicer.mrmlScene.CreateNodeByClass(NODE)
        node.UnRegister(None)  # Python holds its own reference
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's own tests: `runTest` runs every method whose name begins with "test"."""

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Let the panel catch up; nothing is shown where nobody looks."""
        slicer.app.processEvents()

    def runTest(self) -> None:
        """Run the tests; subclasses may choose which."""
        for name in unittest.TestLoader().getTestCaseNames(type(self)):
            self.setUp()
            getattr(self, name)()
            self.tearDown()
