"""Integrated gradients: what each voxel adds to the logit on the way from an empty image to this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.explain.asking import baseline, batch_of, groups, logits, undisturbed

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.inference.progress import Monitor

STEPS = 50
"""Images between nothing and all; Gauss-Legendre's nodes, so that few do."""


def integrated_gradients(network: torch.nn.Module, image: MetaTensor, channel: int, monitor: Monitor) -> torch.Tensor:
    """Return (I, J[, K]), signed, summed over the image's channels.

    All values together are the logit of the image less that of its `baseline`. Sundararajan et al., "Axiomatic
    Attribution for Deep Networks", ICML 2017.

    Raises:
        InputError: The network's answer has no gradient.
    """
    import torch

    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    with undisturbed(network):
        batch = batch_of(network, image)
        empty = baseline(batch)
        slopes = torch.zeros_like(batch)
        for group in groups(STEPS, batch):
            monitor.update(group[0] / STEPS)
            shares, parts = (
                batch.new_tensor(each[list(group)] / 2).reshape(-1, *[1] * (batch.ndim - 1))
                for each in (nodes, weights)
            )
            points = torch.lerp(empty, batch, shares + 0.5).requires_grad_()
            with torch.enable_grad():
                answer = logits(network, points.clone(), channel).sum()
            if not answer.requires_grad:
                raise InputError("The network's answer has no gradient; choose occlusion.")
            slopes += (parts * torch.autograd.grad(answer, points)[0]).sum(0)
        return ((batch - empty) * slopes)[0].sum(0)
