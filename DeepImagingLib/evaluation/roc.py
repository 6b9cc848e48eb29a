"""How well probabilities tell images with a label from those without: ROC curves, their area, and rates."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from DeepImagingLib.evaluation.bootstrap import Measured, measure
from DeepImagingLib.evaluation.hits import Numbers


class Roc:
    """The curve of one label.

    MONAI's `compute_roc_auc` gives the same area, sorting anew and in a Python loop for each draw of a bootstrap.

    Args:
        truth: (N,) 1 where an image has the label, 0 where not.
        scores: (N,), the higher the likelier.
    """

    def __init__(self, truth: npt.ArrayLike, scores: npt.ArrayLike) -> None:
        self._scores, has = np.asarray(scores, float), np.asarray(truth) == 1
        self._with, without = np.flatnonzero(has), np.flatnonzero(~has)
        self._without = without[np.argsort(self._scores[without])]
        ranks = (np.searchsorted(self._scores[self._without], self._scores[has], end) for end in ("left", "right"))
        self._below, self._up_to = ranks  # how many without the label score below, or up to, one with it

    def points(self) -> tuple[Numbers, Numbers]:
        """Return false-positive rates and sensitivities from 0 to 1, a point for each score; NaN without a class."""
        thresholds = np.append(np.inf, np.unique(self._scores)[::-1])
        kinds = (np.sort(self._scores[kind]) for kind in (self._without, self._with))
        false, true = (1 - np.searchsorted(scores, thresholds) / (len(scores) or np.nan) for scores in kinds)
        return false, true

    def area(self, weights: Numbers | None = None) -> float:
        """Return the area under the curve (AUROC): how often one with the label scores higher, equal scores half.

        Args:
            weights: (N,) how often each image counts, once if not given.

        Returns:
            NaN where there is one class only.
        """
        each = np.ones(len(self._scores)) if weights is None else weights
        count = each[self._with]
        fewer = np.append(0, np.cumsum(each[self._without]))
        wins = count @ (fewer[self._below] + fewer[self._up_to]) / 2
        return float(wins / (count.sum() * fewer[-1] or np.nan))


@dataclass(frozen=True)
class Aurocs:
    """Areas under the curves, with 95 % intervals.

    Attributes:
        labels: Of each; NaN where all images have it, or none.
        macro: The mean of those that are known.
        micro: Of all probabilities together, whatever their label.
    """

    labels: tuple[Measured, ...]
    macro: Measured
    micro: Measured


def aurocs(
    truth: npt.NDArray[np.int64], scores: Numbers, subjects: Sequence[Hashable] | None = None, seed: int = 0
) -> Aurocs:
    """Return the areas of (N, L) truths and scores.

    Args:
        truth: 1 where an image has a label, 0 where not.
        scores: Of each image and label.
        subjects: (N,) who is seen, where several images may be of one.
        seed: Of the bootstrap.
    """
    curves = [Roc(truth[:, n], scores[:, n]) for n in range(truth.shape[1])]
    known = [0 < has < len(truth) for has in truth.sum(axis=0)]
    every = Roc(truth.ravel(), scores.ravel())

    def figures(weights: Numbers) -> list[float]:
        areas = np.array([curve.area(weights) for curve in curves])
        macro = areas[known].mean() if any(known) else np.nan
        return [*areas, macro, every.area(np.repeat(weights, len(curves)))]

    *labels, macro, micro = measure(figures, len(truth), subjects, seed)
    return Aurocs(tuple(labels), macro, micro)


RATES = {"sensitivity": "sensitivity", "specificity": "specificity", "accuracy": "accuracy", "f1": "f1 score"}
"""What is told of labels that were found, and MONAI's name of it."""


def rates(truth: npt.NDArray[np.int64], found: npt.NDArray[np.bool_]) -> dict[str, Numbers]:
    """Return `RATES`, (L,) each, of (N, L) truths and findings.

    What has no case (sensitivity without an image that has the label) is NaN.
    """
    import torch
    from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix

    counts = get_confusion_matrix(torch.from_numpy(found).float(), torch.from_numpy(truth).float()).sum(dim=0).double()
    return {name: compute_confusion_matrix_metric(word, counts).numpy() for name, word in RATES.items()}
