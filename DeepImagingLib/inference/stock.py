"""Run a bundle's inferer and post-processing as the bundle has them, on all channels at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.progress import Monitor


def run_as_it_is(
    bundle: Bundle, pipeline: Pipeline, data: dict[str, Any], device: torch.device, monitor: Monitor, calls: int
) -> Any:
    """Return what the bundle's own inferer and post-processing leave of the network's output.

    Args:
        bundle: Names the keys under which image and prediction travel.
        pipeline: Built from it for `device`.
        data: What its preprocessing gave.
        device: Where the network is.
        monitor: Told of each call of the network.
        calls: How many windows there will be.
    """
    from monai.data import MetaTensor

    prepared = data[bundle.input_key]
    with monitor.stage("Network"):
        output = network_output(pipeline, prepared, device, monitor, calls)
    with monitor.stage("Post-processing"):
        # As MONAI's evaluator hands them on: without the batch axis, the geometry of the network's input.
        affine = prepared.affine if isinstance(prepared, MetaTensor) else None
        plain = output[0].as_tensor() if isinstance(output, MetaTensor) else output[0]
        del output
        return pipeline.postprocessing({**data, bundle.pred_key: MetaTensor(plain, affine=affine)})[bundle.pred_key]


def network_output(
    pipeline: Pipeline, prepared: torch.Tensor, device: torch.device, monitor: Monitor, calls: int
) -> torch.Tensor:
    """Return what the bundle's inferer makes of one image (C, I, J, K): (1, K, ...); arguments as of `run_as_it_is`."""
    pipeline.network.to(device)  # an earlier run may have left it elsewhere
    output: torch.Tensor = pipeline.inferer(prepared.to(device)[None], watched(pipeline.network, monitor, calls))
    _check_finite(output)
    return output


def watched(network: Callable[..., Any], monitor: Monitor, total: int) -> Callable[..., Any]:
    """Return `network` so that each call reports progress and answers a cancel; `total` windows make the whole."""
    done = 0

    def predict(batch: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        nonlocal done
        monitor.update(done / total)
        output = network(batch, *args, **kwargs)
        done += len(batch)
        return output

    return predict


def _check_finite(output: torch.Tensor) -> None:
    """Raise BundleError where the network gave NaN or infinity: an argmax would make a label of it."""
    if not math.isfinite(float(output.amax())) or not math.isfinite(float(output.amin())):
        raise BundleError("The network's answer holds values that are not numbers; its weights don't fit this input.")


def located(final: Any, grids: Sequence[Any]) -> MetaTensor:
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
