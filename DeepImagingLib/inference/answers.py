"""What a classifier's last numbers mean, as the bundle's own post-processing says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    import torch
    from monai.transforms import Compose

Numbers = npt.NDArray[np.float64]

EIGHT_BITS = (0.0, 255.0)
THRESHOLD = 0.5
"""From which probability a label counts as found where the bundle says nothing."""
CONVERSIONS = ("EnsureTyped", "ToTensord", "ToNumpyd", "CastToTyped", "ToDeviced", "Identityd")
"""Steps that leave the numbers as they are."""
SUMS_TO_ONE = 1e-3


@dataclass(frozen=True)
class Answers:
    """How to read a network's outputs.

    Attributes:
        activations: MONAI's transforms from outputs to probabilities, in their order.
        key: Under which they take them.
        exclusive: True where the labels exclude each other.
        threshold: Of every label.
        done: Without an activation: whether the outputs are probabilities already.
    """

    activations: tuple[Any, ...]
    key: str
    exclusive: bool
    threshold: float = THRESHOLD
    done: bool = False

    def probabilities(self, outputs: torch.Tensor) -> Numbers:
        """Return (N, labels) probabilities of outputs (N, labels), each item by itself as MONAI's evaluators do.

        Without an activation, outputs that are probabilities already stay as they are: those of a network that
        makes them, and of exclusive labels those that sum to one.

        Raises:
            BundleError: What the activation gives are no probabilities.
        """
        import torch

        values = outputs.detach().float().cpu()
        if any(_activates(step) for step in self.activations):
            told = torch.stack([self._row(row) for row in values])
        elif self.done or (self.exclusive and _sum_to_one(values)):
            told = values.double()
        else:
            told = torch.softmax(values.double(), 1) if self.exclusive else torch.sigmoid(values.double())
        if not bool(((told >= 0) & (told <= 1)).all()):
            raise BundleError("The bundle's activation gives values outside of 0 to 1, which are no probabilities.")
        return np.asarray(told.numpy())

    def doubt(self, outputs: torch.Tensor) -> str:
        """Return a note where outputs (N, labels) were taken for logits and may have been probabilities."""
        if self.exclusive or self.done or any(map(_activates, self.activations)):
            return ""
        if not bool(((outputs >= 0) & (outputs <= 1)).all()):
            return ""
        return (
            "The bundle has no activation, and its outputs, all from 0 to 1, were taken for logits; if they are "
            "probabilities, its network has to end in a Sigmoid layer."
        )

    def _row(self, row: torch.Tensor) -> torch.Tensor:
        import torch

        data: Any = {self.key: row}
        for step in self.activations:
            data = step(data)
        return torch.as_tensor(data[self.key]).reshape(-1).double()


def _activates(step: Any) -> bool:
    return any(any(getattr(step, name)) for name in ("sigmoid", "softmax", "other"))


def _sum_to_one(values: torch.Tensor) -> bool:
    return bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < SUMS_TO_ONE).all())


def makes_probabilities(network: torch.nn.Module) -> bool:
    """Tell whether a network's last layer makes probabilities.

    Neither values nor metadata tell: logits may lie between 0 and 1 as well, of one image and not of the next, and
    bundles of the zoo call logits probabilities.
    """
    import torch

    *_, last = network.modules()
    return isinstance(last, torch.nn.Sigmoid | torch.nn.Softmax)


def range_of(preprocessing: Compose) -> tuple[float, float] | None:
    """Return the range of a picture's values that a chain brings to the network's own, None where it takes any.

    0 to 255 always counts, others from 0 on where they are clipped; ranges that begin below 0 are windows of CT.
    """
    for step in preprocessing.transforms:
        if type(step).__name__ == "ScaleIntensityRanged":
            low, high = float(step.scaler.a_min), float(step.scaler.a_max)
            return (low, high) if (low, high) == EIGHT_BITS or (step.scaler.clip and low >= 0) else None
    return None


def read_answers(postprocessing: Compose, key: str, count: int, done: bool) -> Answers:
    """Return how a bundle's post-processing reads its network's outputs.

    The first Activationsd makes probabilities of them, and the first AsDiscreted decides: an argmax is for labels that
    exclude each other. Without an activation the road takes the one that fits.

    Args:
        postprocessing: The bundle's.
        key: Of the prediction.
        count: How many outputs there are.
        done: True where the network makes probabilities itself.

    Raises:
        BundleError: There is a step in between that isn't known to keep one number a label.
    """
    activations: list[Any] = []
    softmax: bool | None = None
    for step in postprocessing.transforms:
        name = type(step).__name__
        if name == "AsDiscreted":
            exclusive = bool(_setting(step, "argmax", key)) if softmax is None else softmax
            threshold = _threshold(_setting(step, "threshold", key), any(map(_activates, activations)) or done)
            return Answers(tuple(activations), key, exclusive, threshold, done)
        if name == "Activationsd":
            softmax = bool(_setting(step, "softmax", key))
            activations.append(step)
        elif name not in CONVERSIONS:
            raise BundleError(f"The post-processing step {name} isn't one of a classifier; remove it from the bundle.")
    return Answers(tuple(activations), key, count > 1 if softmax is None else softmax, done=done)


def _threshold(value: Any, of_probabilities: bool) -> float:
    """Return a bundle's threshold as a probability; one of outputs that stay as they are is a logit."""
    if value is None:
        return THRESHOLD
    return float(value) if of_probabilities else 1 / (1 + math.exp(-float(value)))


def _setting(step: Any, name: str, key: str) -> Any:
    """Return a step's setting for one of its keys."""
    values = dict(zip(step.keys, getattr(step, name), strict=False))
    return values.get(key)


def label_names(labels: Mapping[int, str], count: int, bundle: str) -> tuple[str, ...]:
    """Return the names of a network's outputs.

    Raises:
        BundleError: The metadata name another number of labels, or two by one name.
    """
    if labels and sorted(labels) != list(range(count)):
        raise BundleError(
            f"The metadata of {bundle!r} name {len(labels)} labels, but its network answers with {count} numbers; "
            "mend `channel_def`."
        )
    names = tuple(labels.get(n, f"label {n}") for n in range(count))
    if len(set(names)) < count:
        twice = next(name for name in names if names.count(name) > 1)
        raise BundleError(f"The metadata of {bundle!r} call two labels {twice!r}; give each a name in `channel_def`.")
    return names
