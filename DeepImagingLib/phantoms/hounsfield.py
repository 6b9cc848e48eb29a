"""From materials to a CT image: Hounsfield values by contrast phase, texture, blur and noise."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom

from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Bytes, Material

M = Material
Range = tuple[float, float]
Spacing = tuple[float, float, float]


@unique
class Phase(Enum):
    """How long ago contrast agent was given; the value is how often it is drawn."""

    NONE = 0.40
    ARTERIAL = 0.24
    VENOUS = 0.28
    LATE = 0.08


PLAIN: Mapping[Material, Range] = {
    # Hounsfield units without contrast agent; ranges wider than textbooks', so that scanners and diseases fit in
    M.AIR: (-1024, -970),
    M.FAT: (-122, -80),
    M.MUSCLE: (30, 68),
    M.SKIN: (-70, 50),
    M.LUNG: (-920, -650),
    M.LUNG_VESSEL: (-250, 60),
    M.CONSOLIDATION: (-350, 60),
    M.CORTEX: (200, 950),
    M.DISC: (50, 120),
    M.CARTILAGE: (50, 180),
    M.CORD: (15, 48),
    M.LIVER: (35, 70),
    M.SPLEEN: (38, 58),
    M.KIDNEY: (22, 42),
    M.RENAL_PELVIS: (-8, 22),
    M.MYOCARDIUM: (32, 58),
    M.CALCIUM: (200, 900),
    M.STOMACH: (-20, 60),
    M.BOWEL: (12, 58),
    M.STOOL: (-500, 40),
    M.GAS: (-1010, -750),
    M.URINE: (-8, 22),
    M.SOFT: (28, 62),
    M.GALLBLADDER: (-8, 35),
    M.PANCREAS: (10, 52),
    M.CYST: (-5, 25),
    M.TABLE: (-950, 300),
    M.EFFUSION: (-5, 35),
    M.METAL: (3000, 8000),
    M.CLOTH: (-950, -500),
    M.NODULE: (-40, 120),
    M.SUBSOLID_NODULE: (-750, -350),
    M.FLAP: (30, 70),
}

BLOOD = (M.AORTA, M.FALSE_LUMEN, M.LEFT_BLOOD, M.RIGHT_BLOOD, M.VEIN)

ARTERY_RISE: Mapping[Phase, Range] = {Phase.ARTERIAL: (90, 550), Phase.VENOUS: (60, 190), Phase.LATE: (20, 100)}
"""How much contrast agent brightens the aorta."""

BLOOD_SHARE: Mapping[Phase, Mapping[Material, Range]] = {
    Phase.ARTERIAL: {M.LEFT_BLOOD: (0.8, 1.2), M.FALSE_LUMEN: (0.15, 1), M.RIGHT_BLOOD: (0.05, 1.6), M.VEIN: (0, 0.3)},
    Phase.VENOUS: {M.LEFT_BLOOD: (0.85, 1.1), M.FALSE_LUMEN: (0.6, 1), M.RIGHT_BLOOD: (0.85, 1.1), M.VEIN: (0.7, 1.15)},
    Phase.LATE: {M.LEFT_BLOOD: (0.9, 1.1), M.FALSE_LUMEN: (0.9, 1), M.RIGHT_BLOOD: (0.9, 1.1), M.VEIN: (0.9, 1.1)},
}
"""How much other blood brightens, relative to the aorta."""

TISSUE_RISE: Mapping[Phase, Mapping[Material, Range]] = {
    Phase.ARTERIAL: {
        M.MYOCARDIUM: (15, 90), M.LIVER: (0, 35), M.SPLEEN: (20, 120), M.KIDNEY: (30, 180), M.PANCREAS: (10, 90),
        M.BOWEL: (0, 60), M.MUSCLE: (0, 12), M.SOFT: (0, 60), M.LUNG_VESSEL: (0, 250), M.CONSOLIDATION: (0, 80),
    },
    Phase.VENOUS: {
        M.MYOCARDIUM: (30, 90), M.LIVER: (20, 80), M.SPLEEN: (35, 95), M.KIDNEY: (70, 190), M.PANCREAS: (20, 75),
        M.BOWEL: (5, 70), M.MUSCLE: (0, 22), M.SOFT: (15, 90), M.LUNG_VESSEL: (0, 120), M.CONSOLIDATION: (0, 80),
    },
    Phase.LATE: {
        M.MYOCARDIUM: (10, 50), M.LIVER: (10, 60), M.SPLEEN: (10, 60), M.KIDNEY: (30, 130), M.PANCREAS: (5, 40),
        M.BOWEL: (0, 40), M.MUSCLE: (0, 20), M.RENAL_PELVIS: (50, 900), M.URINE: (0, 500),
    },
}  # fmt: skip

TEXTURE: Mapping[Material, Range] = {
    # standard deviation in HU of what varies within the material itself
    M.LUNG: (10, 70), M.STOOL: (40, 240), M.VERTEBRA: (10, 80), M.MARROW: (10, 90), M.VERTEBRA_SHELL: (20, 120),
    M.CORTEX: (30, 300), M.MUSCLE: (4, 14), M.FAT: (4, 16), M.BOWEL: (3, 22), M.STOMACH: (3, 20), M.AIR: (0, 1),
    M.TABLE: (5, 80), M.CONSOLIDATION: (5, 100), M.LEFT_BLOOD: (1, 20), M.RIGHT_BLOOD: (1, 50), M.KIDNEY: (3, 25),
}  # fmt: skip


def render(materials: Bytes, spacing: Spacing, rng: np.random.Generator) -> Field:
    """Return a CT image in HU of the (I, J, K) materials, with a contrast phase, texture, blur and noise at random.

    Args:
        materials: Values of `Material`.
        spacing: Voxel size in mm.
        rng: Where everything random comes from.
    """
    mean, spread = draw_values(rng)
    grain = rng.uniform(0, 1)
    texture = grain * _patchy(rng, materials.shape, 2) + (1 - grain) * _white(rng, materials.shape)
    image = mean[materials] + spread[materials] * (texture + 0.3 * _patchy(rng, materials.shape, 6))
    air = materials == M.AIR
    image += _patchy(rng, materials.shape, 12) * np.where(air, rng.uniform(0, 15), rng.uniform(0, 5)).astype(np.float32)
    blur_mm = rng.uniform(1.0, 3.0)
    image = gaussian_filter(image, [blur_mm / s * rng.uniform(0.8, 1.2) for s in spacing], truncate=2.5)
    if rng.random() < 0.4:
        _cut_circle(image, air, spacing, rng)
    noise = _white(rng, image.shape)
    if rng.random() < 0.5:
        noise = gaussian_filter(noise, 0.7) * 3.4  # filtered reconstructions have grain; the factor keeps the strength
    return np.asarray(image + noise * rng.uniform(3, 28), np.float32)


def draw_values(rng: np.random.Generator) -> tuple[Field, Field]:
    """Draw each material's mean and texture (standard deviation) in HU, tables to be indexed by `Material`."""
    draw = {material: float(rng.uniform(*span)) for material, span in PLAIN.items()}
    blood = rng.uniform(28, 55)
    draw.update({material: blood + rng.uniform(-3, 3) for material in BLOOD})
    _draw_bone(draw, rng)
    phases = list(Phase)
    phase = phases[int(rng.choice(len(phases), p=[p.value for p in phases]))]
    _enhance(draw, phase, rng)
    draw[M.TUMOUR] = draw[M.LIVER] + rng.uniform(-50, 30)
    if rng.random() < 0.2:  # oral contrast agent
        draw[M.STOMACH] += rng.uniform(60, 350)
        draw[M.STOOL] += rng.uniform(100, 400)
    if rng.random() < 0.15:  # fatty liver
        draw[M.LIVER] -= rng.uniform(10, 40)
    spread = np.full(len(M), rng.uniform(0, 8), np.float32)
    for material, span in TEXTURE.items():
        spread[material] = rng.uniform(*span)
    return np.array([draw[material] for material in M], np.float32), spread


def _draw_bone(draw: dict[Material, float], rng: np.random.Generator) -> None:
    """Spongy bone from osteoporotic to dense, and marrow between red and fatty (down to -90 HU)."""
    spongy = rng.uniform(60, 280) if rng.random() < 0.75 else rng.uniform(-20, 90)
    draw[M.VERTEBRA] = spongy
    draw[M.MARROW] = spongy * rng.uniform(0, 0.8) + rng.uniform(-90, 60) * rng.uniform(0, 1)
    draw[M.VERTEBRA_SHELL] = spongy + rng.uniform(10, 350)


def _enhance(draw: dict[Material, float], phase: Phase, rng: np.random.Generator) -> None:
    if phase is Phase.NONE:
        return
    artery = rng.uniform(*ARTERY_RISE[phase])
    draw[M.AORTA] += artery
    for material, share in BLOOD_SHARE[phase].items():
        draw[material] += artery * rng.uniform(*share)
    for material, rise in TISSUE_RISE[phase].items():
        draw[material] += rng.uniform(*rise)


def _white(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    return rng.standard_normal(shape, dtype=np.float32)


def _patchy(rng: np.random.Generator, shape: tuple[int, ...], size: int) -> Field:
    """Return noise that varies over `size` voxels, with a standard deviation of about 1."""
    coarse = _white(rng, tuple(max(2, s // size + 1) for s in shape))
    factors = [s / c for s, c in zip(shape, coarse.shape, strict=True)]
    return np.asarray(zoom(coarse, factors, order=1, mode="nearest") * 1.6, np.float32)


def _cut_circle(image: Field, air: npt.NDArray[np.bool_], spacing: Spacing, rng: np.random.Generator) -> None:
    """Fill the air outside of the scanner's circle with -1024, as reconstructions do."""
    half = [n * s / 2 for n, s in zip(image.shape, spacing, strict=True)]
    x = (np.arange(image.shape[0]) * spacing[0] - half[0])[:, None] + rng.uniform(-30, 30)
    y = (np.arange(image.shape[1]) * spacing[1] - half[1])[None, :] + rng.uniform(-30, 30)
    image[(np.hypot(x, y) > rng.uniform(170, 260))[..., None] & air] = -1024
