"""Defaults of a training worked out from the data, each with its reason.

The rules for scratch follow nnU-Net's (Isensee et al., Nat Methods 2021), with patches for a CPU's patience.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.training.augmentation import augmentations
from DeepImagingLib.training.cases.inspect import Facts
from DeepImagingLib.training.continued import case_transforms, input_channels, network_settings, patch_shape

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle

PATCH_VOXELS = {"cpu": 96 * 80 * 64, "cuda": 128**3}
COARSE_AXIS = 3.0  # an axis this many times coarser than the finest is resampled by its finest tenth
LEAST_SIDE = 4  # voxels at the bottom of the network
LEAST_PATCH, PATCH_STEP = 16, 8
MOST_LEVELS = 6
FIRST_WIDTH, MOST_WIDTH = {"cpu": 16, "cuda": 32}, 320
HOUNSFIELD_AIR = -200.0  # what has values below it is CT
NORMALISED = {
    True: "Hounsfield units, clipped to and normalised by what lies within the labels",
    False: "no Hounsfield units, so that each image is normalised by itself",
}
STEPS = {"again": 1000, "scratch": 3000}
LEAST_EPOCHS = 20

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """A value that was chosen, and why."""

    value: Any
    reason: str

    @property
    def short(self) -> str:
        """The value in one line: of transforms and networks their names."""
        if isinstance(self.value, list) and self.value and isinstance(self.value[0], dict):
            return ", ".join(str(step["_target_"]).rpartition(".")[2] for step in self.value)
        if isinstance(self.value, dict) and "_target_" in self.value:
            return str(self.value["_target_"])
        return str(self.value)


Plan = Mapping[str, Choice]


def plan_from(base: Bundle, facts: Sequence[Facts], channels: Sequence[str], labels: Sequence[str]) -> Plan:
    """Return the settings of a training that goes on from a bundle.

    Args:
        base: To go on from.
        facts: Of the cases.
        channels: Of the cases' images.
        labels: Of the new network, the background first.

    Raises:
        BundleError: The bundle can't be gone on from.
        InputError: It takes another number of channels.
    """
    expected = input_channels(base)
    if len(channels) != expected:
        raise InputError(f"{base.name} takes {expected} channels, and the cases have {len(channels)}; begin another.")
    as_it_is = f"as {base.name} has it"
    transferred = len(set(labels) & set(base.labels.values()))
    return {
        "preparation": Choice(case_transforms(base), as_it_is),
        "network_def": Choice(
            network_settings(base, len(labels)), f"{as_it_is}, for {len(labels)} labels, {transferred} of them known"
        ),
        "patch": Choice(patch_shape(base), as_it_is),
        "augmentation": _augmentation(None, base.modality),  # it knows where things are, and isn't to unlearn it
        "batch_size": Choice(2, "two patches steady a step"),
        "learning_rate": Choice(1e-3, "a third of what a network from scratch gets"),
        **epochs(facts, STEPS["again"]),
        "frozen": Choice(0.1, "share of the steps in which only new weights move, so that they don't spoil the others"),
    }


def plan_scratch(facts: Sequence[Facts], channels: Sequence[str], labels: Sequence[str], device: str) -> Plan:
    """Return the settings of a training from scratch.

    Args:
        facts: Of the cases.
        channels: Of the cases' images.
        labels: Of the network, the background first.
        device: What it is computed on, "cpu" or "cuda".

    Raises:
        InputError: The images are pictures.
    """
    if any(len(one.shape) != 3 for one in facts):
        raise InputError("Pictures can't be trained from scratch yet; begin from a bundle for pictures.")
    spacing, why = _spacing(facts)
    extent = np.median([np.multiply(one.shape, one.spacing) for one in facts], axis=0)
    shape = extent / spacing
    patch, strides = _patch(shape, spacing, PATCH_VOXELS[_kind(device)])
    is_ct = guessed_modality(facts) == "CT"
    return {
        "preparation": Choice(
            [*_resampled(spacing), *intensities(facts, is_ct)],
            f"spacing {_by(spacing)} mm, {why}; {NORMALISED[is_ct]}",
        ),
        "network_def": _network(strides, spacing, len(channels), len(labels), FIRST_WIDTH[_kind(device)]),
        "patch": Choice(patch, f"of images of {_by(np.round(shape))} voxels, what {device} does in about a second"),
        "augmentation": _augmentation(labels, "CT" if is_ct else "MR"),
        "batch_size": Choice(2, "two patches steady a step"),
        "learning_rate": Choice(3e-3, "what AdamW takes in a network with instance normalisation"),
        **epochs(facts, STEPS["scratch"]),
        "frozen": Choice(0.0, "nothing was transferred"),
    }


def guessed_modality(facts: Sequence[Facts]) -> str:
    """Return "CT" where there are values that only Hounsfield units have, else "MR"; of pictures nothing."""
    if any(len(one.shape) != 3 for one in facts):
        return ""
    return "CT" if any(one.intensities.min() < HOUNSFIELD_AIR for one in facts) else "MR"


def _resampled(spacing: Numbers) -> list[dict[str, Any]]:
    how = {"mode": ["bilinear", "nearest"], "padding_mode": "border"}
    pixdim = [round(float(side), 4) for side in spacing]
    return [
        {"_target_": "Orientationd", "keys": ["image", "label"], "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": ["image", "label"], "pixdim": pixdim, **how},
    ]


def _kind(device: str) -> str:
    return "cuda" if device.startswith("cuda") else "cpu"


def _by(values: Sequence[float] | Numbers) -> str:
    return " × ".join(f"{value:g}" for value in np.round(values, 2))


def _augmentation(labels: Sequence[str] | None, modality: str) -> Choice:
    steps = augmentations(labels, modality, 3)
    names = ", ".join(step["_target_"].removeprefix("Rand").removesuffix("d") for step in steps)
    return Choice(steps, f"{names}: what {modality or 'any'} scans differ by")


def epochs(facts: Sequence[Facts], steps: int, batch: int = 2, what: str = "patch") -> dict[str, Choice]:
    """Return how many epochs make about so many steps of a batch, of all cases one each."""
    count = max(LEAST_EPOCHS, round(batch * steps / max(1, len(facts))))
    return {"epochs": Choice(count, f"about {steps} steps of {batch}, one {what} a case and epoch")}


def _spacing(facts: Sequence[Facts]) -> tuple[Numbers, str]:
    """The median of each axis; an axis that is much coarser takes what its finest tenth has."""
    all_spacings = np.array([one.spacing for one in facts])
    spacing: Numbers = np.median(all_spacings, axis=0)
    coarse = int(spacing.argmax())
    others = np.delete(spacing, coarse)
    if spacing[coarse] < COARSE_AXIS * others.max():
        return spacing, "the cases' median"
    spacing[coarse] = max(np.percentile(all_spacings[:, coarse], 10), others.max())
    return spacing, "the cases' median, and of the coarse axis the finest tenth"


def _patch(shape: Numbers, spacing: Numbers, budget: int) -> tuple[list[int], list[list[int]]]:
    """Shrink the image's shape to the budget, its longest side (in mm) first; return that and the network's strides."""
    patch = np.maximum(np.ceil(shape / PATCH_STEP) * PATCH_STEP, LEAST_PATCH)
    while patch.prod() > budget:
        longest = int(np.where(patch > LEAST_PATCH, patch * spacing, 0).argmax())
        patch[longest] -= PATCH_STEP
    strides: list[list[int]] = []
    size, step = patch.copy(), spacing.copy()
    while len(strides) < MOST_LEVELS - 1:
        halved = (size >= 2 * LEAST_SIDE) & (step < 2 * step.min())
        if not halved.any():
            break
        strides.append([2 if one else 1 for one in halved])
        size, step = np.where(halved, np.ceil(size / 2), size), np.where(halved, 2 * step, step)
    factor = np.prod(strides, axis=0) if strides else np.ones(3)
    return [int(n) for n in np.ceil(patch / factor) * factor], strides


def _network(strides: Sequence[Sequence[int]], spacing: Numbers, inputs: int, outputs: int, width: int) -> Choice:
    levels = len(strides) + 1
    step, kernels = spacing.copy(), []
    for stride in ([1, 1, 1], *strides):
        step = step * stride
        kernels.append([3 if one < 2 * step.min() else 1 for one in step])
    settings = {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "in_channels": inputs,
        "out_channels": outputs,
        "kernel_size": kernels,
        "strides": [[1, 1, 1], *map(list, strides)],
        "upsample_kernel_size": list(map(list, strides)),
        "filters": [min(width * 2**level, MOST_WIDTH) for level in range(levels)],
        "norm_name": ["INSTANCE", {"affine": True, "eps": 1e-3}],
    }
    return Choice(settings, f"{levels} levels: halved down to {LEAST_SIDE} voxels, coarse axes later")


def intensities(facts: Sequence[Facts], is_ct: bool) -> list[dict[str, Any]]:
    """Return steps that make about 1 of intensities, for an image beside its labels."""
    if not is_ct:
        return [{"_target_": "NormalizeIntensityd", "keys": ["image"], "channel_wise": True}]
    values = np.concatenate([one.foreground.ravel() for one in facts])
    low, high = (round(float(v), 1) for v in np.percentile(values, (0.5, 99.5)))
    mean, spread = float(values.mean()), float(values.std()) or 1.0
    scaled = {"b_min": round((low - mean) / spread, 4), "b_max": round((high - mean) / spread, 4), "clip": True}
    return [{"_target_": "ScaleIntensityRanged", "keys": ["image"], "a_min": low, "a_max": high, **scaled}]
