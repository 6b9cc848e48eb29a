"""Torsos of contours: a second family of phantoms to judge by, built and imaged differently from `torso_ct`.

It shares nothing with the first but the names and numbers of its truth. No model is trained on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import contour_atlas as atlas
from DeepImagingLib.phantoms import contour_organs as organs
from DeepImagingLib.phantoms.contour_bones import paint_bones
from DeepImagingLib.phantoms.contour_canvas import Canvas, Person
from DeepImagingLib.phantoms.contour_scanner import PHASES, Image, Tissue, circle, color, measure
from DeepImagingLib.phantoms.contours import GRID, PIXEL_MM, Mask, Shape, Slices
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.phantoms.torso_ct import segments
from DeepImagingLib.results import Segmentation

if TYPE_CHECKING:
    from monai.data import MetaTensor

Triple = tuple[float, float, float]

MIDDLE_HEIGHT = 200.0
"""Of the typical adult, at the middle of the field of view."""

THICKEST_SLICE_MM = 5.0
OUTSIDE = -1024.0


def sample(
    seed: int, spacing: Triple = (2.5, 2.5, 2.5), field_of_view: Triple = (420.0, 340.0, 700.0)
) -> tuple[dict[str, MetaTensor], Segmentation]:
    """Return a phantom: the same for the same seed, spacing and field of view.

    Args:
        seed: Any non-negative integer; it stands for one body, whatever the grid.
        spacing: Voxel size in mm along right, anterior and superior. Below 1.75 mm nothing gets finer.
        field_of_view: Size of the image in mm along the same axes, centred on the torso.

    Returns:
        Images and truth as those of `torso_ct.sample`.

    Raises:
        InputError: The seed, spacing or field of view can't be used.

    Example:
        >>> images, truth = sample(3, spacing=(8, 8, 8), field_of_view=(420, 340, 80))
        >>> truth.mask("liver").shape == images["ct"].shape[1:]
        True
    """
    import torch
    from monai.data import MetaTensor

    shape = _shape(seed, spacing, field_of_view)
    rng = np.random.default_rng([seed, 20])
    person = _person(rng)
    parts = max(1, int(np.ceil(spacing[2] / THICKEST_SLICE_MM)))
    middle = MIDDLE_HEIGHT * person.shape.size[2]
    heights = middle + (np.arange(shape[2] * parts) - (shape[2] * parts - 1) / 2) * spacing[2] / parts
    canvas = Canvas(person, Slices(person.shape, heights))
    _paint(canvas, rng)
    image = _image(canvas, np.random.default_rng([seed, 21]))
    ct, labels = _resample(image, canvas.organs, parts, shape, spacing)
    affine = np.diag([*spacing, 1.0]).astype(np.float64)
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    tensor = MetaTensor(torch.from_numpy(ct[None]), affine=torch.from_numpy(affine))
    return {"ct": tensor}, Segmentation(layers=labels[None], affine=affine, segments=segments())


def _shape(seed: int, spacing: Triple, field_of_view: Triple) -> tuple[int, int, int]:
    if seed < 0:
        raise InputError(f"The seed must not be negative, got {seed}; take 0 or more.")
    if len(spacing) != 3 or not all(0.5 <= s <= 20 for s in spacing):
        raise InputError(f"The spacing must be three numbers from 0.5 to 20 mm, got {tuple(spacing)}.")
    if len(field_of_view) != 3 or not all(40 <= f <= 800 for f in field_of_view):
        raise InputError(f"The field of view must be three numbers from 40 to 800 mm, got {tuple(field_of_view)}.")
    i, j, k = (max(2, round(f / s)) for f, s in zip(field_of_view, spacing, strict=True))
    return i, j, k


def _person(rng: np.random.Generator) -> Person:
    """Draw a man or woman of 148 to 190 cm, thin to stout."""
    female = bool(rng.random() < 0.5)
    tall = float(np.clip(rng.normal(0.93 if female else 0.99, 0.035), 0.84, 1.07))
    stout = float(np.clip(rng.normal(0.1, 0.9), -1.3, 2.2))
    size = (
        tall * (1.0 + 0.015 * stout + rng.normal(0, 0.025)) * (0.97 if female else 1.0),
        tall * (1.0 + 0.02 * stout + rng.normal(0, 0.03)),
        tall * (1.0 + rng.normal(0, 0.02)),
    )
    shape = Shape(
        size=size,
        hips=rng.normal(0.06 if female else 0.0, 0.02),
        chest=rng.normal(-0.04 if female else 0.0, 0.03),
        belly=float(np.clip(12 * stout + rng.normal(0, 6), -12, 38)),
        bend=rng.normal(3, 6),
        lattice=rng.normal(0, 8.0, (2, 5, 5, 7)),
    )
    fat = float(np.clip((13 if female else 8) + 7 * stout + rng.normal(0, 3), 3, 38))
    phase = int(rng.choice(len(PHASES), p=[0.4, 0.15, 0.35, 0.1]))
    return Person(shape, female, bool(rng.random() < 0.7), phase, fat, rng.normal(0, 9), float(rng.random()))


def _paint(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint from the outside in; what comes later takes from what came before."""
    skin = organs.paint_flesh(canvas, rng)
    cavity = canvas.fill(atlas.CAVITY)
    organs.paint_chest(canvas, cavity, rng)
    below = organs.paint_diaphragm(canvas, cavity, rng)
    organs.paint_heart(canvas, rng)
    organs.paint_mediastinum(canvas, cavity, rng)
    organs.paint_belly(canvas, cavity & below, rng)
    paint_bones(canvas, rng)
    organs.paint_pelvis(canvas, cavity, rng)
    canvas.organs[~skin] = Organ.BACKGROUND
    canvas.tissues[~skin] = Tissue.AIR
    _paint_table(canvas, skin, rng)


def _paint_table(canvas: Canvas, body: Mask, rng: np.random.Generator) -> None:
    """Two thin shells with foam between under the back, and sometimes a sheet over the front."""
    x, y = canvas.slices.axis(0)[:, None], canvas.slices.axis(1)[None, :]
    lowest = y.ravel()[np.flatnonzero(body.any(axis=(0, 1)))[0]] if body.any() else -130.0
    depth = lowest - 3 - y + x**2 / (2 * rng.uniform(450, 1500))
    thick, wide = rng.uniform(15, 45), rng.uniform(190, 240)
    top = (depth > 0) & (depth < thick) & (np.abs(x) < wide)
    shell = top & ((depth < 3.5) | (depth > thick - 3.5))
    air = canvas.organs == Organ.BACKGROUND
    canvas.tissues[air & top] = Tissue.FOAM
    canvas.tissues[air & shell] = Tissue.SHELL
    if rng.random() < 0.5:
        near = canvas.around(body, rng.choice([3.5, 7.0]))
        sheet = canvas.around(near, PIXEL_MM) & ~near & (y > rng.uniform(-60, 20)) & air
        canvas.tissues[sheet] = Tissue.CLOTH


def _image(canvas: Canvas, rng: np.random.Generator) -> Image:
    """Return HU as measured; outside of the round field there is nothing, and no truth."""
    outside = ~circle()
    canvas.organs[:, outside] = Organ.BACKGROUND
    canvas.tissues[:, outside] = Tissue.AIR
    image = measure(color(canvas.tissues, canvas.person.phase, rng), rng)
    image = np.clip(image, OUTSIDE, 3071)
    image[:, outside] = OUTSIDE
    return image


def _resample(
    image: Image, truth: npt.NDArray[np.uint8], parts: int, shape: tuple[int, int, int], spacing: Triple
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Return (I, J, K) means over the voxels, and the organ at each one's middle."""
    thick = image.reshape(shape[2], parts, *GRID).mean(axis=1) - OUTSIDE
    across, along = (_shares(shape[k], spacing[k], GRID[k]) for k in range(2))
    ct = np.einsum("ai,kij,bj->abk", across, thick, along, optimize=True) + OUTSIDE
    picked = truth[parts // 2 :: parts]
    centers = [
        np.rint((np.arange(shape[k]) - (shape[k] - 1) / 2) * spacing[k] / PIXEL_MM + (GRID[k] - 1) / 2).astype(int)
        for k in range(2)
    ]
    inside = [(c >= 0) & (c < n) for c, n in zip(centers, GRID, strict=True)]
    i, j = (np.clip(c, 0, n - 1) for c, n in zip(centers, GRID, strict=True))
    labels = picked[:, i[:, None], j] * (inside[0][:, None] & inside[1])
    return np.ascontiguousarray(ct, np.float32), np.ascontiguousarray(labels.transpose(1, 2, 0), np.uint8)


def _shares(count: int, step: float, pixels: int) -> npt.NDArray[np.float64]:
    """Return (count, pixels) which share of each voxel every pixel covers."""
    low = (np.arange(count) - count / 2)[:, None] * step
    edge = (np.arange(pixels) - pixels / 2)[None, :] * PIXEL_MM
    overlap = np.minimum(low + step, edge + PIXEL_MM) - np.maximum(low, edge)
    return np.asarray(np.clip(overlap, 0, None) / step)
