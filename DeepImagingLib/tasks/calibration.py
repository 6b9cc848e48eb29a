"""Turn what a classifier says into probabilities that hold: by a temperature, or by Platt's slopes and offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError

Numbers = npt.NDArray[np.float64]

LEAST = 1e-12
"""Probabilities nearer to 0 or 1 than this are taken for it: their logits stay finite."""


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities.

    Attributes:
        temperature: Exclusive labels: logits are divided by it before softmax (Guo et al., ICML 2017).
        labels: Independent labels, where `temperature` is None: name → slope and offset of its logit before the
            logistic function (Platt, 1999), in the order of the network's outputs.
    """

    temperature: float | None = None
    labels: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def apply(self, logits: npt.ArrayLike) -> Numbers:
        """Return probabilities (…, L) of logits (…, L)."""
        values = np.asarray(logits, float)
        if self.temperature is not None:
            values = values / self.temperature
            powers = np.exp(values - values.max(axis=-1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
        slopes, offsets = np.array(list(self.labels.values())).T
        return logistic(slopes * values + offsets)

    def apply_to_probabilities(self, probabilities: npt.ArrayLike) -> Numbers:
        """Return probabilities (…, L) of a softmax's (where there is a temperature) or logistic function's (…, L)."""
        return self.apply(logits_of(probabilities, exclusive=self.temperature is not None))

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        if self.temperature is not None:
            return {"method": "temperature", "temperature": self.temperature}
        return {"method": "platt", "labels": {name: list(pair) for name, pair in self.labels.items()}}

    @classmethod
    def from_plain(cls, values: Any, labels: Sequence[str]) -> Calibration:
        """Return what `plain` told.

        Args:
            values: As read from JSON.
            labels: Those to calibrate, in the order of the outputs; it may tell of others, such as one not shown.

        Raises:
            BundleError: It tells no such thing, or not of all these labels.
        """
        try:
            if values["method"] == "temperature":
                found = cls(_number(values["temperature"], above=0))
            elif values["method"] == "platt":
                pairs = ((name, values["labels"][name]) for name in labels)
                found = cls(labels={name: (_number(slope), _number(offset)) for name, (slope, offset) in pairs})
            else:
                raise ValueError("method or labels")
        except (TypeError, ValueError, LookupError) as error:
            raise BundleError(
                f"The calibration {str(values)[:80]} isn't one of the labels {', '.join(labels)}; give "
                '{"method": "temperature", "temperature": T} with T above 0, or {"method": "platt", "labels": '
                "{NAME: [slope, offset], …}} with each label."
            ) from error
        return found


def _number(value: Any, above: float = -np.inf) -> float:
    if not above < float(value) < np.inf:
        raise ValueError(value)
    return float(value)


def logistic(logits: Numbers) -> Numbers:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def logits_of(probabilities: npt.ArrayLike, *, exclusive: bool) -> Numbers:
    """Return logits (…, L), of exclusive labels up to a constant, that give these probabilities (…, L)."""
    kept = np.clip(np.asarray(probabilities, float), LEAST, 1 - LEAST)
    return np.asarray(np.log(kept) if exclusive else np.log(kept) - np.log1p(-kept))
