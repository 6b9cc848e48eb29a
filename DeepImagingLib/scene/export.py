"""A result as a scene of its own (`.mrb`) and as a picture (`.png`), made outside Slicer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import OutputError
from DeepImagingLib.files import as_image
from DeepImagingLib.results import Classification, Detections, Segmentation
from DeepImagingLib.scene import overview, views
from DeepImagingLib.scene.class_sheet import write_class_sheet
from DeepImagingLib.scene.classifications import show_classes
from DeepImagingLib.scene.contact_sheet import Told, write_contact_sheet
from DeepImagingLib.scene.detections import findings, show_findings
from DeepImagingLib.scene.jump import jump
from DeepImagingLib.scene.markups_file import write_markups
from DeepImagingLib.scene.segmentations import show
from DeepImagingLib.scene.volumes import add_volume
from DeepImagingLib.scene.windows import SOFT_TISSUE, window_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

FILL_OPACITY = 0.4
PIXELS = 480
GOOD_PART = 0.3  # of a segment's widest cut
FROM_FRONT, FROM_ABOVE = np.array([0.25, 1.0, 0.15]), np.array([0.25, 1.0, 0.9])
FLAT = 0.4  # height over width
# Structures that enclose the others in a 3-D view, by the meaning of their code, and how far one sees through them.
SHELLS = {"Lung": 0.25, "Bone": 0.6, "Entire body": 0.15, "Fat": 0.15, "Skeletal muscle": 0.2, "Rib": 0.6}


R = TypeVar("R", Segmentation, Detections, Classification)


class _Export(Generic[R]):
    """One run as a scene of its own, set up as one would want to find it; made when first needed.

    Args:
        result: What the run returned.
        images: Name to image (C, I, J, K), or a picture (C, I, J), as they were given to the run.
        modality: "CT" shows the soft tissue window, or that of what was found; else the window follows the voxels.
    """

    def __init__(self, result: R, images: Mapping[str, MetaTensor], modality: str = "") -> None:
        self._result: R = result
        self._given = images
        self._is_ct = modality.upper() == "CT"

    def write_mrb(self, path: Path) -> list[Path]:
        """Write the scene for Slicer; returns the files written.

        Raises:
            OutputError: Slicer's writer failed.
        """
        scene = self._scene.application.mrmlScene()
        scene.SetURL(str(path))
        if not scene.WriteToMRB(str(path), None, None):
            raise OutputError(f"{path.name!r} could not be written; is the disk full?")
        return [path]

    @cached_property
    def _images(self) -> dict[str, MetaTensor]:
        return {name: _displayable(image) for name, image in self._given.items()}

    @cached_property
    def _scene(self) -> _Scene:
        from DeepImagingLib.scene.headless.application import HeadlessApplication

        application = HeadlessApplication()
        volumes = [add_volume(application.mrmlScene(), image, name) for name, image in self._images.items()]
        for volume in volumes:
            _set_window(volume, self._window if self._is_ct else None)
        return _Scene(application, volumes[0], self._show(application.mrmlScene(), volumes[0]))

    @property
    def _window(self) -> tuple[float, float]:
        """Window and level in HU of a CT."""
        return SOFT_TISSUE

    def _show(self, scene: Any, volume: Any) -> Any:
        """Put the result into a scene that holds the images, the first of them `volume`; returns its node."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Scene:
    """An application with its scene, the node of the first image, and that of the result."""

    application: Any
    volume: Any
    result: Any


class ResultExport(_Export[Segmentation]):
    """A segmentation as a scene, and as a picture (`.png`)."""

    @cached_property
    def _center(self) -> npt.NDArray[np.float64]:
        return _most_telling(self._result)

    def _show(self, scene: Any, volume: Any) -> Any:
        segmentation = show(self._result, volume)
        _set_opacity(segmentation, self._result)
        _set_up_views(scene, volume, self._center)
        return segmentation

    def write_png(self, path: Path) -> list[Path]:
        """Draw three slices with masks, a 3-D view and a legend; by matplotlib, saying so, where there is no OpenGL."""
        plain = not views.can_draw()
        pictures = self._draw_plain() if plain else self._draw()
        overview.compose(pictures, self._result, path, plain)
        return [path]

    def _draw(self) -> dict[str, views.Pixels]:
        """Return the pictures of the slice views and the 3-D view, by name, drawn by Slicer's own managers."""
        application, volume = self._scene.application, self._scene.volume
        pictures = {
            name: views.slice_view(application, name, volume, self._center, PIXELS).draw() for name in views.SLICE_VIEWS
        }
        pictures["3D"] = views.three_d_view(application, _direction(self._result), PIXELS, PIXELS).draw()
        return pictures

    def _draw_plain(self) -> dict[str, views.Pixels]:
        image = next(iter(self._images.values()))
        window = self._window if self._is_ct else None
        return overview.draw_by_matplotlib(image, self._result, self._center, window)


class DetectionsExport(_Export[Detections]):
    """Findings as a scene, at the first of them, as boxes (`.mrk.json`) and as a contact sheet (`.png`)."""

    def _show(self, scene: Any, volume: Any) -> Any:
        table = show_findings(self._result, volume)
        _set_up_views(scene, volume, _middle(self._result))
        for finding in findings(table)[:1]:
            jump(finding.node)
        return table

    @property
    def _window(self) -> tuple[float, float]:
        """Window and level in HU in which most findings are seen; the first of them where they are as many."""
        image = next(iter(self._images.values()))
        voxels, affine = image.numpy()[0], np.asarray(image.affine)
        windows = [window_of(voxels, affine, box) for box in self._result.findings] or [super()._window]
        return max(windows, key=windows.count)

    def write_markups(self, path: Path) -> list[Path]:
        """Write the findings as boxes; returns the files written.

        Raises:
            OutputError: Slicer's writer failed.
        """
        return write_markups(self._scene.result, path)

    def write_png(self, path: Path) -> list[Path]:
        """Draw each finding in three planes; it needs no scene. Returns the files written."""
        image = next(iter(self._images.values())).numpy()[0]
        return write_contact_sheet(path, image, self._result, [Told(box) for box in self._result.findings])


class ClassificationExport(_Export[Classification]):
    """Probabilities and heatmaps as a scene, a heatmap over the image, and as a picture (`.png`)."""

    def _show(self, scene: Any, volume: Any) -> Any:
        _set_up_views(scene, volume, _middle(self._result))
        return show_classes(self._result, volume)

    def write_png(self, path: Path) -> list[Path]:
        """Draw image, probabilities and heatmaps; it needs no scene. Returns the files written."""
        return write_class_sheet(path, next(iter(self._images.values())).numpy(), self._result)


def _middle(result: Detections | Classification) -> npt.NDArray[np.float64]:
    return np.asarray((result.affine @ [*(np.array(result.shape) / 2), 1.0])[:3])


def _direction(result: Segmentation) -> npt.NDArray[np.float64]:
    """Return from where to look (3,) RAS: from the front, and from above at what is flat."""
    extent = np.abs(result.affine[:3, :3]) @ np.array(result.layers.shape[1:])
    return FROM_ABOVE if extent[2] < FLAT * extent[0] else FROM_FRONT


def _displayable(image: MetaTensor) -> MetaTensor:
    """Return the image as a volume (C, I, J, K) without gaps: a picture one voxel deep, NaN at the minimum."""
    voxels = image.numpy()
    finite = np.isfinite(voxels)
    if not finite.all():
        voxels = np.where(finite, voxels, voxels[finite].min())
    return as_image(voxels if voxels.ndim == 4 else voxels[..., None], np.asarray(image.affine))


def _set_window(volume: Any, window: tuple[float, float] | None) -> None:
    display = volume.GetDisplayNode()
    if window is not None:
        display.AutoWindowLevelOff()
        display.SetWindowLevel(*window)
    display.SetInterpolate(True)


def _set_opacity(node: Any, result: Segmentation) -> None:
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(FILL_OPACITY)
    display.SetOpacity2DOutline(1.0)
    for segment in result.segments:
        meaning = segment.terminology.type.meaning if segment.terminology else ""
        display.SetSegmentOpacity3D(segment.id, SHELLS.get(meaning, 1.0))


def _most_telling(result: Segmentation) -> npt.NDArray[np.float64]:
    """Return the RAS point (3,) whose three slices show the most: on each axis where the most segments meet.

    A segment counts where its cut is a good part of its widest one, so that specks don't decide; among slices with
    equally many segments the one with the most marked voxels is taken. Groups, and what isn't shown, don't count.
    """
    labelled = result.layers[0] if result.exclusive else np.max(result.layers, axis=0)
    hidden = [s.value - 1 for s in result.segments if not s.shown and s not in result.groups]
    ijk = np.append(np.array(labelled.shape) / 2.0, 1.0)
    largest = int(labelled.max()) + 1
    for axis in range(3):
        rows = np.moveaxis(labelled, axis, 0).reshape(labelled.shape[axis], -1)
        counts = np.stack([np.bincount(row, minlength=largest)[1:] for row in rows])
        counts[:, [index for index in hidden if index < counts.shape[1]]] = 0
        if counts.any():
            kinds = (counts > GOOD_PART * np.maximum(counts.max(axis=0), 1)).sum(axis=1)
            marked = counts.sum(axis=1)
            ijk[axis] = int(np.argmax(kinds + marked / (marked.max() + 1)))
    return np.asarray((result.affine @ ijk)[:3])


def _set_up_views(scene: Any, volume: Any, center: npt.NDArray[np.float64]) -> None:
    """Put the nodes into the scene by which Slicer opens it in four views, on the scan, at the telling place."""
    views.add_layout(scene)
    for name in views.SLICE_VIEWS:
        scene.GetSingletonNode(name, "vtkMRMLSliceNode").JumpSliceByOffsetting(*center)
        scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode").SetBackgroundVolumeID(volume.GetID())
