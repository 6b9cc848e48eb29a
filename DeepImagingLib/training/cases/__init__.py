"""Scans with masks, labels or boxes to train on: where they are listed, what is wrong with them, how they are split.

Networks and training are elsewhere.
"""

from DeepImagingLib.training.cases.dataset import TASKS, Case, Dataset, parse_labels
from DeepImagingLib.training.cases.inspect import Facts, Inspection, Problem, inspect
from DeepImagingLib.training.cases.load import load_case, load_image
from DeepImagingLib.training.cases.sources import for_task, read_dataset
from DeepImagingLib.training.cases.splits import as_before, check_enough, fold, split

__all__ = [
    "Case",
    "Dataset",
    "Facts",
    "Inspection",
    "Problem",
    "TASKS",
    "as_before",
    "check_enough",
    "fold",
    "for_task",
    "inspect",
    "load_case",
    "load_image",
    "parse_labels",
    "read_dataset",
    "split",
]
