"""One call for every method: what in an image spoke for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepImagingLib.errors import InputError
from DeepImagingLib.explain.cam import grad_cam, grad_cam_plus_plus
from DeepImagingLib.explain.gradients import integrated_gradients
from DeepImagingLib.explain.occlusion import occlusion
from DeepImagingLib.explain.walk import even
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.options import METHODS

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

SEEN = "deepimaging_seen"
"""Meta key of a heatmap: shape (I, J[, K]) and affine (4, 4) of the image that the network saw."""


def heatmap(
    network: torch.nn.Module,
    image: MetaTensor,
    channel: int,
    method: str,
    layer: str | None = None,
    monitor: Monitor | None = None,
) -> MetaTensor:
    """Return what in an image spoke for a class, in raw values.

    All are in units of the network's output for the class, before any activation of the bundle's own (the logit):
    what a cell adds to it ("gradcam"; exact where the mean of the layer goes linearly into it), the same but for a
    factor ("gradcam++", to be compared within itself), what a voxel adds to the logit of an empty image
    ("integrated_gradients"), how far the logit falls without a cell ("occlusion"). The latter two are negative where
    the image spoke against the class. "Empty" is the mean of each channel.

    Args:
        network: In plain torch or TorchScript. It and its modes, gradients and hooks are left as they were.
        image: (C, I, J[, K]), as the network gets it, with its affine.
        channel: Of the network's output.
        method: One of METHODS.
        layer: For a class activation map, one with spatial output; None is `target_layer`'s. Others do without.
        monitor: Told the share that is done; cancels between batches.

    Returns:
        (1, cells...) float32 on the CPU; `affine` (4, 4) takes a cell to the middle of what it looks at, in the mm of
        the image's, and its meta SEEN tells what the network saw.

    Raises:
        InputError: There is no such method, class or layer, TorchScript is asked for a class activation map, or the
            network's answer isn't a number.
        CancelledError: The monitor was told to stop.
    """
    import numpy as np
    import torch
    from monai.data import MetaTensor
    from monai.data.utils import to_affine_nd

    monitor = monitor or Monitor()
    monitor.update(0.0)
    if method in ("gradcam", "gradcam++"):
        values, field = (grad_cam if method == "gradcam" else grad_cam_plus_plus)(network, image, channel, layer)
    elif method == "integrated_gradients":
        values, field = integrated_gradients(network, image, channel, monitor), even(*[tuple(image.shape[1:])] * 2)
    elif method == "occlusion":
        values, field = occlusion(network, image, channel, monitor)
    else:
        raise InputError(f"There is no heatmap {method!r}; choose one of {', '.join(METHODS)}.")
    if not values.isfinite().all():
        raise InputError("The network's answer to this image isn't a number, so nothing can be shown of it.")
    monitor.update(1.0)
    into = np.eye(4)
    into[range(values.ndim), range(values.ndim)] = field.step
    into[: values.ndim, 3] = field.first
    affine = to_affine_nd(3, np.asarray(image.affine, dtype=np.float64))
    seen = {SEEN: (tuple(image.shape[1:]), affine)}
    return MetaTensor(values[None].float().cpu(), affine=torch.as_tensor(affine @ into), meta=seen)
