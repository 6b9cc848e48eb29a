"""Do probabilities hold? How far they are off, and what to do about it: temperatures and Platt's slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from DeepImagingLib.evaluation.hits import Numbers
from DeepImagingLib.tasks.calibration import Calibration, logistic

BINS = 15
DRAWS = 100


@dataclass(frozen=True)
class Reliability:
    """What was said and what came, in bins of as many images each; a bin may be missing among equal probabilities.

    Attributes:
        predicted: Mean probability of each bin, rising.
        observed: Share of its images that have the label.
        images: How many it holds.
    """

    predicted: Numbers
    observed: Numbers
    images: npt.NDArray[np.int64]


def reliability(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> Reliability:
    """Return the bins of (N,) truths, 0 or 1, and probabilities."""
    said, came = np.asarray(probabilities, float), np.asarray(truth, float)
    bins = _bins(said)
    _, bins, images = np.unique(bins, return_inverse=True, return_counts=True)
    sums = (np.bincount(bins, weights=values) for values in (said, came))
    predicted, observed = (total / images for total in sums)
    return Reliability(predicted, observed, images)


def ece(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Return the expected calibration error of (N,) truths and probabilities: |said - came| of a bin, on average.

    The bins hold as many images each (Nguyen and O'Connor, EMNLP 2015).
    """
    said = np.asarray(probabilities, float)
    return _gap(_bins(said), said, np.asarray(truth, float))


def ece_by_chance(probabilities: npt.ArrayLike, seed: int = 0) -> float:
    """Return the mean error were (N,) probabilities right: drawn from them, truths leave one (Bröcker, Smith, 2007)."""
    said = np.asarray(probabilities, float)
    bins, rng = _bins(said), np.random.default_rng(seed)
    return float(np.mean([_gap(bins, said, rng.random(len(said)) < said) for _ in range(DRAWS)]))


def top_label(truth: npt.NDArray[np.int64], probabilities: Numbers) -> tuple[npt.NDArray[np.bool_], Numbers]:
    """Return (N,) whether the likeliest of exclusive labels is the true one, and its probability, of (N, L) each."""
    best = probabilities.argmax(axis=1)
    return best == truth.argmax(axis=1), probabilities.max(axis=1)


def _bins(said: Numbers) -> npt.NDArray[np.int64]:
    """Return which of the bins each is in; equal ones are in the same, so that their order is of no account."""
    from scipy.stats import rankdata

    doubled = 2 * rankdata(said) - 1  # whole numbers: of equal ones, the mean of their ranks
    return np.asarray(doubled * BINS // (2 * len(said)), np.int64)


def _gap(bins: npt.NDArray[np.int64], said: Numbers, came: Numbers | npt.NDArray[np.bool_]) -> float:
    return float(np.abs(np.bincount(bins, weights=came - said)).sum() / len(said))


def fit(truth: npt.NDArray[np.int64], logits: Numbers, labels: Sequence[str], *, exclusive: bool) -> Calibration:
    """Return what makes the probabilities of a validation set likeliest.

    Args:
        truth: (N, L) 1 where an image has a label, 0 where not.
        logits: (N, L); of probabilities, `tasks.calibration.logits_of` gives them.
        labels: (L,) their names.
        exclusive: Each image has one label: one temperature. Otherwise a slope and an offset for each label; a label
            that all images have, or none, keeps its logits.
    """
    if exclusive:
        return Calibration(temperature(truth, logits))
    pairs = (platt(truth[:, n], logits[:, n]) for n in range(len(labels)))
    return Calibration(labels=dict(zip(labels, pairs, strict=True)))


def temperature(truth: npt.NDArray[np.int64], logits: Numbers) -> float:
    """Return what to divide (N, L) logits of exclusive labels by (Guo et al., ICML 2017), from 1/100 to 100."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    def loss(power: float) -> float:
        cold = logits / np.exp(power)
        return float(np.mean(logsumexp(cold, axis=1) - (cold * truth).sum(axis=1)))

    widest = np.log(100)
    return float(np.exp(minimize_scalar(loss, bounds=(-widest, widest), method="bounded").x))


def platt(truth: npt.NDArray[np.int64], logits: Numbers) -> tuple[float, float]:
    """Return slope and offset for (N,) logits of a label, by maximum likelihood of smoothed truths.

    An image with the label counts as (P + 1) / (P + 2), one without as 1 / (M + 2), of P with and M without it (Platt,
    Advances in Large Margin Classifiers, 1999). Of one class only nothing is learnt: 1 and 0.
    """
    from scipy.optimize import minimize

    has = int(truth.sum())
    if not 0 < has < len(truth):
        return 1.0, 0.0
    target = np.where(truth == 1, (has + 1) / (has + 2), 1 / (len(truth) - has + 2))

    def loss(line: Numbers) -> tuple[float, Numbers]:
        values = line[0] * logits + line[1]
        off = logistic(values) - target
        return float(np.mean(np.logaddexp(0, values) - target * values)), np.array([off @ logits, off.sum()]) / len(off)

    slope, offset = minimize(loss, (1.0, 0.0), jac=True, method="BFGS").x
    return float(slope), float(offset)
