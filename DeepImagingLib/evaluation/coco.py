"""Average precision and recall of boxes, as the COCO challenge has them, by MONAI's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from DeepImagingLib.evaluation.hits import Scan, corners

OVERLAPS = {"": (0.5, 0.95, 0.05), " at IoU 0.1": (0.1, 0.1, 0.05)}
"""First, last and step of the intersections over union that a figure is the mean of: COCO's, and a lenient one."""
MOST_BOXES = 100


def precision_and_recall(scans: Sequence[Scan]) -> dict[str, float]:
    """Return mAP and mAR over COCO's overlaps, and at 0.1 alone; nothing where a lesion's size isn't known."""
    if not sum(len(scan.lesions) for scan in scans) or any(np.isnan(scan.lesions).any() for scan in scans):
        return {}
    told: dict[str, float] = {}
    for name, overlaps in OVERLAPS.items():
        found = _measured(scans, overlaps)
        told |= {f"{kind}{name}": next(v for k, v in found.items() if k.startswith(kind)) for kind in ("mAP", "mAR")}
    return told


def _measured(scans: Sequence[Scan], overlaps: tuple[float, float, float]) -> Mapping[str, float]:
    from monai.apps.detection.metrics.coco import COCOMetric
    from monai.apps.detection.metrics.matching import matching_batch
    from monai.data.box_utils import box_iou

    # the list of single overlaps must not be empty: its first is that of the range
    metric = COCOMetric(["lesion"], overlaps[:1], overlaps, (MOST_BOXES,), per_class=False, verbose=False)
    matches = matching_batch(
        box_iou,
        metric.iou_thresholds,
        [corners(scan.boxes) for scan in scans],
        [np.zeros(len(scan.boxes), np.int64) for scan in scans],
        [scan.scores for scan in scans],
        [corners(scan.lesions) for scan in scans],
        [np.zeros(len(scan.lesions), np.int64) for scan in scans],
        max_detections=MOST_BOXES,
    )
    return {name: float(value) for name, value in metric(matches)[0].items()}
