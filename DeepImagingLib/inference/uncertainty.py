"""How unsure a network is of a scan: which scan it would learn most from, if somebody outlined it."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
        0 (sure) to 1 (a guess); 0 where no label comes into question.

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
        return _of_distributions(logits) if isinstance(reducer, Argmax) else _of_single_labels(logits)


def _of_distributions(logits: torch.Tensor) -> float:
    """Take (K, ...) logits of labels that exclude each other, the background first."""
    logs = logits.float().log_softmax(0)
    entropy = -(logs.exp() * logs).sum(0) / math.log(len(logits))
    return _mean(entropy, logs[1:].amax(0).exp())


def _of_single_labels(logits: torch.Tensor) -> float:
    """Take (K, ...) logits of labels that may overlap; the label that is least sure counts."""
    likely = logits.float().sigmoid()
    entropy = -(likely.xlogy(likely) + (1 - likely).xlogy(1 - likely)) / math.log(2)
    return _mean(entropy.amax(0), likely.amax(0))


def _mean(entropy: torch.Tensor, likely: torch.Tensor) -> float:
    there = likely > LEAST_PROBABILITY
    return float(entropy[there].mean()) if bool(there.any()) else 0.0
