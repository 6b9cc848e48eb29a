"""Which boxes hit which lesions of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
        labels: (N,) of the boxes, which only hit lesions of their label; None where labels don't count.
        lesion_labels: (L,) of the lesions.
        axes: (3, 3) the three axes as columns, in RAS.
        measured: (L,) diameters in mm where somebody measured them, beside the lengths; else None.
    """

    name: str
    boxes: Numbers
    scores: Numbers
    lesions: Numbers
    labels: tuple[str, ...] | None = None
    lesion_labels: tuple[str, ...] = ()
    axes: Numbers = field(default_factory=lambda: np.eye(3))
    measured: Numbers | None = None

    @property
    def diameters(self) -> Numbers:
        """(L,) what was measured, or the largest known length of each lesion in mm; NaN where none is known."""
        if self.measured is not None:
            return self.measured
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
    if scan.labels is not None:
        hits &= np.equal.outer(np.array(scan.labels, object), np.array(scan.lesion_labels, object))
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
    """Tell (N, L) whether a box's middle lies in a lesion's ellipsoid; where its size isn't known, it in the box."""
    offset, half = _offsets(scan), scan.lesions[None, :, 3:] / 2
    inside = np.where(np.isnan(half), 0, offset / half) ** 2
    return np.asarray((inside.sum(axis=2) <= 1) & _reaches(scan))


def _overlaps(scan: Scan) -> Numbers:
    """Return (N, L) intersections over unions, along the axes that a lesion's size is known of; the box reaches it."""
    unknown = np.isnan(scan.lesions[None, :, 3:])
    offset = np.where(unknown, 0, _offsets(scan))
    box = np.broadcast_to(scan.boxes[:, None, 3:], offset.shape)
    lesion = np.where(unknown, box, scan.lesions[None, :, 3:])
    shared = np.minimum(offset + box / 2, lesion / 2) - np.maximum(offset - box / 2, -lesion / 2)
    both = shared.clip(0).prod(axis=2)
    return np.asarray(both / (box.prod(axis=2) + lesion.prod(axis=2) - both) * _reaches(scan))


def _offsets(scan: Scan) -> Numbers:
    """Return (N, L, 3) from each lesion's middle to each box's."""
    return np.asarray(scan.boxes[:, None, :3] - scan.lesions[None, :, :3])


def _reaches(scan: Scan) -> npt.NDArray[np.bool_]:
    """Tell (N, L) whether a lesion's middle lies within the box along the axes that its size isn't known of."""
    known = ~np.isnan(scan.lesions[None, :, 3:])
    return np.asarray((known | (np.abs(_offsets(scan)) <= scan.boxes[:, None, 3:] / 2)).all(axis=2))


def only(scan: Scan, label: str) -> Scan:
    """Return a scan with its boxes and lesions of one label alone."""
    boxes, lesions = (
        np.array([one == label for one in some], bool) for some in (scan.labels or (), scan.lesion_labels)
    )
    return replace(
        scan,
        boxes=scan.boxes[boxes],
        scores=scan.scores[boxes],
        lesions=scan.lesions[lesions],
        labels=(label,) * int(boxes.sum()),
        lesion_labels=(label,) * int(lesions.sum()),
        measured=None if scan.measured is None else scan.measured[lesions],
    )


def corners(boxes: Numbers) -> Numbers:
    """Return (N, 6) lowest and highest corner of boxes given by middle and lengths."""
    half = boxes[:, 3:] / 2
    return np.concatenate([boxes[:, :3] - half, boxes[:, :3] + half], axis=1)
