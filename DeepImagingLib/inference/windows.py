"""Count a bundle's windows and watch the network work through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.progress import Monitor


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


def count_windows(shape: Sequence[int], inferer: Any) -> int:
    """Return how many windows an inferer of MONAI's will cut from an image of (I, J, K).

    Follows MONAI's `sliding_window_inference`: the image is padded to the window at least, and windows step by
    `roi * (1 - overlap)`. An inferer without windows counts as one, slice by slice for a SliceInferer.
    """
    roi = getattr(inferer, "roi_size", None)
    if roi is None:
        return 1
    slices = 1
    shape = list(shape)
    axis = getattr(inferer, "spatial_dim", None)
    if axis is not None:
        slices = shape.pop(axis)
    sizes = [roi] * len(shape) if isinstance(roi, int) else list(roi)
    overlap = getattr(inferer, "overlap", 0.25)
    overlaps = [overlap] * len(shape) if isinstance(overlap, int | float) else list(overlap)
    return slices * math.prod(_along(n, r, o) for n, r, o in zip(shape, sizes, overlaps, strict=False))


def _along(length: int, roi: int | None, overlap: float) -> int:
    if not roi or roi <= 0 or length <= roi:
        return 1
    return math.ceil((length - roi) / max(int(roi * (1 - overlap)), 1)) + 1
