"""Classification: from rows of probabilities to one answer, and which labels count as found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.bundles.metadata import LIKENESS
from DeepImagingLib.errors import BundleError, InputError

Numbers = npt.NDArray[np.float64]

TINY = 1e-9
"""A network that says 0 is not to be taken at its word: numbers stay finite."""
NONE = ("no finding", "none", "normal")
"""Names of a label that tells that none of the others is there."""
TOP = "top"
ALL = "all"
THRESHOLDS = "thresholds"
"""Key of the metadata: label → probability from which on it counts as found. No key of MONAI's."""


def likeness_of(metadata: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """Return from which probability of the network's last label an image is like those of the training.

    None where the metadata don't say that this label tells it.

    Raises:
        BundleError: They say it of another label, or of no probability.
    """
    told = metadata.get(LIKENESS)
    if told is None:
        return None
    least = told.get("least") if isinstance(told, Mapping) else None
    if not isinstance(least, (int, float)) or not 0 < least < 1 or told.get("label") != names[-1] or len(names) < 2:
        raise BundleError(
            f"`{LIKENESS}` in the metadata is {str(told)[:80]}; it has to name the last label, {names[-1]!r}, and the "
            "`least` of its probabilities, between 0 and 1."
        )
    return float(least)


def unlikeness(likeness: Numbers, least: float) -> float:
    """Return how unlike the images of the training an image is, 1 and above where it isn't like them.

    That is the odds of being unlike them, as a multiple of those at `least`.

    Args:
        likeness: (N,) probabilities of its parts, of which the middle one counts.
        least: From which on it is like them.
    """
    middle = max(float(np.median(likeness)), TINY)
    return (1 - middle) / middle / ((1 - least) / least)


def overall(rows: Numbers, exclusive: bool, names: Sequence[str] = ()) -> tuple[float, ...]:
    """Return one probability a label of rows (N, labels), each of a slice or patch.

    A finding in one of them is a finding, so that the highest counts, but of a label in `NONE` the lowest; labels that
    exclude each other share the whole, so that their mean counts.
    """
    if exclusive:
        return tuple(float(value) for value in rows.mean(axis=0))
    none = [n for n, name in enumerate(names) if name.lower() in NONE]
    values = rows.max(axis=0)
    values[none] = rows[:, none].min(axis=0)
    return tuple(float(value) for value in values)


def contradiction(names: Sequence[str], probabilities: Sequence[float], thresholds: Sequence[float]) -> str:
    """Return a sentence where a label in `NONE` counts as found beside another, "" elsewhere."""
    found = [name for name, p, least in zip(names, probabilities, thresholds, strict=True) if p >= least]
    none = [name for name in found if name.lower() in NONE]
    others = [name for name in found if name not in none]
    if not none or not others:
        return ""
    return f"The model says both {none[0]!r} and {', '.join(map(repr, others))}; look for yourself."


def by_slice(rows: Numbers, count: int, roi: tuple[tuple[int, int], ...] | None) -> Numbers:
    """Return (count, labels) probabilities of slices, NaN outside of the region that the rows are of."""
    first = roi[2][0] if roi and len(roi) == 3 else 0
    told = np.full((count, rows.shape[1]), np.nan)
    told[first : first + len(rows)] = rows
    return told


def thresholds(metadata: Mapping[str, Any], names: Sequence[str], usual: float) -> tuple[float, ...]:
    """Return the probability from which each label counts as found: the metadata's, or the usual one."""
    told = metadata.get(THRESHOLDS)
    own = told if isinstance(told, Mapping) else {}
    return tuple(float(own[n]) if isinstance(own.get(n), (int, float)) and 0 <= own[n] <= 1 else usual for n in names)


def channels_of(
    asked: Sequence[str], names: Sequence[str], probabilities: Sequence[float], least: Sequence[float] = ()
) -> tuple[int, ...]:
    """Return the numbers of the labels asked for by name; ("all",) is every one, ("top",) is those found.

    Of labels that exclude each other that is the most probable one. Of others it is all findings that reach their
    threshold, or else the most probable finding; labels in `NONE` are none.

    Args:
        asked: Names, or one of these words.
        names, probabilities: Of each label.
        least: From which probability each counts as found; () of labels that exclude each other.

    Raises:
        InputError: There is no such label.
    """
    if tuple(asked) == (TOP,) and TOP not in names:
        return _top(names, probabilities, least)
    if tuple(asked) == (ALL,) and ALL not in names:
        return tuple(range(len(names)))
    if unknown := [name for name in asked if name not in names]:
        alone = f"{unknown[0]!r} stands alone, without other labels" if unknown[0] in (TOP, ALL) else ""
        raise InputError(f"{alone or f'The model has no label {unknown[0]!r}'}; it has {', '.join(names)}.")
    return tuple(names.index(name) for name in asked)


def _top(names: Sequence[str], probabilities: Sequence[float], least: Sequence[float]) -> tuple[int, ...]:
    findings = [n for n, name in enumerate(names) if not least or name.lower() not in NONE]
    found = [n for n in findings if least and probabilities[n] >= least[n]]
    return tuple(found) or (max(findings or range(len(names)), key=lambda n: probabilities[n]),)
