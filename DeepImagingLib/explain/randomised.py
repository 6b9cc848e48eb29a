"""The randomised-weights check: a map that stays when the network forgets all it learned shows the image alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.explain.heatmaps import heatmap
from DeepImagingLib.explain.layers import target_layer
from DeepImagingLib.inference.progress import Monitor

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor


class FixedWeightsError(InputError):
    """A network can't be tried with other weights: it keeps its own in its code."""


def depends_on_weights(
    network: torch.nn.Module,
    image: MetaTensor,
    channel: int,
    method: str,
    layer: str | None = None,
    *,
    draws: int = 3,
    monitor: Monitor | None = None,
) -> float:
    """Return how alike a map is to those of the same network with random weights.

    Every weight is drawn anew from a normal distribution as large as its tensor (root mean square), as at the end of
    the cascade in Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.

    Args:
        network, image, channel, method, layer: As of `heatmap`; a copy of the network is randomised.
        draws: Random networks to compare with; always the same ones.
        monitor: Told the share that is done; cancels.

    Returns:
        Spearman's rank correlation, -1..1, mean of the draws: 0 for maps that the weights make, 1 for one that stays.
        INDEPENDENT and above is to be flagged.

    Raises:
        FixedWeightsError: There are no weights to randomise: TorchScript that was frozen keeps them in its code.
        InputError: As of `heatmap`.
        CancelledError: The monitor was told to stop.
    """
    import torch

    monitor = monitor or Monitor()
    with torch.inference_mode(False):  # or the copy could not be differentiated
        other = copy.deepcopy(network)
    weights = [weight for weight in other.parameters() if weight.is_floating_point()]
    if not weights:
        raise FixedWeightsError("The network's weights are frozen into its code, so it can't be tried without them.")
    if layer is None and method in ("gradcam", "gradcam++"):
        layer = target_layer(network, image)
    own = heatmap(network, image, channel, method, layer, monitor.part(0, draws + 1)).numpy()
    sizes = [float(weight.detach().float().square().mean().sqrt()) for weight in weights]
    alike = []
    for draw in range(draws):
        chance = torch.Generator().manual_seed(draw)
        for weight, size in zip(weights, sizes):
            weight.data.copy_(torch.randn(weight.shape, generator=chance) * size)
        alike.append(
            _alike(own, heatmap(other, image, channel, method, layer, monitor.part(draw + 1, draws + 1)).numpy())
        )
    return float(np.mean(alike))


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation; a map without any difference is alike to its own kind alone."""
    from scipy.stats import spearmanr

    flat = [np.ptp(values) == 0 for values in (one, other)]
    if any(flat):
        return float(all(flat))
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
