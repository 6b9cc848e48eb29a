"""Average precision and recall of boxes, as the COCO challenge has them, by MONAI's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from DeepImagingLib.evaluation.hits import Scan, corners

OVERLAPS = {"": (0.5, 0.95, 0.05), " at IoU 0.1": (0.1, 0.1, 0.05)}
"""First, last and step of the intersections over union that a figure is the mean of: COCO's, and a lenient one."""
MOST_BOXES = 100


NOT_KNOWN = "not known: the size of a lesion isn't told, or there is no lesion"


def precision_and_recall(scans: Sequence[Scan]) -> dict[str, float | str | None]:
    """Return mAP and mAR over COCO's overlaps, and at 0.1 alone, means of the lesions' labels where these count."""
    kinds = [f"{kind}{name}" for name in OVERLAPS for kind in ("mAP", "mAR")]
    if not sum(len(scan.lesions) for scan in scans) or any(np.isnan(scan.lesions).any() for scan in scans):
        return {**dict.fromkeys(kinds), "mAP and mAR": NOT_KNOWN}
    told: dict[str, float | str | None] = {}
    for name, overlaps in OVERLAPS.items():
        found = _measured(scans, overlaps)
        told |= {f"{kind}{name}": next(v for k, v in found.items() if k.startswith(kind)) for kind in ("mAP", "mAR")}
    return told


def _measured(scans: Sequence[Scan], overlaps: tuple[float, float, float]) -> Mapping[str, float]:
    from monai.apps.detection.metrics.coco import COCOMetric
    from monai.apps.detection.metrics.matching import matching_batch
    from monai.data.box_utils import box_iou

    names = sorted({name for scan in scans if scan.labels is not None for name in scan.lesion_labels}) or ["lesion"]
    # the list of single overlaps must not be empty: its first is that of the range
    metric = COCOMetric(names, overlaps[:1], overlaps, (MOST_BOXES,), per_class=False, verbose=False)
    matches = matching_batch(
        box_iou,
        metric.iou_thresholds,
        [corners(scan.boxes) for scan in scans],
        [_numbers(scan, scan.labels or (), len(scan.boxes), names) for scan in scans],
        [scan.scores for scan in scans],
        [corners(scan.lesions) for scan in scans],
        [_numbers(scan, scan.lesion_labels, len(scan.lesions), names) for scan in scans],
        max_detections=MOST_BOXES,
    )
    return {name: float(value) for name, value in metric(matches)[0].items()}


def _numbers(scan: Scan, labels: Sequence[str], count: int, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the number of each label, of one that no lesion has the next; 0 where labels don't count."""
    if scan.labels is None:
        return np.zeros(count, np.int64)
    return np.array([names.index(label) if label in names else len(names) for label in labels], np.int64)
