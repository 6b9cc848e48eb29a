"""How well a model does what it says: measured on cases with a known truth, with intervals, and written as a report.

Of detectors what is imported here; of classifiers `class_cases`, `class_measures`, `classifying`, `roc`, `calibration`
and `truthfulness`.
"""

from __future__ import annotations

from DeepImagingLib.evaluation.coco import precision_and_recall
from DeepImagingLib.evaluation.froc import POINTS, Froc, cpm, froc, intervals
from DeepImagingLib.evaluation.hits import Hit, Outcome, Scan, judge
from DeepImagingLib.evaluation.report import summary, write_report

__all__ = [
    "POINTS",
    "Froc",
    "Hit",
    "Outcome",
    "Scan",
    "cpm",
    "froc",
    "intervals",
    "judge",
    "precision_and_recall",
    "summary",
    "write_report",
]
