"""Free-response ROC: how much is found at how many false positives a scan.

The mean sensitivity at 1/8 to 8 false positives a scan is LUNA16's score (Setio et al., Med Image Anal 2017), which
comes from ANODE09 (van Ginneken et al., 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from DeepImagingLib.evaluation.bootstrap import measure
from DeepImagingLib.evaluation.hits import Numbers, Outcome

POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives a scan at which sensitivities are told."""


@dataclass(frozen=True)
class Froc:
    """A curve.

    Attributes:
        false_positives: A scan, falling as the threshold rises.
        sensitivity: At each of them.
        lesions: How many there are.
    """

    false_positives: Numbers
    sensitivity: Numbers
    lesions: int

    def at(self, points: Sequence[float] | Numbers = POINTS) -> Numbers:
        """Return the sensitivities at these false positives a scan, between the curve's own by straight lines."""
        return np.asarray(np.interp(np.asarray(points), self.false_positives[::-1], self.sensitivity[::-1]))


def froc(outcomes: Sequence[Outcome], smallest: float = 0.0, largest: float = np.inf) -> Froc:
    """Return the curve of lesions with smallest ≤ diameter < largest (all, where not given), of all false positives.

    Sensitivity is NaN where there is no such lesion.
    """
    from monai.metrics.froc import compute_froc_curve_data

    every = smallest == 0 and np.isinf(largest)
    found = np.concatenate(
        [o.found[every | ((o.diameters >= smallest) & (o.diameters < largest))] for o in outcomes] or [np.empty(0)]
    )
    false = np.sort(np.concatenate([o.false for o in outcomes] or [np.empty(0)]))[::-1]
    last = int(POINTS[-1] * len(outcomes))
    false = false[false >= false[last]] if len(false) > last else false  # lower ones change nothing that is told
    hits = found[~np.isnan(found)]
    # MONAI leaves the lowest threshold out: one below all that counts for nothing keeps the others
    way = (np.append(false, -np.inf), hits, max(len(found), 1), max(len(outcomes), 1))
    false_positives, sensitivity = compute_froc_curve_data(*way)
    return Froc(false_positives, sensitivity if len(found) else sensitivity * np.nan, len(found))


def cpm(outcomes: Sequence[Outcome]) -> float:
    """Return the mean sensitivity at `POINTS`; NaN without any lesion."""
    return float(froc(outcomes).at().mean())


def intervals(outcomes: Sequence[Outcome], seed: int = 0) -> dict[str, list[tuple[float, float]]]:
    """Return 95 % intervals by drawing scans with replacement (percentile bootstrap).

    Returns:
        Of "cpm", one; of "sensitivities", one for each of `POINTS`.
    """

    def figures(times: Numbers) -> Numbers:
        drawn = [outcome for outcome, often in zip(outcomes, times, strict=True) for _ in range(int(often))]
        sensitivities = froc(drawn).at()
        return np.append(sensitivities.mean(), sensitivities)

    spans = [(each.low, each.high) for each in measure(figures, len(outcomes), seed=seed)]
    return {"cpm": spans[:1], "sensitivities": spans[1:]}
