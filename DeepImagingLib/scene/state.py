"""Whether a volume is still what it was when a run started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference.checks import millimetres_apart
from DeepImagingLib.scene.volumes import is_volume, local_from_ijk, voxels, world_from_local

SAME_PLACE_MM = 0.01


@dataclass(frozen=True, eq=False)
class VolumeState:
    """What a volume node held at a moment; small, with no voxel in it.

    Attributes:
        shape: (K, J, I) or (K, J, I, C).
        affine: (4, 4) IJK→RAS in mm of the world.
        modified: VTK's time stamp of the voxels; no two arrays, and no two states of one, have the same.
    """

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]
    modified: int


def state_of(volume_node: Any) -> VolumeState:
    """Return what the node holds now; raises InputError where `scene.read` would."""
    found = voxels(volume_node)
    modified = volume_node.GetImageData().GetPointData().GetScalars().GetMTime()
    return VolumeState(found.array.shape, found.affine, modified)


def changed_since(state: VolumeState, volume_node: Any) -> str:
    """Return one sentence about what happened to the volume since `state` was taken, "" where nothing did."""
    if volume_node is None or volume_node.GetScene() is None:
        return "The input volume was deleted while the model was running; load it again and start once more."
    try:
        now = state_of(volume_node)
    except InputError as error:
        return str(error)
    if now.shape != state.shape:
        return "The input volume got another size while the model was running; run again on it as it is now."
    if millimetres_apart(now.affine, state.affine, now.shape[2::-1]) > SAME_PLACE_MM:
        return "The input volume was moved while the model was running; run again on it where it is now."
    if now.modified != state.modified:
        return "The voxels of the input volume were changed while the model was running; run again on them."
    return ""


def check_unmoved(reference: Any, shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> None:
    """Raise InputError unless a volume node has the grid (I, J, K), at the place, that a result was computed on."""
    if not is_volume(reference):
        raise InputError("The reference is no volume node; give the one that was read for the run.")
    image_data = reference.GetImageData()
    found = tuple(image_data.GetDimensions()) if image_data is not None else ()
    if found != tuple(shape):
        raise InputError("The volume has another size than when the run started; run again on the volume as it is now.")
    world = world_from_local(reference) @ local_from_ijk(reference)
    if millimetres_apart(world, affine, found) > SAME_PLACE_MM:
        raise InputError("The volume was moved since the run started; run again on the volume where it is now.")
