"""One slice of a volume as a slice view shows it, as a picture of its own."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import Voxels, as_image
from DeepImagingLib.scene.volumes import add_volume, as_array, as_matrix, kji_array, voxels

if TYPE_CHECKING:
    from monai.data import MetaTensor

Array = npt.NDArray[np.float64]
ROUNDING = 1e-6  # of a pixel
UNSEEN = "The slice view shows nothing of the volume; move it to where the volume lies."


def shown_slice(volume_node: Any, view: Any) -> MetaTensor:
    """Return the part of a volume that a slice view shows, interpolated linearly between the voxels.

    The picture's columns (I) run to the right of the view, its rows (J) down. Its pixels are as large as the volume's
    own voxels along these directions, and lie on them where the plane is parallel to the volume's axes. It ends where
    the volume or the view's field of view does. Values are the volume's own, whatever window and level are.

    Args:
        volume_node: A scalar, label map or vector volume node.
        view: A slice node, or the name of its view ("Red").

    Returns:
        (C, I, J) float32, with the affine IJK→RAS in mm of the world.

    Raises:
        InputError: As `read`; or there is no such view, or it shows nothing of the volume.
    """
    held = voxels(volume_node)
    slice_node = _slice_node(volume_node, view)
    affine, count = _grid(held, _plane(slice_node), np.asarray(slice_node.GetFieldOfView()[:2]))
    if count.min() < 1:
        raise InputError(UNSEEN)
    resliced = _resliced(volume_node, np.linalg.inv(held.affine) @ affine, count)
    return as_image(Voxels(kji_array(resliced), affine).image().numpy()[..., 0], affine)


def add_shown_slice(volume_node: Any, view: Any) -> Any:
    """Add a volume node of one slice that holds what a slice view shows of a volume; returns it.

    Arguments and errors as of `shown_slice`; the new node has the window and level of the volume.
    """
    image = shown_slice(volume_node, view)
    affine = np.asarray(image.affine)
    whole = as_image(image.numpy()[..., None], affine)
    name = f"{volume_node.GetName()}, {_slice_node(volume_node, view).GetLayoutName()}"
    node = add_volume(volume_node.GetScene(), whole, name)
    shown, display = volume_node.GetScalarVolumeDisplayNode(), node.GetScalarVolumeDisplayNode()
    if shown and display:
        display.CopyContent(shown)
    return node


def _slice_node(volume_node: Any, view: Any) -> Any:
    node = volume_node.GetScene().GetSingletonNode(view, "vtkMRMLSliceNode") if isinstance(view, str) else view
    if node is None or not node.IsA("vtkMRMLSliceNode"):
        raise InputError(f"There is no slice view {view!r}; name one of the layout, such as Red.")
    return node


def _plane(slice_node: Any) -> Array:
    """Return (4, 4): unit vectors to the right, down and across, and the middle of the view, RAS mm."""
    plane = as_array(slice_node.GetSliceToRAS())
    plane[:, 3] = plane @ [*slice_node.GetXYZOrigin()[:2], 0, 1]  # whither it was dragged
    plane[:3, :3] /= np.linalg.norm(plane[:3, :3], axis=0)
    plane[:3, 1] *= -1
    plane[:3, 2] = np.cross(plane[:3, 0], plane[:3, 1])
    return plane


def _grid(volume: Voxels, plane: Array, field_of_view: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return IJK→RAS (4, 4) of the picture, and how many columns and rows it has (2,)."""
    directions = np.linalg.inv(volume.affine[:3, :3]) @ plane[:3, :3]
    size = 1 / np.linalg.norm(directions, axis=0)  # mm that make one step of a voxel
    pixels = plane @ np.diag([*size, 1.0])  # steps from the middle of the view → RAS
    from_voxels = np.linalg.inv(pixels) @ volume.affine
    shape = np.asarray(volume.array.shape[2::-1])
    low, high = _cut(np.array([from_voxels @ [*corner, 1] for corner in product(*zip([-0.5] * 3, shape - 0.5))])[:, :3])
    half = field_of_view / size[:2] / 2
    low, high = np.maximum(low, -half), np.minimum(high, half)
    start = from_voxels[:2, 3]  # a voxel's centre, so that pixels lie on voxels
    first = start + np.ceil(low - start - ROUNDING)
    count = np.floor(high - first + ROUNDING).astype(np.int64) + 1
    pixels[:3, 3] += pixels[:3, :2] @ first
    return pixels, count


def _cut(corners: Array) -> tuple[Array, Array]:
    """Return the lowest and highest place (2,) where the plane w = 0 cuts a box of corners (8, 3) in u, v, w."""
    points = []
    for one, other in combinations(range(8), 2):
        edge = (one ^ other).bit_count() == 1
        a, b = corners[one], corners[other]
        if edge and a[2] != b[2] and a[2] * b[2] <= 0:
            points.append(a[:2] + (b - a)[:2] * a[2] / (a[2] - b[2]))
    if not points:
        raise InputError(UNSEEN)
    return np.min(points, axis=0), np.max(points, axis=0)


def _resliced(volume_node: Any, ijk_from_pixels: Array, count: npt.NDArray[np.int64]) -> Any:
    """Return vtkImageData of `count` columns and rows; what lies outside the volume is as its darkest voxel."""
    import vtk

    transform = vtk.vtkMatrixToLinearTransform()
    transform.SetInput(as_matrix(ijk_from_pixels))
    image_data = volume_node.GetImageData()
    colours = image_data.GetNumberOfScalarComponents() > 1
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image_data)
    reslice.SetResliceTransform(transform)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(0, int(count[0]) - 1, 0, int(count[1]) - 1, 0, 0)
    reslice.SetOutputScalarType(image_data.GetScalarType() if colours else vtk.VTK_FLOAT)
    reslice.SetBackgroundLevel(0 if colours else image_data.GetScalarRange()[0])
    if volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
        reslice.SetInterpolationModeToNearestNeighbor()
    else:
        reslice.SetInterpolationModeToLinear()
    reslice.Update()
    return reslice.GetOutput()
