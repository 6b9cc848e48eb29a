"""Scans with labels to train on: where they are listed, what is wrong with them, who goes into which split.

Networks and training are elsewhere.
"""

from DeepImagingLib.training.cases.dataset import Case, Dataset, parse_labels
from DeepImagingLib.training.cases.inspect import Facts, Inspection, Problem, inspect
from DeepImagingLib.training.cases.load import load_case
from DeepImagingLib.training.cases.sources import read_dataset
from DeepImagingLib.training.cases.splits import as_before, fold, split

__all__ = [
    "Case",
    "Dataset",
    "Facts",
    "Inspection",
    "Problem",
    "as_before",
    "fold",
    "inspect",
    "load_case",
    "parse_labels",
    "read_dataset",
    "split",
]
