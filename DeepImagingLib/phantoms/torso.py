"""What a torso is made of and what its parts are called, and the canvas they are painted on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto, unique

import numpy as np
import numpy.typing as npt

from DeepImagingLib.phantoms.shapes import OUTSIDE_MM, Field, Mask
from DeepImagingLib.phantoms.torso_frame import Frame

Bytes = npt.NDArray[np.uint8]


@unique
class Material(IntEnum):
    """What a voxel is made of; decides its Hounsfield value, not its name."""

    AIR = 0
    FAT = auto()
    MUSCLE = auto()
    SKIN = auto()
    LUNG = auto()
    LUNG_VESSEL = auto()
    CONSOLIDATION = auto()
    CORTEX = auto()
    MARROW = auto()
    VERTEBRA_SHELL = auto()
    VERTEBRA = auto()
    DISC = auto()
    CARTILAGE = auto()
    CORD = auto()
    LIVER = auto()
    SPLEEN = auto()
    KIDNEY = auto()
    RENAL_PELVIS = auto()
    MYOCARDIUM = auto()
    LEFT_BLOOD = auto()
    RIGHT_BLOOD = auto()
    AORTA = auto()
    FALSE_LUMEN = auto()
    VEIN = auto()
    CALCIUM = auto()
    STOMACH = auto()
    BOWEL = auto()
    STOOL = auto()
    GAS = auto()
    URINE = auto()
    SOFT = auto()
    GALLBLADDER = auto()
    PANCREAS = auto()
    CYST = auto()
    TUMOUR = auto()
    TABLE = auto()
    EFFUSION = auto()
    METAL = auto()
    CLOTH = auto()
    NODULE = auto()
    SUBSOLID_NODULE = auto()
    FLAP = auto()
    SOFT_STOOL = auto()
    ORAL_CONTRAST = auto()
    FOOD = auto()
    FLUID = auto()
    MEDULLA = auto()
    RENAL_VEIN = auto()
    PORTAL = auto()
    CONTRAST_URINE = auto()
    GALLSTONE = auto()
    UTERUS = auto()
    ASCITES = auto()
    HAZY_FAT = auto()
    PLASTIC = auto()
    FOAM = auto()
    PADDING = auto()


@unique
class Organ(IntEnum):
    """What a voxel belongs to: the label values, and the channels of a network trained on them."""

    BACKGROUND = 0
    OTHER_TISSUE = 1
    RIGHT_LUNG = 2
    LEFT_LUNG = 3
    HEART = 4
    AORTA = 5
    LIVER = 6
    SPLEEN = 7
    RIGHT_KIDNEY = 8
    LEFT_KIDNEY = 9
    URINARY_BLADDER = 10
    STOMACH = 11
    GALLBLADDER = 12
    PANCREAS = 13
    BOWEL = 14
    VENA_CAVA = 15
    PULMONARY_VESSELS = 16
    AIRWAYS = 17
    SPINE = 18
    RIBS = 19
    HIPS = 20
    SACRUM = 21
    FEMURS = 22
    OTHER_BONE = 23


class Torso(Frame):
    """A body to paint on, with the landmarks its organs are placed by.

    Attributes:
        materials, organs: (I, J, K) what has been painted so far.
        arms: Distance to the arms' skin, in mm, once they are painted.
    """

    def __init__(self, axes: tuple[npt.NDArray[np.float64], ...], rng: np.random.Generator, center_z: float) -> None:
        super().__init__(axes, rng, center_z)
        self.materials: Bytes = np.zeros(self.x.shape, np.uint8)
        self.organs: Bytes = np.zeros(self.x.shape, np.uint8)
        self.arms: Field = np.full(self.x.shape, OUTSIDE_MM, np.float32)

    def paint(self, where: Mask, material: Material, organ: Organ = Organ.OTHER_TISSUE) -> None:
        """Make voxels of a material, part of an organ (by default, of the body's other tissue)."""
        self.materials[where] = material
        self.organs[where] = organ

    def is_made_of(self, *materials: Material) -> Mask:
        """Return where the last paint was one of these."""
        return _among(self.materials, materials)

    def belongs_to(self, *organs: Organ) -> Mask:
        """Return where the last paint belonged to one of these."""
        return _among(self.organs, organs)


def _among(values: Bytes, wanted: Sequence[int]) -> Mask:
    table = np.zeros(256, bool)
    table[list(wanted)] = True
    return np.asarray(table[values], bool)
