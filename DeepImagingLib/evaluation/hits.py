"""Which boxes hit which lesions of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

LEAST_IOU = 0.1
"""Intersection over union from which a box hits, as in the studies of nodules and lesions that take boxes."""


@unique
class Hit(Enum):
    """When a box hits a lesion: its middle lies in the lesion, as LUNA16 counts, or the two overlap enough."""

    CENTRE = "centre"
    IOU = "iou"


@dataclass(frozen=True)
class Scan:
    """What was found in a scan, and what there is; all in mm along the same three axes.

    Attributes:
        name: Of the scan, in reports.
        boxes: (N, 6) middle and full lengths of each box.
        scores: (N,), of each box.
        lesions: (L, 6) middle and full lengths of each lesion; lengths nobody told are NaN.
    """

    name: str
    boxes: Numbers
    scores: Numbers
    lesions: Numbers

    @property
    def diameters(self) -> Numbers:
        """(L,) largest known length of each lesion in mm, NaN where none is known."""
        lengths = self.lesions[:, 3:]
        known = np.where(np.isnan(lengths), -np.inf, lengths).max(axis=1, initial=-np.inf)
        return np.asarray(np.where(np.isfinite(known), known, np.nan))


@dataclass(frozen=True)
class Outcome:
    """What came of the boxes of a scan.

    Attributes:
        found: (L,) highest score of a box that hits the lesion, NaN where none does.
        false: Scores of the boxes that hit nothing.
        diameters: (L,) in mm, NaN where not known.
        lesion: (N,) number of the lesion that each box hits, the nearest one; -1 where it hits none.
    """

    found: Numbers
    false: Numbers
    diameters: Numbers
    lesion: npt.NDArray[np.int64]


def judge(scan: Scan, hit: Hit = Hit.CENTRE) -> Outcome:
    """Return which lesions were found; further boxes on a lesion that was found count neither for nor against."""
    hits = _within(scan) if hit is Hit.CENTRE else _overlaps(scan) >= LEAST_IOU
    scores = np.where(hits, scan.scores[:, None], -np.inf)
    best = scores.max(axis=0, initial=-np.inf)
    away = np.where(hits, np.linalg.norm(scan.boxes[:, None, :3] - scan.lesions[None, :, :3], axis=2), np.inf)
    any_hit = hits.any(axis=1)
    nearest = away.argmin(axis=1) if len(scan.lesions) else np.zeros(len(scan.boxes), np.int64)
    return Outcome(
        np.where(np.isfinite(best), best, np.nan),
        scan.scores[~any_hit],
        scan.diameters,
        np.where(any_hit, nearest, -1),
    )


def _within(scan: Scan) -> npt.NDArray[np.bool_]:
    """Tell (N, L) whether a box's middle lies in a lesion's ellipsoid; of unknown size, its middle in the box."""
    offset = scan.boxes[:, None, :3] - scan.lesions[None, :, :3]
    half = scan.lesions[None, :, 3:] / 2
    in_lesion = ((offset / half) ** 2).sum(axis=2) <= 1
    in_box = (np.abs(offset) <= scan.boxes[:, None, 3:] / 2).all(axis=2)
    return np.asarray(np.where(np.isnan(half).any(axis=2), in_box, in_lesion))


def _overlaps(scan: Scan) -> Numbers:
    """Return (N, L) intersections over unions; NaN for lesions of unknown size, which no box hits so."""
    from monai.data.box_utils import box_iou

    if not (len(scan.boxes) and len(scan.lesions)):
        return np.zeros((len(scan.boxes), len(scan.lesions)))
    return np.asarray(box_iou(corners(scan.boxes), corners(scan.lesions)), float)


def corners(boxes: Numbers) -> Numbers:
    """Return (N, 6) lowest and highest corner of boxes given by middle and lengths."""
    half = boxes[:, 3:] / 2
    return np.concatenate([boxes[:, :3] - half, boxes[:, :3] + half], axis=1)
