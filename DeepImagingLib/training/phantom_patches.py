"""Phantoms to train on, and held-out ones to validate on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch.utils.data import Dataset

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.other_objects import draw_other
from DeepImagingLib.phantoms.scanner import trim_to_circle
from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Bytes, Material
from DeepImagingLib.training.bodies import Bodies, Body, Triple
from DeepImagingLib.training.draws import seeded
from DeepImagingLib.training.pose import box_shape, margins_before, pad_to, posed

FIRST_TEST_SEED = 1_000_000
"""Phantoms from here on are never trained on."""

TRIMMED = 0.12  # how often the scanner's circle cuts through the body
OTHER, NO_CT = 0.04, 0.02  # how often an item is no torso, and no CT: nothing but positive numbers, as in MR

Item = Mapping[str, Any]


class PhantomPatches(Dataset[Item]):
    """Patches of torsos in CT without end: item n is a function of the seed and n alone.

    The bodies are drawn once, by `prepare`; each item is one of them in a new pose, bent, cropped, with a contrast
    phase, blur and noise of its own. A few items are no torso (heads, limbs, test objects) or no CT, so that a model
    learns to find no organs there; in what is no CT all is background.

    Args:
        bodies: To cut from; their seeds are none of those kept for tests.
        spacing: Voxel size in mm; that of the bodies where it isn't given.
        patch: Shape of the items; a whole cross-section, since networks that see less of a body collapse on slabs
            and tight crops.
        transform: What MONAI's transforms make of {"image": (1, *patch) in HU, "label": (1, *patch) of `Organ`}.

    Raises:
        InputError: A seed is one of those kept for tests.
    """

    def __init__(
        self,
        bodies: Bodies,
        spacing: Triple | None = None,
        patch: Sequence[int] = (96, 80, 64),
        transform: Callable[[Item], Item] | None = None,
    ) -> None:
        if bodies.seeds.stop > FIRST_TEST_SEED:
            raise InputError(
                f"Bodies to train on have seeds below {FIRST_TEST_SEED}; got {bodies.seeds.start} to "
                f"{bodies.seeds.stop - 1}."
            )
        self.bodies, self.patch, self.transform = bodies, tuple(patch), transform
        self.spacing = spacing or bodies.spacing
        self.prepare = bodies.prepare

    def __getitem__(self, number: int) -> Item:
        """Return the item of that number, from 0 on."""
        rng = np.random.default_rng([self.bodies.seeds.start, 2, number])
        materials, organs = self.bodies[int(rng.integers(len(self.bodies)))].unpack()
        box = box_shape(self.patch, rng)
        before = margins_before(box, self.patch, rng)
        kind = rng.random()
        if kind < OTHER:
            materials, organs = draw_other(box, self.spacing, rng)
        else:
            materials, organs = posed(materials, organs, box, rng, np.divide(self.spacing, self.bodies.spacing))
        if rng.random() < TRIMMED:
            trim_to_circle(materials, organs, self.spacing, rng)
        image = render(materials, self.spacing, rng)
        if kind > 1 - NO_CT:
            image, organs = _unlike_ct(image, materials, rng), np.zeros_like(organs)
        item = {
            key: torch.from_numpy(pad_to(volume, before, self.patch))[None]
            for key, volume in (("image", image), ("label", organs))
        }
        return seeded(self.transform, rng)(item) if self.transform else item


def _unlike_ct(image: Field, materials: Bytes, rng: np.random.Generator) -> Field:
    """Return the image with tissues as bright as chance has it, from 0 for air up, as magnitudes in MR are."""
    bright = rng.uniform(0, 1, len(Material)).astype(np.float32)
    bright[[Material.AIR, Material.GAS, Material.PADDING]] = 0
    grain = np.clip(image, -100, 100) * np.float32(rng.uniform(0, 0.003))
    return np.asarray(np.abs(bright[materials] + grain) * rng.uniform(100, 3000), np.float32)


class PhantomCases(Dataset[Item]):
    """Whole held-out torsos, the same ones each time.

    Args:
        bodies: With seeds from FIRST_TEST_SEED on.
        transform: What MONAI's transforms make of {"image": (1, I, J, K) in HU, "label": the same of `Organ`}.
    """

    def __init__(self, bodies: Bodies, transform: Callable[[Item], Item] | None = None) -> None:
        if bodies.seeds.start < FIRST_TEST_SEED:
            raise InputError(f"Bodies to validate on have seeds from {FIRST_TEST_SEED}, not {bodies.seeds.start}.")
        self.bodies, self.transform = bodies, transform
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self.bodies)

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Draw and paint them; `tell` is called with the share that is done."""
        if not self._items:
            self.bodies.prepare(tell)
            self._items = [self._item(seed, self.bodies[n]) for n, seed in enumerate(self.bodies.seeds)]

    def __getitem__(self, index: int) -> Item:
        """Return a case."""
        self.prepare()
        return self._items[index]

    def _item(self, seed: int, body: Body) -> Item:
        materials, organs = body.unpack()
        image = render(materials, self.bodies.spacing, np.random.default_rng([seed, 1]))
        affine = torch.from_numpy(body.affine)
        item = {
            "image": MetaTensor(torch.from_numpy(image)[None], affine=affine),
            "label": MetaTensor(torch.from_numpy(organs.copy())[None], affine=affine),
        }
        return self.transform(item) if self.transform else item
