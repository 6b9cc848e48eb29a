"""Volume nodes to images and back. Slicer's arrays are (K, J, I): that flip happens here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import Voxels

if TYPE_CHECKING:
    from monai.data import MetaTensor

COLORS = 3


def read(volume_node: Any) -> MetaTensor:
    """Return the image of a volume node: its voxels, and its geometry in the world.

    A linear parent transform is part of the affine, so that the network sees the patient as the views show it.

    Args:
        volume_node: A scalar, label map or vector volume node.

    Returns:
        (C, I, J, K) float32, with the affine IJK→RAS in mm of the world.

    Raises:
        InputError: There is no volume, it has no voxels, or its parent transform isn't linear.
    """
    return voxels(volume_node).image()


def voxels(volume_node: Any) -> Voxels:
    """Return the node's own voxels, to be read only, with the geometry that `read` gives; raises as `read` does.

    Nothing is copied, so it takes no time: whoever must not block copies from the array piece by piece.
    """
    if not is_volume(volume_node):
        raise InputError("There is no volume to work on; load a scan into the scene and select it.")
    image_data = volume_node.GetImageData()
    if image_data is None or image_data.GetPointData().GetScalars() is None or not image_data.GetNumberOfPoints():
        raise InputError("The volume has no voxels; load its data first.")
    return Voxels(kji_array(image_data), world_from_ijk(volume_node))


def is_volume(node: Any) -> bool:
    """Tell whether something is a volume node."""
    return hasattr(node, "IsA") and bool(node.IsA("vtkMRMLVolumeNode"))


def kji_array(image_data: Any) -> npt.NDArray[Any]:
    """Return the memory of vtkImageData as (K, J, I) or (K, J, I, C), not to be written to."""
    from vtk.util.numpy_support import vtk_to_numpy

    scalars = image_data.GetPointData().GetScalars()
    channels = scalars.GetNumberOfComponents()
    shape = tuple(reversed(image_data.GetDimensions()))
    array = vtk_to_numpy(scalars).reshape(shape if channels == 1 else (*shape, channels))
    array.flags.writeable = False
    return array


def world_from_ijk(volume_node: Any) -> npt.NDArray[np.float64]:
    """Return (4, 4) IJK→world RAS in mm of a volume node, through its parent transforms.

    Raises:
        InputError: A parent transform isn't linear.
    """
    return world_from_local(volume_node) @ local_from_ijk(volume_node)


def local_from_ijk(volume_node: Any) -> npt.NDArray[np.float64]:
    """Return (4, 4) IJK→RAS in mm of a volume node, without its parent transforms."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return as_array(matrix)


def world_from_local(node: Any) -> npt.NDArray[np.float64]:
    """Return (4, 4) of a node's parent transforms, the identity without one; raises InputError for non-linear ones."""
    import vtk

    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(
            "The volume stands under a non-linear transform (a tilted gantry imports as one); harden the transform "
            "or resample the volume first."
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return as_array(matrix)


def as_array(matrix: Any) -> npt.NDArray[np.float64]:
    """Return a vtkMatrix4x4 as (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def as_matrix(array: npt.NDArray[np.float64]) -> Any:
    """Return (4, 4) as a vtkMatrix4x4."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy([float(value) for value in np.asarray(array).ravel()])
    return matrix


def add_volume(scene: Any, image: MetaTensor, name: str = "scan") -> Any:
    """Add a volume node that holds `image` (C, I, J, K): three channels in colour, else the first; returns the node."""
    channels = np.asarray(image.as_tensor())
    kind = "Vector" if len(channels) == COLORS else "Scalar"
    node = scene.AddNewNodeByClass(f"vtkMRML{kind}VolumeNode", name)
    values = as_colors(channels) if len(channels) == COLORS else as_image_data(_storable(channels[0]))
    node.SetAndObserveImageData(values)
    node.SetIJKToRASMatrix(as_matrix(np.asarray(image.affine)))
    node.CreateDefaultDisplayNodes()
    return node


def _storable(voxels: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Return whole numbers (Hounsfield units) as int16, which halves the scene; everything else as it is."""
    limits = np.iinfo(np.int16)
    if np.isfinite(voxels).all() and voxels.min() >= limits.min and voxels.max() <= limits.max:
        whole = voxels.astype(np.int16)
        if np.array_equal(whole, voxels):
            return whole
    return voxels


def as_colors(channels: npt.NDArray[Any]) -> Any:
    """Return (3, I, J, K) red, green and blue as vtkImageData of bytes: those up to 1 become 255 times as much."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    scaled = channels * (255.0 if channels.max(initial=0) <= 1 else 1.0)
    image_data = vtk.vtkImageData()
    image_data.SetDimensions(*channels.shape[1:])
    flat = np.clip(np.rint(scaled), 0, 255).astype(np.uint8).transpose(3, 2, 1, 0).reshape(-1, COLORS)
    image_data.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(flat), deep=True))
    return image_data


def as_image_data(voxels: npt.NDArray[Any]) -> Any:
    """Return (I, J, K) as vtkImageData that owns a copy of the voxels."""
    import vtk
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    image_data = vtk.vtkImageData()
    image_data.SetDimensions(*voxels.shape)
    image_data.AllocateScalars(get_vtk_array_type(voxels.dtype), 1)
    owned = vtk_to_numpy(image_data.GetPointData().GetScalars()).reshape(voxels.shape, order="F")
    for j in range(voxels.shape[1]):  # plane by plane, which is twice as fast where the axes have to be turned
        owned[:, j] = voxels[:, j]
    return image_data
