"""Classifiers trained on images of your own: settings worked out from the data, and what the recipe says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib.bundles.trusted import TrustedBuilder
from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read
from DeepImagingLib.training import composing
from DeepImagingLib.training.augmentation import augmentations
from DeepImagingLib.training.cases import Dataset, Facts, load_image
from DeepImagingLib.training.composing import of_the_image
from DeepImagingLib.training.continued import case_transforms, input_channels, network_settings
from DeepImagingLib.training.planning import Choice, Plan, epochs, guessed_modality, intensities

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle

Settings = Mapping[str, Any]

STEPS = {"again": 500, "scratch": 2000}
BATCH = 8
PIXELS, VOXELS = 256, 96
"""What the longest side of a picture, and of a volume, is resized to."""
NETWORK = {"init_features": 32, "growth_rate": 24, "block_config": [4, 8, 16, 12]}
COLOURS = ("red", "green", "blue")


def with_channels(dataset: Dataset, base: Bundle | None) -> Dataset:
    """Return the dataset with the channels that its images are to have: those of the base, or of the first that opens.

    Grey ones are repeated for a network that takes colours.
    """
    count = input_channels(base) if base else _channels(dataset)
    if count == len(dataset.channels):
        return dataset
    named = base.channels if base and len(base.channels) == count else COLOURS
    return replace(
        dataset, channels=tuple(named) if count == len(named) else tuple(f"channel {n}" for n in range(count))
    )


def _channels(dataset: Dataset) -> int:
    for case in dataset.cases:
        try:
            return len(dataset.channels) if len(case.images) > 1 else len(read(case.images[0]))
        except InputError:
            continue
    return len(dataset.channels)


def plan(dataset: Dataset, facts: Sequence[Facts], base: Bundle | None, outputs: int) -> Plan:
    """Return the settings of a training.

    Args:
        dataset: What is trained on.
        facts: Of its cases.
        base: To go on from; None begins from scratch.
        outputs: Of the network.

    Raises:
        BundleError: The bundle can't be gone on from.
        InputError: Pictures and volumes are mixed, or can't be prepared.
    """
    dims = {len(one.shape) for one in facts}
    if len(dims) > 1:
        raise InputError("Some of the images are pictures and others volumes; train them apart.")
    if base and base.spatial_dims != max(dims):
        kinds = {2: "pictures", 3: "volumes"}
        raise InputError(f"{base.name} looks at {kinds[base.spatial_dims]}, and these are {kinds[max(dims)]}.")
    if base:
        as_it_is = f"as {base.name} has it"
        preparation = Choice(of_the_image(case_transforms(base)), as_it_is)
        network = Choice(network_settings(base, outputs), f"{as_it_is}, for {outputs} labels")
        modality, rate, steps = base.modality, Choice(5e-4, "half of what begins at random"), STEPS["again"]
    else:
        modality = guessed_modality(facts)
        preparation = _preparation(facts, len(dataset.channels), modality)
        shape = {"spatial_dims": max(dims), "in_channels": len(dataset.channels), "out_channels": outputs}
        network = Choice({"_target_": "DenseNet", **shape, **NETWORK}, "2 million weights, which few images can fill")
        rate, steps = Choice(1e-3, "what AdamW takes in a network with batch normalisation"), STEPS["scratch"]
    shapes = _prepared_shapes(dataset, facts, preparation.value)
    alike = len(shapes) == 1
    augmentation = of_the_image(augmentations(None, modality, max(dims)))
    names = ", ".join(step["_target_"].removeprefix("Rand").removesuffix("d") for step in augmentation)
    return {
        "preparation": preparation,
        "network_def": network,
        "patch": Choice(list(max(shapes)), "of an image that is prepared"),
        "augmentation": Choice(augmentation, f"{names}: what {modality or 'any'} images differ by; none is mirrored"),
        "exclusive": _exclusive(dataset),
        "batch_size": Choice(BATCH if alike else 1, "prepared, all have a size" if alike else "of several sizes"),
        "accumulate": Choice(1 if alike else BATCH, f"for {BATCH} images a step"),
        "learning_rate": rate,
        **epochs(facts, steps, BATCH, "image"),
        "frozen": Choice(0.1 if base else 0.0, "share of the steps in which only new weights move"),
    }


def _exclusive(dataset: Dataset) -> Choice:
    if len(dataset.labels) > 1 and all(len(case.on) == 1 for case in dataset.cases):
        return Choice(True, "each image has one label: a softmax shares the whole among them")
    return Choice(False, "images have several labels or none: each has a probability of its own")


def _preparation(facts: Sequence[Facts], channels: int, modality: str) -> Choice:
    key = {"keys": "image"}
    if len(facts[0].shape) == 2:
        resized = {"_target_": "Resized", **key, "spatial_size": PIXELS, "size_mode": "longest", "mode": "area"}
        window = {"lower": 0.5, "upper": 99.5, "b_min": 0, "b_max": 1, "clip": True}
        grey = {"_target_": "ScaleIntensityRangePercentilesd", **key, **window}
        colour = {"_target_": "ScaleIntensityRanged", **key, "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1}
        square = {"_target_": "ResizeWithPadOrCropd", **key, "spatial_size": [PIXELS] * 2, "mode": "constant"}
        steps = [resized, colour if channels > 1 else grey, square]
        return Choice(steps, f"the longest side becomes {PIXELS} pixels, the other is padded")
    extent = np.median([np.multiply(one.shape, one.spacing) for one in facts], axis=0)
    spacing = float(extent.max()) / VOXELS
    shape = [int(8 * np.ceil(side / spacing / 8)) for side in extent]
    steps = [
        {"_target_": "Orientationd", **key, "axcodes": "RAS"},
        {
            "_target_": "Spacingd",
            **key,
            "pixdim": [round(spacing, 4)] * 3,
            "mode": "bilinear",
            "padding_mode": "border",
        },
        *of_the_image(intensities(facts, modality == "CT")),
        {"_target_": "ResizeWithPadOrCropd", **key, "spatial_size": shape, "mode": "edge"},
    ]
    return Choice(steps, f"the longest side of most is {VOXELS} voxels of {spacing:.2g} mm")


def _prepared_shapes(dataset: Dataset, facts: Sequence[Facts], preparation: Sequence[Settings]) -> set[tuple[int, ...]]:
    """Return the shapes that the smallest and the largest image have when they are prepared."""
    config = {"steps": {"_target_": "Compose", "transforms": list(preparation)}}
    prepare = TrustedBuilder(config, ".", "cpu").get("steps")
    ends = sorted(facts, key=lambda one: (np.prod(one.shape), one.shape))
    odd = sorted(facts, key=lambda one: one.shape[0] / one.shape[1])
    shapes = set()
    for one in {some.case.key: some for some in (ends[0], ends[-1], odd[0], odd[-1])}.values():
        try:
            shapes.add(tuple(map(int, prepare({"image": load_image(one.case, dataset)})["image"].shape[1:])))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error.__cause__ or error).splitlines()[0].rstrip(".")
            raise InputError(f"{one.case.name} can't be prepared by the plan: {reason}.") from error
    return shapes


def recipe(settings: Settings) -> Settings:
    """Return what a recipe of classification adds to `composing.train_config`, by the settings of a plan."""
    exclusive = bool(settings["exclusive"])
    typed = {"_target_": "EnsureTyped", "keys": ["image", "label"], "track_meta": False}
    measure = {"_target_": "DeepImagingLib.training.measure_classifier", "_mode_": "callable"}
    return {
        "loss": {"_target_": "torch.nn.CrossEntropyLoss" if exclusive else "DeepImagingLib.training.KnownBCELoss"},
        "inferer": {"_target_": "SimpleInferer"},
        "case_transform": {"_target_": "Compose", "transforms": [*settings["preparation"], typed]},
        "train_transform": "@case_transform",
        "validation_transform": "@case_transform",
        "patch_transform": {"_target_": "Compose", "transforms": [*settings["augmentation"], typed]},
        "trainer": {"measure": {**measure, **({"exclusive": True} if exclusive else {})}, "metric": "AUROC"},
    }


def inference_config(settings: Settings) -> Settings:
    """Return what `inference.json` says: the same preparation and network, and a probability a label."""
    activation = {"softmax" if settings["exclusive"] else "sigmoid": True}
    saver = {
        "_target_": "ClassificationSaver",
        "output_dir": "@output_dir",
        "filename": "predictions.csv",
        "batch_transform": "$lambda batch: [item['image'].meta for item in batch]",
        "output_transform": "$lambda output: [item['pred'] for item in output]",
    }
    ending = "png" if len(settings["patch"]) == 2 else "nii.gz"
    steps = [{"_target_": "Activationsd", "keys": "pred", **activation}]
    return composing.inference_config(settings, {"_target_": "SimpleInferer"}, steps, [saver], ending)
