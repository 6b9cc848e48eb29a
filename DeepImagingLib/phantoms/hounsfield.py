"""From materials to a CT image: Hounsfield values by tube voltage, contrast phase and disease, and their texture.

Without contrast agent, organs lie within the ranges of Lamba et al. (AJR 2014, 203:1013), fatty livers below 40 HU
(Kodama et al., AJR 2007, 188:1307), spongy bone from -20 to 280 HU (Pickhardt et al., Ann Intern Med 2013, 158:588);
what contrast agent adds follows Bae (Radiology 2010, 256:32). All ranges are wider, so that scanners and diseases fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique

import numpy as np

from DeepImagingLib.phantoms.scanner import ANY, Resolution, Spacing, patchy, scan
from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Bytes, Material

M = Material
Range = tuple[float, float]


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
    M.TABLE: (-450, 500),
    M.EFFUSION: (-5, 35),
    M.METAL: (3000, 8000),
    M.CLOTH: (-950, -500),
    M.NODULE: (-40, 120),
    M.SUBSOLID_NODULE: (-750, -350),
    M.FLAP: (30, 70),
    M.SOFT_STOOL: (10, 65),
    M.ORAL_CONTRAST: (80, 600),
    M.FOOD: (-60, 80),
    M.FLUID: (-5, 30),
    M.MEDULLA: (22, 42),
    M.CONTRAST_URINE: (40, 900),
    M.GALLSTONE: (-40, 350),
    M.UTERUS: (35, 60),
    M.ASCITES: (-8, 30),
    M.HAZY_FAT: (-85, -10),
    M.PLASTIC: (-50, 500),
    M.FOAM: (-990, -850),
    M.PADDING: (-1024, -1000),
}

LEAST_HAZE = 150.0
"""How much denser than the lung around it ground glass is at least, in HU; less is no nodule that anyone sees."""

BLOOD = (M.AORTA, M.FALSE_LUMEN, M.LEFT_BLOOD, M.RIGHT_BLOOD, M.VEIN, M.RENAL_VEIN, M.PORTAL)

KILOVOLTS = {80: (1.6, 1.25), 100: (1.25, 1.1), 120: (1.0, 1.0), 140: (0.87, 0.93)}
"""How much brighter iodine and bone are at each tube voltage than at 120 kVp: rounded, by eye and from no source."""

KILOVOLT_SHARES = (0.08, 0.27, 0.57, 0.08)

ARTERY_RISE: Mapping[Phase, Range] = {Phase.ARTERIAL: (80, 480), Phase.VENOUS: (55, 160), Phase.LATE: (20, 90)}
"""How much contrast agent brightens the aorta at 120 kVp."""

BLOOD_SHARE: Mapping[Phase, Mapping[Material, Range]] = {
    # early arterial phases have dark portal veins, late ones bright; the right heart leads in pulmonary ones
    Phase.ARTERIAL: {
        M.LEFT_BLOOD: (0.8, 1.2), M.FALSE_LUMEN: (0.15, 1), M.RIGHT_BLOOD: (0.05, 1.6), M.VEIN: (0, 0.3),
        M.RENAL_VEIN: (0.1, 0.9), M.PORTAL: (0, 0.6),
    },
    Phase.VENOUS: {
        M.LEFT_BLOOD: (0.85, 1.1), M.FALSE_LUMEN: (0.6, 1), M.RIGHT_BLOOD: (0.85, 1.1), M.VEIN: (0.45, 1.15),
        M.RENAL_VEIN: (0.8, 1.2), M.PORTAL: (0.85, 1.3),
    },
    Phase.LATE: {
        M.LEFT_BLOOD: (0.9, 1.1), M.FALSE_LUMEN: (0.9, 1), M.RIGHT_BLOOD: (0.9, 1.1), M.VEIN: (0.9, 1.1),
        M.RENAL_VEIN: (0.9, 1.1), M.PORTAL: (0.9, 1.1),
    },
}  # fmt: skip
"""How much other blood brightens, relative to the aorta."""

TISSUE_RISE: Mapping[Phase, Mapping[Material, Range]] = {
    # kidneys show their cortex first, then an even nephrogram; tumours and cysts keep their own
    Phase.ARTERIAL: {
        M.MYOCARDIUM: (15, 90), M.LIVER: (0, 35), M.SPLEEN: (15, 120), M.KIDNEY: (40, 190), M.MEDULLA: (0, 70),
        M.PANCREAS: (10, 90), M.BOWEL: (5, 85), M.MUSCLE: (0, 12), M.SOFT: (0, 60), M.LUNG_VESSEL: (0, 250),
        M.CONSOLIDATION: (0, 80), M.UTERUS: (0, 80), M.SKIN: (0, 20), M.NODULE: (0, 50),
    },
    Phase.VENOUS: {
        M.MYOCARDIUM: (30, 90), M.LIVER: (20, 80), M.SPLEEN: (35, 95), M.KIDNEY: (80, 190), M.MEDULLA: (60, 185),
        M.PANCREAS: (20, 75), M.BOWEL: (10, 75), M.MUSCLE: (0, 22), M.SOFT: (15, 90), M.LUNG_VESSEL: (0, 120),
        M.CONSOLIDATION: (0, 80), M.UTERUS: (20, 110), M.SKIN: (0, 25), M.NODULE: (0, 50),
    },
    Phase.LATE: {
        M.MYOCARDIUM: (10, 50), M.LIVER: (10, 60), M.SPLEEN: (10, 60), M.KIDNEY: (30, 130), M.MEDULLA: (30, 150),
        M.PANCREAS: (5, 40), M.BOWEL: (0, 40), M.MUSCLE: (0, 20), M.RENAL_PELVIS: (50, 900), M.URINE: (0, 500),
        M.SOFT: (10, 60), M.UTERUS: (20, 80),
    },
}  # fmt: skip
"""How much tissue brightens at 120 kVp."""

PATCHES: Mapping[Phase, Mapping[Material, Range]] = {
    # standard deviation in HU over centimetres: mottled spleens, blood that has not mixed
    Phase.NONE: {},
    Phase.ARTERIAL: {
        M.SPLEEN: (0, 35), M.RIGHT_BLOOD: (0, 60), M.VEIN: (0, 40), M.LIVER: (0, 8), M.KIDNEY: (0, 20),
        M.FALSE_LUMEN: (0, 40), M.UTERUS: (0, 25), M.BOWEL: (0, 15), M.PORTAL: (0, 20),
    },
    Phase.VENOUS: {M.VEIN: (0, 30), M.LIVER: (0, 8), M.SPLEEN: (0, 5), M.UTERUS: (0, 20), M.BOWEL: (0, 12)},
    Phase.LATE: {M.URINE: (0, 60), M.RENAL_PELVIS: (0, 100)},
}  # fmt: skip

TEXTURE: Mapping[Material, Range] = {
    # standard deviation in HU of what varies from voxel to voxel within the material itself
    M.LUNG: (10, 70), M.STOOL: (40, 240), M.VERTEBRA: (10, 80), M.MARROW: (10, 90), M.VERTEBRA_SHELL: (20, 120),
    M.CORTEX: (30, 300), M.MUSCLE: (4, 14), M.FAT: (4, 16), M.BOWEL: (3, 22), M.STOMACH: (3, 20), M.AIR: (0, 1),
    M.TABLE: (5, 80), M.CONSOLIDATION: (5, 100), M.LEFT_BLOOD: (1, 20), M.RIGHT_BLOOD: (1, 50), M.KIDNEY: (3, 25),
    M.FOOD: (10, 120), M.SOFT_STOOL: (2, 22), M.PANCREAS: (4, 25), M.HAZY_FAT: (5, 30), M.FOAM: (1, 20),
    M.CLOTH: (10, 120), M.PLASTIC: (5, 80), M.GALLSTONE: (5, 80), M.TUMOUR: (2, 25), M.MEDULLA: (2, 15),
    M.FLUID: (1, 12), M.GAS: (2, 15), M.ASCITES: (1, 8), M.PADDING: (0, 1),
}  # fmt: skip


def render(
    materials: Bytes,
    spacing: Spacing,
    rng: np.random.Generator,
    thin: Field | None = None,
    resolution: Resolution = ANY,
) -> Field:
    """Return a CT image in HU of the (I, J, K) materials: values, texture and a scanner at random.

    Args:
        materials: Values of `Material`.
        spacing: Voxel size in mm.
        rng: Where everything random comes from.
        thin: Share of vessel in each voxel of lung, 0 to 1, for what is thinner than voxels are.
        resolution: From which that of the scan is drawn.
    """
    mean, texture, patches = draw_values(rng)
    grain = rng.uniform(0, 1)
    fine = grain * patchy(rng, materials.shape, 2)
    fine += (1 - grain) * rng.standard_normal(materials.shape, dtype=np.float32)
    image = mean[materials] + texture[materials] * fine
    image += (patches + 0.3 * texture)[materials] * patchy(rng, materials.shape, int(rng.integers(3, 7)))
    if thin is not None:
        image += thin * (materials == M.LUNG) * (mean[M.LUNG_VESSEL] - image)
    return scan(image, materials, spacing, rng, resolution)


def draw_values(rng: np.random.Generator, phase: Phase | None = None) -> tuple[Field, Field, Field]:
    """Draw each material's mean, texture and patchiness (standard deviations) in HU, to be indexed by `Material`.

    The contrast phase is drawn too, unless it is given.
    """
    draw = {material: float(rng.uniform(*span)) for material, span in PLAIN.items()}
    draw[M.SUBSOLID_NODULE] = max(draw[M.SUBSOLID_NODULE], draw[M.LUNG] + LEAST_HAZE)
    blood = rng.uniform(28, 55)  # anaemic to thick
    draw.update({material: blood + rng.uniform(-3, 3) for material in BLOOD})
    draw[M.MEDULLA] = draw[M.KIDNEY] + rng.uniform(-3, 3)
    iodine, bone = KILOVOLTS[int(rng.choice(list(KILOVOLTS), p=KILOVOLT_SHARES))]
    _draw_bone(draw, bone, rng)
    _draw_liver(draw, rng)
    phase = phase or list(Phase)[int(rng.choice(len(Phase), p=[p.value for p in Phase]))]
    _enhance(draw, phase, iodine, rng)
    draw[M.TUMOUR] = draw[M.LIVER] + rng.uniform(-60, 35)
    _draw_oral_contrast(draw, rng)
    patches = {M.AIR: rng.uniform(0, 8), M.FAT: rng.uniform(0, 6), M.LIVER: rng.uniform(0, 4)}
    patches.update({material: rng.uniform(*span) for material, span in PATCHES[phase].items()})
    texture = np.full(len(M), rng.uniform(0, 8), np.float32)
    for material, span in TEXTURE.items():
        texture[material] = rng.uniform(*span)
    mean = np.array([draw[material] for material in M], np.float32)
    return mean, texture, np.array([patches.get(material, 0) for material in M], np.float32)


def _draw_bone(draw: dict[Material, float], brightness: float, rng: np.random.Generator) -> None:
    """Spongy bone from osteoporotic to dense, and marrow between red and fatty (down to -90 HU)."""
    spongy = rng.uniform(60, 280) if rng.random() < 0.75 else rng.uniform(-20, 90)
    draw[M.VERTEBRA] = spongy * brightness
    draw[M.MARROW] = spongy * rng.uniform(0, 0.8) + rng.uniform(-90, 60) * rng.uniform(0, 1)
    draw[M.VERTEBRA_SHELL] = (spongy + rng.uniform(10, 350)) * brightness
    for material in (M.CORTEX, M.CALCIUM):
        draw[material] *= brightness


def _draw_liver(draw: dict[Material, float], rng: np.random.Generator) -> None:
    """Now and then fatty, seldom dense with iron or amiodarone."""
    disease = rng.random()
    if disease < 0.2:
        draw[M.LIVER] -= rng.uniform(10, 55)
    elif disease > 0.96:
        draw[M.LIVER] += rng.uniform(15, 50)


def _enhance(draw: dict[Material, float], phase: Phase, iodine: float, rng: np.random.Generator) -> None:
    if phase is Phase.NONE:
        return
    artery = rng.uniform(*ARTERY_RISE[phase]) * iodine
    draw[M.AORTA] += artery
    for material, share in BLOOD_SHARE[phase].items():
        draw[material] += artery * rng.uniform(*share)
    for material, rise in TISSUE_RISE[phase].items():
        draw[material] += rng.uniform(*rise) * iodine
    draw[M.BOWEL] = min(draw[M.BOWEL], draw[M.KIDNEY])


def _draw_oral_contrast(draw: dict[Material, float], rng: np.random.Generator) -> None:
    """In the stomach and small bowel, or in the colon hours later."""
    if rng.random() < 0.13:
        for material in (M.STOMACH, M.FLUID, M.FOOD):
            draw[material] += rng.uniform(40, 350)
    if rng.random() < 0.1:
        for material in (M.STOOL, M.SOFT_STOOL):
            draw[material] += rng.uniform(60, 400)
