"""How unsure a network is of a scan: which scan it would learn most from, if somebody outlined it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from DeepImagingLib.inference.predict import told_plainly
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.stock import network_output
from DeepImagingLib.inference.windows import count_windows
from DeepImagingLib.tasks.segmentation import Argmax, reducer_for

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.progress import Monitor

LEAST_PROBABILITY = 0.01
"""Where no label is as likely as that the network sees nothing; air around the patient tells nothing of it."""
SLAB = 8  # planes measured at once


def mean_entropy(
    bundle: Bundle, pipeline: Pipeline, images: Mapping[str, MetaTensor], device: torch.device, monitor: Monitor
) -> float:
    """Return the mean entropy of the voxels where a label comes into question, relative to the largest possible.

    Labels that exclude each other have one distribution a voxel, others one each (Settles, Active Learning
    Literature Survey, 2009, 3.1). It is computed in the grid of the network, which changes the mean little.

    Args:
        bundle: Names the keys under which images and prediction travel.
        pipeline: Built from it for `device`.
        images: Image key to (C, I, J, K).
        device: Where the network is.
        monitor: Told of each stage and window.

    Returns:
        0 (sure) to 1 (a guess); infinity where no label comes into question: what a network finds nothing in, though
        somebody would, it learns most from.

    Raises:
        MemoryLimitError: Memory ran out.
        BundleError: A step of the bundle fails on this input.
        CancelledError: The monitor was told to stop.
    """
    import torch

    with told_plainly(bundle, device), torch.inference_mode():
        with monitor.stage("Preprocessing"):
            prepared = preprocess(pipeline.preprocessing, images, monitor)[bundle.input_key]
        with monitor.stage("Network"):
            windows = count_windows(prepared.shape[1:], pipeline.inferer)
            logits = network_output(pipeline, prepared, device, monitor, windows)[0]
        reducer = reducer_for(len(logits), bundle.labels, bundle.exclusive)
        measure = _of_distributions if isinstance(reducer, Argmax) else _of_single_labels
        return _mean(logits, measure)


def _mean(logits: torch.Tensor, measure: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Take (K, ...) logits slab by slab along the last axis, so that no second array of their size is needed."""
    import torch

    total, count = 0.0, 0
    for slab in torch.split(logits, SLAB, -1):
        entropy, likely = measure(slab.float())
        there = likely > LEAST_PROBABILITY
        total += float(entropy[there].sum())
        count += int(there.sum())
    return total / count if count else math.inf


def _of_distributions(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return entropy and the likeliest label's probability of labels that exclude each other, the background first."""
    logs = logits.log_softmax(0)
    entropy = -(logs.exp() * logs).sum(0) / math.log(len(logits))
    return entropy, logs[1:].amax(0).exp()


def _of_single_labels(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return entropy and probability of labels that may overlap; of the entropies, that of the least sure counts."""
    likely = logits.sigmoid()
    entropy = -(likely.xlogy(likely) + (1 - likely).xlogy(1 - likely)) / math.log(2)
    return entropy.amax(0), likely.amax(0)
