"""Run a bundle's pipeline as the bundle has it: MONAI's own transforms, inferer and inverse.

This is the one place where windows run and answers are mapped back to the input's grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, DeepImagingError, MemoryLimitError
from DeepImagingLib.inference.memory import is_out_of_memory
from DeepImagingLib.inference.windows import count_windows, watched

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.progress import Monitor


def predict(
    bundle: Bundle, pipeline: Pipeline, images: Mapping[str, MetaTensor], device: torch.device, monitor: Monitor
) -> MetaTensor:
    """Return what the bundle's post-processing leaves of the network's output.

    Args:
        bundle: Names the keys under which images and prediction travel.
        pipeline: Built from it for `device`.
        images: Image key to (C, I, J, K) in the geometry of the input.
        device: Where the network is.
        monitor: Told of each stage and window.

    Returns:
        (C, I, J, K) on the CPU; its affine says in which grid.

    Raises:
        MemoryLimitError: Host or GPU memory ran out.
        BundleError: A step of the bundle fails on this input.
        CancelledError: The monitor was told to stop.
    """
    try:
        return _predict(bundle, pipeline, images, device, monitor)
    except DeepImagingError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryLimitError(
                f"The run needs more memory than {device} has; limit it to a region, close other programs or use "
                "another device."
            ) from error
        reason = _cause(error)
        raise BundleError(
            f"The bundle {bundle.name!r} failed on this input ({reason}); check that it fits the model."
        ) from error


def _predict(
    bundle: Bundle, pipeline: Pipeline, images: Mapping[str, MetaTensor], device: torch.device, monitor: Monitor
) -> MetaTensor:
    import torch
    from monai.data import MetaTensor

    with torch.inference_mode():
        with monitor.stage("Preprocessing"):
            data = dict(pipeline.preprocessing(dict(images)))
            prepared = data[bundle.input_key]
        with monitor.stage("Network"):
            batch = prepared.to(device)[None]
            network = watched(pipeline.network, monitor, count_windows(prepared.shape[1:], pipeline.inferer))
            output = pipeline.inferer(batch, network)
            _check_finite(output)
        with monitor.stage("Post-processing"):
            # As MONAI's evaluator hands them on: without the batch axis, the geometry of the network's input.
            affine = prepared.affine if isinstance(prepared, MetaTensor) else None
            data[bundle.pred_key] = MetaTensor(
                output[0].as_tensor() if isinstance(output, MetaTensor) else output[0], affine=affine
            )
            del output, batch
            final = pipeline.postprocessing(data)[bundle.pred_key]
    return _located(final, (next(iter(images.values())), prepared))


def _check_finite(output: torch.Tensor) -> None:
    """Raise BundleError where the network gave NaN or infinity: an argmax would make a label of it."""
    if not math.isfinite(float(output.amax())) or not math.isfinite(float(output.amin())):
        raise BundleError("The network's answer holds values that are not numbers; its weights don't fit this input.")


def _located(final: Any, grids: Sequence[Any]) -> MetaTensor:
    """Return the last tensor with its affine; where a step dropped that, it is told by the shape.

    Args:
        final: (C, I, J, K), or (I, J, K) where a step took the channel away; an array, a tensor or a MetaTensor.
        grids: The images whose grid it may have, the first that fits is meant.

    Raises:
        BundleError: It has the shape of none of them.
    """
    import torch
    from monai.data import MetaTensor

    plain = torch.as_tensor(np.asarray(final.cpu() if isinstance(final, torch.Tensor) else final))
    plain = plain[None] if plain.ndim == grids[0].ndim - 1 else plain
    if isinstance(final, MetaTensor) and not _forgotten(final, grids):
        return MetaTensor(plain, affine=final.affine)
    for grid in grids:
        if plain.shape[1:] == grid.shape[1:]:
            return MetaTensor(plain, affine=grid.affine)
    raise BundleError("The bundle's post-processing loses the place of its answer, which can't be told from its shape.")


def _forgotten(final: MetaTensor, grids: Sequence[Any]) -> bool:
    """Tell whether an affine is only the identity that a tensor gets which had none."""
    identity = np.eye(4)
    return np.array_equal(_square(final), identity) and not any(np.array_equal(_square(g), identity) for g in grids)


def on_grid(prediction: MetaTensor, reference: MetaTensor) -> tuple[MetaTensor, list[str]]:
    """Return the prediction on the reference's voxels, and a note where the bundle's own chain doesn't lead there.

    A bundle without Invertd leaves its answer in the grid of the network; MONAI's SaveImaged then resamples it to the
    file's, and so does this, by nearest neighbour.
    """
    from monai.transforms import SpatialResample

    same_shape = prediction.shape[1:] == reference.shape[1:]
    if same_shape and np.allclose(_square(prediction), _square(reference), atol=1e-3):
        return prediction, []
    resample = SpatialResample(mode="nearest", padding_mode="zeros")
    resampled = resample(prediction, dst_affine=reference.affine, spatial_size=tuple(reference.shape[1:]))
    return resampled, [
        "The bundle leaves its answer in the network's grid; it was resampled to the input's by nearest voxel."
    ]


def _square(image: MetaTensor) -> npt.NDArray[np.float64]:
    """Return the affine as (4, 4), also where MONAI keeps a picture's as (3, 3)."""
    from monai.data.utils import to_affine_nd

    return np.asarray(to_affine_nd(3, np.asarray(image.affine, dtype=np.float64)))


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost error: MONAI wraps what a transform raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
