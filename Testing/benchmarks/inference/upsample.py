"""From the logits of a labelled torso to labels on a grid twice as fine: by cells, and by Invertd of all channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd, Resized

from DeepImagingLib.inference.cells import argmax
from DeepImagingLib.inference.inverse import read_inverse
from Testing.benchmarks.inference.clock import Clock, restart_peak
from Testing.benchmarks.inference.contenders import Once, Task

SHARPNESS, NOISE = 10.0, 0.3  # of the logits: sure of itself inside, undecided on borders


def logits_of(labels: torch.Tensor) -> torch.Tensor:
    """Return (K, I, J, K) for labels (I, J, K): each label blurred, with some noise on top."""
    generator = torch.Generator().manual_seed(0)
    made = torch.randn((int(labels.max()) + 1, *labels.shape), generator=generator).mul_(NOISE)
    for label, channel in enumerate(made):
        inside = (labels == label).float()[None, None]
        channel += SHARPNESS * torch.nn.functional.avg_pool3d(inside, 3, 1, 1, count_include_pad=False)[0, 0]
    return made


def ready(task: Task, clock: Clock) -> Once:
    """Make the logits before the memory of the answer is watched."""
    labels = torch.from_numpy(np.asarray(nibabel.load(task.scan).dataobj))
    fine = MetaTensor(torch.zeros(1, *(2 * n for n in labels.shape)))
    preprocessing = Compose([Resized("image", tuple(labels.shape), mode="trilinear")])
    data = preprocessing({"image": fine})
    decide = (by_cells if task.contender == "full" else by_invertd)(data, preprocessing, logits_of(labels))
    clock.base = restart_peak()

    @torch.inference_mode()
    def once() -> Path:
        with clock.stage("Post-processing"):
            decided = decide()
        path = Path(task.output) / "labels.nii.gz"
        nibabel.save(nibabel.Nifti1Image(decided.numpy().astype(np.uint8), np.eye(4)), path)
        return path

    return once


def by_cells(data: dict[str, MetaTensor], _: Compose, logits: torch.Tensor) -> Callable[[], torch.Tensor]:
    axes = read_inverse(data["image"], nearest=False).axes
    return lambda: argmax(logits, axes)


def by_invertd(data: dict[str, MetaTensor], before: Compose, logits: torch.Tensor) -> Callable[[], torch.Tensor]:
    steps = [Invertd("pred", before, orig_keys="image", nearest_interp=False), AsDiscreted("pred", argmax=True)]
    prediction = MetaTensor(logits, affine=data["image"].affine)
    return lambda: Compose(steps)({**data, "pred": prediction})["pred"].as_tensor()[0]
