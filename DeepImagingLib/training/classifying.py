"""How well a classifier tells held-out cases apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from DeepImagingLib.evaluation.calibration import fit, platt
from DeepImagingLib.evaluation.roc import Roc
from DeepImagingLib.tasks.calibration import Calibration
from DeepImagingLib.training.precision import as_float, autocast, laid_out
from DeepImagingLib.training.validate import MEAN, Inferer, Items, evaluating

FEWEST = 100
"""Cases from which a calibration is fitted."""
CROSS_ENTROPY = "binary cross-entropy"


@dataclass(frozen=True)
class Told:
    """What a classifier said of cases.

    Attributes:
        labels: Names of the labels.
        logits: (cases, labels) before the sigmoid.
        truth: (cases, labels) of 0 and 1, NaN where nothing is known.
        exclusive: Each case has one label.
    """

    labels: Sequence[str]
    logits: torch.Tensor
    truth: torch.Tensor
    exclusive: bool = False

    def means(self) -> dict[str, float]:
        """Return each label's AUROC, if some cases have it and some don't, their mean, and the binary cross-entropy."""
        told = ~self.truth.isnan()
        columns = zip(self.labels, self.truth.T, self.logits.T, told.T, strict=True)
        areas = {name: Roc(truth[kept], logits[kept]).area() for name, truth, logits, kept in columns}
        known = {name: area for name, area in areas.items() if not np.isnan(area)}
        mean = float(np.mean(list(known.values()))) if known else 0.0
        entropy = binary_cross_entropy_with_logits(self.logits[told], self.truth[told])
        return known | {CROSS_ENTROPY: float(entropy), MEAN: mean}

    def decided(self) -> dict[str, Any]:
        """Return the calibration that makes the probabilities of these cases likeliest, where there are enough."""
        if len(self.truth) < FEWEST:
            return {}
        if self.exclusive:
            truth, logits = self.truth.long().numpy(), torch.nn.functional.logsigmoid(self.logits).double().numpy()
            return {"calibration": fit(truth, logits, self.labels, exclusive=True).plain()}
        pairs = {}
        for name, truth, logits in zip(self.labels, self.truth.T, self.logits.T, strict=True):
            told = ~truth.isnan()
            pairs[name] = platt(truth[told].long().numpy(), logits[told].double().numpy())
        return {"calibration": Calibration(labels=pairs).plain()}


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
    names = [labels[number] for number in sorted(labels)]
    return Told(names, torch.stack(logits), torch.stack(truth), exclusive)
