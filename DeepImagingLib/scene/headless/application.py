"""The stand-in for `slicer.app`: a scene, the application logic and the modules' logics, wired as Slicer wires them."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import vtk

from DeepImagingLib.scene.headless.io_manager import IOManager
from DeepImagingLib.scene.headless.terminologies import write_terminologies

# Module name, class of its logic, folder of its data below the share directory. Order matters: terminologies first,
# because the segmentations logic looks them up when it gets its scene.
MODULES = (
    ("Terminologies", "vtkSlicerTerminologiesModuleLogic", "terminologies"),
    ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic", ""),
    ("Volumes", "vtkSlicerVolumesLogic", ""),
    ("Segmentations", "vtkSlicerSegmentationsModuleLogic", ""),
    ("Markups", "vtkSlicerMarkupsLogic", ""),
    ("Models", "vtkSlicerModelsLogic", ""),
    ("Transforms", "vtkSlicerTransformLogic", ""),
    ("Tables", "vtkSlicerTablesLogic", ""),
    ("Cameras", "vtkSlicerCamerasModuleLogic", ""),
    ("CropVolume", "vtkSlicerCropVolumeLogic", ""),
    ("VolumeRendering", "vtkSlicerVolumeRenderingLogic", ""),
    ("Data", "vtkSlicerDataModuleLogic", ""),
)


class HeadlessApplication:
    """Slicer's application object as far as it has no Qt; names are those of qSlicerApplication."""

    applicationName = "DeepImagingHeadless"
    revision = "0"

    def __init__(self) -> None:
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)  # that there is no display is no news here
        self.temporaryPath = tempfile.mkdtemp(prefix="deepimaging-scene-")
        atexit.register(shutil.rmtree, self.temporaryPath, ignore_errors=True)
        self.slicerHome = str(self._shareFolder())
        self.modules = types.SimpleNamespace()
        self._scene = slicer.vtkMRMLScene()
        self._scene.SetRootDirectory(self.temporaryPath)
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._addSingletons()
        self._setUpLogic()
        self._setUpFileAccess()
        for module in MODULES:
            self._addModule(*module)
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        self._ioManager = IOManager(self)

    def install(self) -> None:
        """Make this the application that `slicer.app`, `slicer.mrmlScene` and `slicer.util` find."""
        slicer.app, slicer.mrmlScene, slicer.modules = self, self._scene, self.modules
        # slicer.util imports it as a module, though in Slicer it is an object too.
        sys.modules["slicer.modules"] = self.modules  # type: ignore[assignment]

    def _shareFolder(self) -> Path:
        """Make the folder where logics expect their data; slicer-core ships none."""
        share = Path(self.temporaryPath) / "share"
        (share / "terminologies").mkdir(parents=True)
        write_terminologies(share / "terminologies")
        return share

    def _addSingletons(self) -> None:
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self._scene.AddNode(crosshair)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self._scene, True)

    def _setUpLogic(self) -> None:
        logic = self._logic
        logic.SetTemporaryPath(self.temporaryPath)
        logic.SetHomeDirectory(self.slicerHome)
        logic.SetMRMLScene(self._scene)
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        colors = logic.GetColorLogic()
        colors.SetMRMLScene(self._scene)
        colors.AddDefaultColorNodes()  # else label volumes find no colour table
        logic.SetModuleLogic("Colors", colors)
        self._register("Colors", colors)
        for factory in (
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
        ):
            factory.GetInstance().SetMRMLApplicationLogic(logic)

    def _setUpFileAccess(self) -> None:
        """Give the scene its data managers, without which volumes have no write formats; references keep them alive."""
        self._remoteIO, self._dataManager = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
        for logic in (self._remoteIO, self._dataManager):
            logic.SetMRMLApplicationLogic(self._logic)
        cache = Path(self.temporaryPath) / "cache"
        cache.mkdir()
        (cache / ".slicer-cache").touch()  # the mark without which Slicer warns that the folder isn't a cache
        self._remoteIO.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self._logic.SetMRMLSceneDataIO(self._scene, self._remoteIO, self._dataManager)

    def _addModule(self, name: str, className: str, share: str) -> None:
        logic = getattr(slicer, className)()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(str(Path(self.slicerHome) / share))
        if hasattr(logic, "SetColorLogic"):
            logic.SetColorLogic(self._logic.GetColorLogic())
        logic.SetMRMLApplicationLogic(self._logic)
        self._logic.SetModuleLogic(name, logic)
        logic.SetMRMLScene(self._scene)
        self._register(name, logic)

    def _register(self, name: str, logic: Any) -> None:
        setattr(self.modules, name.lower(), types.SimpleNamespace(name=name, logic=lambda: logic))

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return self._scene

    def applicationLogic(self) -> Any:
        """Return the application logic."""
        return self._logic

    def coreIOManager(self) -> IOManager:
        """Return what loads and saves nodes."""
        return self._ioManager

    ioManager = coreIOManager

    def layoutManager(self) -> None:
        """Return None, as Slicer does without a main window."""

    def mainWindow(self) -> None:
        """Return None: there is no window."""

    def testingEnabled(self) -> bool:
        """Return True, so that slicer.util shows no dialogs."""
        return True

    def startupEnvironment(self) -> dict[str, str]:
        """Return the environment of the process."""
        return dict(os.environ)

    def translate(self, context: str, text: str) -> str:
        """Return `text`: there is no translation without Qt."""
        return text

    def processEvents(self, *_: Any) -> None:
        """Do nothing: there is no event loop, and so for the calls below."""

    pauseRender = resumeRender = setOverrideCursor = restoreOverrideCursor = processEvents
