"""A random adult's torso in CT: the image, and the truth of its structures in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import torso_abdomen as abdomen
from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.torso import Bytes, Organ, Torso
from DeepImagingLib.phantoms.torso_arms import paint_arms, place_arms
from DeepImagingLib.phantoms.torso_heart import paint_heart, place_heart
from DeepImagingLib.phantoms.torso_implants import paint_implants
from DeepImagingLib.phantoms.torso_lungs import paint_lungs
from DeepImagingLib.phantoms.torso_muscles import paint_back_muscles, paint_wall
from DeepImagingLib.phantoms.torso_neck import paint_airways, paint_head, paint_oesophagus, paint_thyroid
from DeepImagingLib.phantoms.torso_skeleton import paint_skeleton
from DeepImagingLib.phantoms.torso_surroundings import paint_surroundings
from DeepImagingLib.phantoms.torso_vessels import paint_aorta, paint_great_veins, paint_pulmonary_vessels
from DeepImagingLib.results import Segment, Segmentation

if TYPE_CHECKING:
    from monai.data import MetaTensor

Triple = tuple[float, float, float]

CENTER_Z = 205.0
"""Height in the body at the middle of the field of view: halfway from the hips to the heart's top."""

SPACING_MM = (0.25, 20.0)
FIELD_OF_VIEW_MM = (50.0, 800.0)
MOST_VOXELS = 400_000_000

COLORS: dict[Organ, Triple] = {
    Organ.OTHER_TISSUE: (0.69, 0.48, 0.40),
    Organ.RIGHT_LUNG: (0.76, 0.55, 0.55),
    Organ.LEFT_LUNG: (0.86, 0.68, 0.66),
    Organ.HEART: (0.81, 0.36, 0.30),
    Organ.AORTA: (0.88, 0.16, 0.20),
    Organ.LIVER: (0.87, 0.51, 0.40),
    Organ.SPLEEN: (0.62, 0.41, 0.58),
    Organ.RIGHT_KIDNEY: (0.73, 0.40, 0.25),
    Organ.LEFT_KIDNEY: (0.80, 0.49, 0.32),
    Organ.URINARY_BLADDER: (0.87, 0.79, 0.40),
    Organ.STOMACH: (0.85, 0.52, 0.55),
    Organ.GALLBLADDER: (0.55, 0.58, 0.22),
    Organ.PANCREAS: (0.98, 0.70, 0.56),
    Organ.BOWEL: (1.00, 0.80, 0.60),
    Organ.VENA_CAVA: (0.00, 0.59, 0.81),
    Organ.PULMONARY_VESSELS: (0.10, 0.45, 0.75),
    Organ.AIRWAYS: (0.71, 0.89, 1.00),
    Organ.SPINE: (0.95, 0.84, 0.57),
    Organ.RIBS: (0.92, 0.80, 0.50),
    Organ.HIPS: (0.88, 0.76, 0.52),
    Organ.SACRUM: (0.83, 0.72, 0.46),
    Organ.FEMURS: (0.98, 0.88, 0.65),
    Organ.OTHER_BONE: (0.90, 0.86, 0.70),
}


def sample(
    seed: int, spacing: Triple = (3.0, 3.0, 3.0), field_of_view: Triple = (420.0, 320.0, 420.0)
) -> tuple[dict[str, MetaTensor], Segmentation]:
    """Return a phantom: the same for the same seed, spacing and field of view.

    A seed stands for one body, whatever the grid it is sampled on; noise is drawn per voxel. Voxel axes always run to
    the right, front and top; MONAI's `Orientation` gives others. The road turns any image as its bundle asks, so that
    models need no other orientations to be trained on.

    Args:
        seed: Any non-negative integer. From 1 000 000 on they are for tests: no model is trained on them.
        spacing: Voxel size in mm along right, anterior and superior.
        field_of_view: Size of the image in mm along the same axes, centred on the torso.

    Returns:
        Images by name, here {"ct": (1, I, J, K) float32 in HU}, and the truth: one exclusive (1, I, J, K) layer
        whose values are those of `Organ`. Both have the same affine, IJK→RAS in mm, with the origin of the
        world at the middle of the image.

    Raises:
        InputError: The seed, spacing or field of view can't be used.

    Example:
        >>> images, truth = sample(7, spacing=(8, 8, 8))
        >>> truth.mask("liver").shape == images["ct"].shape[1:]
        True
    """
    import torch
    from monai.data import MetaTensor

    materials, organs, affine = draw(seed, spacing, field_of_view)
    hounsfield = render(materials, spacing, np.random.default_rng([seed, 1]))
    image = MetaTensor(torch.from_numpy(hounsfield[None]), affine=torch.from_numpy(affine))
    return {"ct": image}, Segmentation(layers=organs[None], affine=affine, segments=segments())


def segments() -> tuple[Segment, ...]:
    """Return the structures that a phantom has truth for."""
    return tuple(
        Segment(id=organ.name.lower(), name=name_of(organ), layer=0, value=organ.value, color=COLORS[organ])
        for organ in Organ
        if organ is not Organ.BACKGROUND
    )


def name_of(organ: Organ) -> str:
    """Return an organ's name as segments and bundles spell it."""
    return organ.name.lower().replace("_", " ")


def draw(
    seed: int, spacing: Triple, field_of_view: Triple, *, center: Triple = (0.0, 0.0, 0.0)
) -> tuple[Bytes, Bytes, npt.NDArray[np.float64]]:
    """Return a body's (I, J, K) `Material` and `Organ` values and their affine, before any image is made of it.

    Arguments and errors are those of `sample`, and `center`: the middle of the field of view in the body's world, in
    RAS mm. Paint materials with `hounsfield.render`.
    """
    shape = _checked_shape(seed, spacing, field_of_view)
    affine = np.diag([*spacing, 1.0]).astype(np.float64)
    affine[:3, 3] = [c - (n - 1) / 2 * s for c, n, s in zip(center, shape, spacing, strict=True)]
    axes = tuple(affine[k, 3] + spacing[k] * np.arange(shape[k]) for k in range(3))
    torso = Torso(axes, np.random.default_rng([seed, 0]), CENTER_Z)
    _paint(torso)
    return torso.materials, torso.organs, affine


def _paint(torso: Torso) -> None:
    """Paint from the outside in; what comes later lies over what came before."""
    heart, arms = place_heart(torso), place_arms(torso)
    paint_arms(torso, arms)
    paint_wall(torso)
    paint_head(torso)
    paint_back_muscles(torso)
    paint_lungs(torso, heart)
    paint_heart(torso, heart)
    paint_airways(torso, heart)
    paint_aorta(torso, heart)
    paint_great_veins(torso, heart)
    paint_pulmonary_vessels(torso, heart)
    paint_oesophagus(torso, heart)
    paint_thyroid(torso)
    abdomen.paint_abdomen(torso)
    paint_skeleton(torso, arms)
    abdomen.paint_pelvis(torso)
    paint_implants(torso)
    paint_surroundings(torso)


def _checked_shape(seed: int, spacing: Triple, field_of_view: Triple) -> tuple[int, int, int]:
    if seed < 0:
        raise InputError(f"The seed must not be negative, got {seed}; take 0 or more.")
    _check_triple("spacing", spacing, *SPACING_MM)
    _check_triple("field of view", field_of_view, *FIELD_OF_VIEW_MM)
    i, j, k = (max(1, round(f / s)) for f, s in zip(field_of_view, spacing, strict=True))
    if min(i, j, k) < 2:
        raise InputError(f"A phantom needs two voxels along each axis, got {(i, j, k)}; take a smaller spacing.")
    if i * j * k > MOST_VOXELS:
        raise InputError(
            f"A phantom of {(i, j, k)} voxels is too large; take a larger spacing or a smaller field of view."
        )
    return i, j, k


def _check_triple(what: str, values: Triple, low: float, high: float) -> None:
    if len(values) != 3 or not all(low <= v <= high for v in values):  # NaN fails the comparison too
        raise InputError(f"The {what} must be three numbers from {low:g} to {high:g} mm, got {tuple(values)}.")
