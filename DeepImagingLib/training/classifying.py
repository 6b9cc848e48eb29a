"""How well a classifier tells held-out cases apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from DeepImagingLib.evaluation.roc import Roc
from DeepImagingLib.training.precision import as_float, autocast, laid_out
from DeepImagingLib.training.validate import MEAN, Inferer, Items, evaluating

CROSS_ENTROPY = "binary cross-entropy"


@dataclass(frozen=True)
class Told:
    """What a classifier said of cases.

    Attributes:
        labels: Names of the labels.
        logits: (cases, labels) before the sigmoid.
        truth: (cases, labels) of 0 and 1, NaN where nothing is known.
    """

    labels: Sequence[str]
    logits: torch.Tensor
    truth: torch.Tensor

    def means(self) -> dict[str, float]:
        """Return each label's AUROC, if some cases have it and some don't, their mean, and the binary cross-entropy."""
        told = ~self.truth.isnan()
        columns = zip(self.labels, self.truth.T, self.logits.T, told.T, strict=True)
        areas = {name: Roc(truth[kept], logits[kept]).area() for name, truth, logits, kept in columns}
        known = {name: area for name, area in areas.items() if not np.isnan(area)}
        mean = float(np.mean(list(known.values()))) if known else 0.0
        entropy = binary_cross_entropy_with_logits(self.logits[told], self.truth[told])
        return known | {CROSS_ENTROPY: float(entropy), MEAN: mean}


def measure_classifier(
    network: torch.nn.Module,
    cases: Items,
    labels: Mapping[int, str],
    inferer: Inferer,
    device: torch.device,
    half: bool,
    tell: Callable[[float], None],
    *,
    exclusive: bool = False,
) -> Told:
    """Return what a network says: `validate.measure` of classifiers.

    Args:
        network: Gives (1, labels) logits.
        cases: Items with "image" (C, ...) and "label" (labels,) of 0 and 1.
        labels: Number → name, from 0.
        inferer: Runs the network over a whole image.
        device: Where the network is.
        half: Compute in bfloat16.
        tell: Called with the share of the cases that are done.
        exclusive: The labels exclude each other, so that a softmax makes probabilities of the logits, not a sigmoid.
    """
    logits, truth = [], []
    with evaluating(network), torch.no_grad(), autocast(device, half):
        for index in range(len(cases)):
            tell(index / len(cases))
            case = cases[index]
            image = torch.as_tensor(case["image"]).as_subclass(torch.Tensor)[None].to(device)
            said = as_float(inferer(laid_out(image, half), network))[0].cpu()
            logits.append(torch.logit(said.softmax(0), 1e-7) if exclusive else said)
            truth.append(torch.as_tensor(case["label"]).as_subclass(torch.Tensor).float())
    return Told([labels[number] for number in sorted(labels)], torch.stack(logits), torch.stack(truth))
