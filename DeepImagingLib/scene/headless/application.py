"""The stand-in for `slicer.app`: a scene, the application logic and the modules' logics, wired as Slicer wires them."""

from __future__ import annotations

import os
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

from DeepImagingLib.scene.headless.colors import add_inferno
from DeepImagingLib.scene.headless.io_manager import IOManager
from DeepImagingLib.scene.headless.terminologies import write_terminologies

PREFIX = "deepimaging-scene-"
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
        self.temporaryPath = tempfile.gettempdir()
        self.modules = types.SimpleNamespace()
        self._scene = slicer.vtkMRMLScene()
        self._scene.SetRootDirectory(self.temporaryPath)
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._addSingletons()
        with self._shareFolder() as share:
            self._setUpLogic(share)
            self._setUpFileAccess()
            for module in MODULES:
                self._addModule(share, *module)
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        self._ioManager = IOManager(self)

    def install(self) -> None:
        """Make this the application that `slicer.app`, `slicer.mrmlScene` and `slicer.util` find."""
        slicer.app, slicer.mrmlScene, slicer.modules = self, self._scene, self.modules
        # slicer.util imports it as a module, though in Slicer it is an object too.
        sys.modules["slicer.modules"] = self.modules  # type: ignore[assignment]

    @contextmanager
    def unpacking(self) -> Iterator[None]:
        """Give the scene a folder to unpack a bundle in, gone afterwards; it packs beside the file it writes."""
        data, cache = self._scene.GetDataIOManager(), self._remoteIO.GetCacheManager()
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            cache.SetRemoteCacheDirectory(folder)
            data.SetCacheManager(cache)
            try:
                yield
            finally:
                data.SetCacheManager(None)

    @contextmanager
    def _shareFolder(self) -> Iterator[Path]:
        """Make the folder where logics look for their data while they are set up; slicer-core ships none."""
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            terminologies = Path(folder) / "terminologies"
            terminologies.mkdir()
            write_terminologies(terminologies)
            yield Path(folder)

    def _addSingletons(self) -> None:
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self._scene.AddNode(crosshair)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self._scene, True)

    def _setUpLogic(self, share: Path) -> None:
        logic = self._logic
        logic.SetTemporaryPath(self.temporaryPath)
        logic.SetHomeDirectory(str(share))
        logic.SetMRMLScene(self._scene)
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        colors = logic.GetColorLogic()
        colors.SetMRMLScene(self._scene)
        colors.AddDefaultColorNodes()  # else label volumes find no colour table
        add_inferno(self._scene)
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
        self._logic.SetMRMLSceneDataIO(self._scene, self._remoteIO, self._dataManager)
        self._scene.GetDataIOManager().SetCacheManager(None)  # a folder for life would stay where we are killed

    def _addModule(self, share: Path, name: str, className: str, data: str) -> None:
        logic = getattr(slicer, className)()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(str(share / data))
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
