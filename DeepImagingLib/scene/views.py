"""Slice and 3-D views without a screen, drawn by Slicer's own displayable managers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.scene.host import available

Pixels = npt.NDArray[np.uint8]

SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
SLICE_VIEWS = ("Red", "Green", "Yellow")
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.AddRenderer(vtk.vtkRenderer())
window.Render()
raise SystemExit(0 if window.SupportsOpenGL() else 1)
"""
PROBE_SECONDS = 120
MARGIN = 0.92


@cache
def can_draw() -> bool:
    """Tell whether Slicer's views can be drawn here; tried in a process of its own, since a failure may end it."""
    if not available():
        return False
    try:
        probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


@dataclass
class View:
    """A render window with what keeps it alive: VTK objects that only refer to each other weakly.

    Attributes:
        window: The vtkRenderWindow.
        renderer: Its first renderer.
        node: The view node.
        keep_alive: Displayable manager group, logics and interactor.
    """

    window: Any
    renderer: Any
    node: Any
    keep_alive: tuple[Any, ...]

    def draw(self) -> Pixels:
        """Render and return the pixels (rows, columns, 3), first row on top."""
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        self.window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.window)
        grabber.ReadFrontBufferOff()
        grabber.SetInputBufferTypeToRGB()
        grabber.Update()
        width, height, _ = grabber.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars())
        return np.ascontiguousarray(pixels.reshape(height, width, 3)[::-1])


def add_layout(scene: Any) -> None:
    """Add Slicer's four-up layout and the view nodes it shows; the views below draw these nodes."""
    import slicer

    logic = slicer.vtkMRMLLayoutLogic()  # knows Slicer's layouts and adds the view nodes of one
    logic.SetMRMLScene(scene)
    logic.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    for name in SLICE_VIEWS:
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetSingletonTag(name)
        composite.SetLayoutName(name)
        scene.AddNode(composite)


def slice_view(application: Any, name: str, volume_node: Any, center: npt.NDArray[np.float64], size: int) -> View:
    """Return a slice view of a volume through a point.

    Args:
        application: Whose scene, with its layout, and logics are used.
        name: "Red" (axial), "Green" (coronal) or "Yellow" (sagittal).
        volume_node: The background.
        center: (3,) RAS mm that the slice passes through.
        size: Pixels along each side.
    """
    import vtk

    window, renderer, interactor = _window(size, size)
    renderer.GetActiveCamera().ParallelProjectionOn()
    _add_overlay_layer(window)
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    # Before the displayable managers add theirs: else segments blend with black instead of the scan.
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)

    import slicer

    group = _managers(application, slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS, renderer)
    logic = _slice_logic(application, name)
    node = logic.GetSliceNode()
    group.SetMRMLDisplayableNode(node)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume_node.GetID())
    logic.ResizeSliceNode(size, size)
    logic.FitSliceToBackground()
    node.JumpSliceByOffsetting(*center)
    logic.SnapSliceOffsetToIJK()
    logic.UpdatePipeline()
    mapper.SetInputConnection(logic.GetImageDataConnection())
    return View(window, renderer, node, (interactor, group, logic, mapper))


def _add_overlay_layer(window: Any) -> None:
    import vtk

    overlay = vtk.vtkRenderer()
    overlay.SetLayer(1)
    overlay.GetActiveCamera().ParallelProjectionOn()
    window.SetNumberOfLayers(2)
    window.AddRenderer(overlay)


def _slice_logic(application: Any, name: str) -> Any:
    import slicer

    scene = application.mrmlScene()
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application.applicationLogic())
    application.applicationLogic().GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(scene.GetSingletonNode(name, "vtkMRMLSliceNode"))
    logic.SetSliceCompositeNode(scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode"))
    return logic


def three_d_view(application: Any, direction: npt.NDArray[np.float64], width: int, height: int) -> View:
    """Return a 3-D view of the scene, seen from `direction` (3,) RAS, upright and framed."""
    import slicer

    window, renderer, interactor = _window(width, height)
    group = _managers(application, slicer.vtkMRMLThreeDViewDisplayableManagerFactory, THREE_D_MANAGERS, renderer)
    node = application.mrmlScene().GetSingletonNode("1", "vtkMRMLViewNode")
    node.SetBoxVisible(False)
    node.SetAxisLabelsVisible(False)
    group.SetMRMLDisplayableNode(node)
    _aim(renderer, direction)
    return View(window, renderer, node, (interactor, group))


def _aim(renderer: Any, direction: npt.NDArray[np.float64]) -> None:
    """Look along `direction` so that everything visible just fits; ResetCamera alone frames the bounding sphere."""
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(*(1000 * np.asarray(direction) / np.linalg.norm(direction)))
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    corners = product(*np.reshape(renderer.ComputeVisiblePropBounds(), (3, 2)))
    camera.Zoom(MARGIN / max(_off_center(renderer, corner) for corner in corners))
    renderer.ResetCameraClippingRange()


def _off_center(renderer: Any, point: tuple[float, ...]) -> float:
    """Return how far from the middle a RAS point is drawn, 1 at the edge of the view."""
    renderer.SetWorldPoint(*point, 1.0)
    renderer.WorldToView()
    x, y, _ = renderer.GetViewPoint()
    return max(abs(x), abs(y), 1e-3)


def _window(width: int, height: int) -> tuple[Any, Any, Any]:
    import vtk

    for module in ("vtkRenderingOpenGL2", "vtkRenderingFreeType", "vtkInteractionStyle", "vtkRenderingVolumeOpenGL2"):
        __import__(f"vtkmodules.{module}")  # they register the factories that make the classes below real
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(width, height)
    renderer = vtk.vtkRenderer()
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    interactor.Initialize()
    interactor.UpdateSize(width, height)
    return window, renderer, interactor


def _managers(application: Any, factory_class: Any, names: tuple[str, ...], renderer: Any) -> Any:
    import slicer

    factory = factory_class.GetInstance()
    factory.SetMRMLApplicationLogic(application.applicationLogic())
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    return group
