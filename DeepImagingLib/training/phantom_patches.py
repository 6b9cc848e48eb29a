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
from DeepImagingLib.phantoms.scanner import trim_to_circle
from DeepImagingLib.training.bodies import Body, Triple, draw_bodies
from DeepImagingLib.training.draws import seeded
from DeepImagingLib.training.pose import box_shape, margins_before, pad_to, posed

FIRST_TEST_SEED = 1_000_000
"""Phantoms from here on are never trained on."""

FIELD_OF_VIEW = (480.0, 360.0, 800.0)
TRIMMED = 0.12  # how often the scanner's circle cuts through the body

Item = Mapping[str, Any]


class PhantomPatches(Dataset[Item]):
    """Patches of torsos in CT without end: item n is a function of the seed and n alone.

    The bodies are drawn once, by `prepare`; each item is one of them in a new pose, bent, cropped, with a contrast
    phase, blur and noise of its own.

    Args:
        seed: Of what is random in an item, and of the first body.
        bodies: How many to draw.
        spacing: Voxel size in mm.
        patch: Shape of the items; a whole cross-section, since networks that see less of a body collapse on slabs
            and tight crops.
        transform: What MONAI's transforms make of {"image": (1, *patch) in HU, "label": (1, *patch) of `Organ`}.
        field_of_view: Of the bodies, in mm.
        cache: Folder that keeps the bodies for other runs; without one, nothing is stored.
        drawn_at: Voxel size in mm of the bodies, where it isn't `spacing`: a coarse and a fine stage share them.

    Raises:
        InputError: A seed is one of those kept for tests.
    """

    def __init__(
        self,
        seed: int = 0,
        bodies: int = 300,
        spacing: Triple = (4.0, 4.0, 4.0),
        patch: Sequence[int] = (96, 80, 64),
        transform: Callable[[Item], Item] | None = None,
        field_of_view: Triple = FIELD_OF_VIEW,
        cache: str | None = None,
        drawn_at: Triple | None = None,
    ) -> None:
        if not 0 <= seed <= seed + bodies <= FIRST_TEST_SEED or bodies < 1:
            raise InputError(f"Bodies to train on have seeds from 0 to below {FIRST_TEST_SEED}, got {seed} + {bodies}.")
        self.seeds = range(seed, seed + bodies)
        self.spacing, self.patch, self.transform = spacing, tuple(patch), transform
        self._grid = (drawn_at or spacing, field_of_view, cache)
        self._stretch = np.divide(spacing, drawn_at or spacing)
        self._bodies: list[Body] = []

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Draw the bodies; `tell` is called with the share that is done."""
        self._bodies = self._bodies or draw_bodies(self.seeds, *self._grid, tell)

    def __getitem__(self, number: int) -> Item:
        """Return the item of that number, from 0 on."""
        self.prepare()
        rng = np.random.default_rng([self.seeds.start, 2, number])
        materials, organs = self._bodies[int(rng.integers(len(self._bodies)))].unpack()
        box = box_shape(self.patch, rng)
        before = margins_before(box, self.patch, rng)
        materials, organs = posed(materials, organs, box, rng, self._stretch)
        if rng.random() < TRIMMED:
            trim_to_circle(materials, organs, self.spacing, rng)
        image = pad_to(render(materials, self.spacing, rng), before, self.patch)
        label = pad_to(organs, before, self.patch)
        item = {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(label)[None]}
        return seeded(self.transform, rng)(item) if self.transform else item


class PhantomCases(Dataset[Item]):
    """Whole held-out torsos, the same ones each time.

    Args:
        cases: How many.
        spacing: Voxel size in mm.
        transform: What MONAI's transforms make of {"image": (1, I, J, K) in HU, "label": the same of `Organ`}.
        field_of_view: In mm.
        cache: Folder that keeps the bodies for other runs.
    """

    def __init__(
        self,
        cases: int = 8,
        spacing: Triple = (4.0, 4.0, 4.0),
        transform: Callable[[Item], Item] | None = None,
        field_of_view: Triple = FIELD_OF_VIEW,
        cache: str | None = None,
    ) -> None:
        self.seeds = range(FIRST_TEST_SEED, FIRST_TEST_SEED + cases)
        self.spacing, self.transform = spacing, transform
        self._grid = (spacing, field_of_view, cache)
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self.seeds)

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Draw and paint them; `tell` is called with the share that is done."""
        if not self._items:
            bodies = draw_bodies(self.seeds, *self._grid, tell)
            self._items = [self._item(seed, body) for seed, body in zip(self.seeds, bodies, strict=True)]

    def __getitem__(self, index: int) -> Item:
        """Return a case."""
        self.prepare()
        return self._items[index]

    def _item(self, seed: int, body: Body) -> Item:
        materials, organs = body.unpack()
        image = render(materials, self.spacing, np.random.default_rng([seed, 1]))
        affine = torch.from_numpy(body.affine)
        item = {
            "image": MetaTensor(torch.from_numpy(image)[None], affine=affine),
            "label": MetaTensor(torch.from_numpy(organs.copy())[None], affine=affine),
        }
        return self.transform(item) if self.transform else item
