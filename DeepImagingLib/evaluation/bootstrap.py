"""Figures with their intervals, by drawing cases with replacement (percentile bootstrap; Efron, 1979)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from DeepImagingLib.evaluation.hits import Numbers

RESAMPLES = 1000
ENDS = (2.5, 97.5)
"""Percentiles between which an interval lies: 95 %."""


@dataclass(frozen=True)
class Measured:
    """A figure and its 95 % interval; NaN where it isn't known."""

    value: float
    low: float
    high: float


def measure(
    figures: Callable[[Numbers], Sequence[float] | Numbers],
    count: int,
    subjects: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[Measured, ...]:
    """Return what is told of all cases, each with its interval.

    Args:
        figures: Returns as many numbers each time, of (count,) how often each case counts.
        count: How many cases there are.
        subjects: Whose case each is: drawn with all of theirs, as cases of one are alike. Each its own if not given.
        seed: Of the draws. Draws of which a figure is NaN (no case of a class, say) don't count for it.
    """
    values = np.asarray(figures(np.ones(count)), float)
    drawn = [values * np.nan]
    if count:
        names = {name: n for n, name in enumerate(dict.fromkeys(subjects or range(count)))}
        owner = np.array([names[name] for name in subjects or range(count)])
        rng = np.random.default_rng(seed)
        for _ in range(RESAMPLES if len(names) > 1 else 0):  # of one alone no interval is known
            times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
            drawn.append(np.asarray(figures(times[owner].astype(float)), float))
    return tuple(_measured(float(value), column) for value, column in zip(values, np.array(drawn).T, strict=True))


def mean_of(values: Sequence[float], subjects: Sequence[Hashable] | None = None, seed: int = 0) -> Measured:
    """Return the mean of values, with its interval; subjects and seed as of `measure`."""
    each = np.asarray(values, float)
    return measure(lambda times: [times @ each / times.sum()], len(each), subjects, seed)[0]


def _measured(value: float, drawn: Numbers) -> Measured:
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, ENDS) if len(known) else (np.nan, np.nan)
    return Measured(value, float(low), float(high))
