"""The torso's stage: what it is made of, its landmarks, its wall, and the canvas organs are painted on.

Coordinates are millimetres of a body of average size lying at rest: x right, y anterior, z superior, with the hip
joints at z = 0, the iliac crests near 110, the diaphragm's domes near 300 to 370 and the lungs' tips near 535.
"""

from __future__ import annotations

from enum import IntEnum, auto, unique

import numpy as np
import numpy.typing as npt

from DeepImagingLib.phantoms.shapes import Field, Mask, Space

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


@unique
class Organ(IntEnum):
    """What a voxel belongs to: the label values, and the channels of a network trained on them."""

    BACKGROUND = 0
    BODY = 1
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


class Torso(Space):
    """A body to paint on, with the landmarks its organs are placed by.

    Attributes:
        materials, organs: (I, J, K) what has been painted so far.
        body: Distance to the skin; `muscle`: to the outside of the muscles; `cavity`: to the inside of the wall, in mm.
        spine_x, spine_y: Where the vertebral bodies' centres lie at each point's height.
        dome: Height of the diaphragm above each point; `dome_z`: of its lower dome; `apex_z`: of the lungs' tips.
        depth: Half of the body's depth relative to an average one.
        fat: Thickness of the fat under the skin in mm, roughly.
        scale: Size of this body relative to an average one, along x, y and z.
    """

    SPINE_Z = (-40, 30, 80, 150, 250, 350, 450, 560)

    def __init__(self, axes: tuple[npt.NDArray[np.float64], ...], rng: np.random.Generator, center_z: float) -> None:
        super().__init__(axes, rng)
        size, aspect = self.between(0.88, 1.12), self.between(0.92, 1.08)
        height = size * self.between(0.86, 1.0)  # kept short: pelvis to heart in one field of view of 420 mm
        self.scale = (size * aspect, size / aspect**0.5, height)
        self.deform(self.scale, (0.0, 0.0, -center_z * height), self.between(2, 5), self.between(0.4, 1.4))
        self.materials: Bytes = np.zeros(self.x.shape, np.uint8)
        self.organs: Bytes = np.zeros(self.x.shape, np.uint8)
        self._shape_wall()
        self._shape_spine()
        self._shape_diaphragm()

    def paint(self, where: Mask, material: Material, organ: Organ = Organ.BODY) -> None:
        """Make voxels of a material, part of an organ (by default, of the body's other tissue)."""
        self.materials[where] = material
        self.organs[where] = organ

    def is_made_of(self, *materials: Material) -> Mask:
        """Return where the last paint was one of these."""
        return np.isin(self.materials, materials)

    def belongs_to(self, *organs: Organ) -> Mask:
        """Return where the last paint belonged to one of these."""
        return np.isin(self.organs, organs)

    def spine_y_at(self, z: float) -> float:
        """Return how far anterior the vertebral bodies' centres lie at a height."""
        return float(np.interp(z, self.SPINE_Z, self._spine_curve))

    @property
    def abdomen(self) -> Mask:
        """Inside the wall and below the diaphragm."""
        return (self.cavity < 0) & (self.z < self.dome) & self._above_pelvic_floor

    @property
    def thorax(self) -> Mask:
        """Inside the ribs and above the diaphragm."""
        return (self.cavity < -2) & (self.z > self.dome + 3)

    def _shape_wall(self) -> None:
        """Superelliptic cross-sections, a belly, and fat that is thicker behind and below."""
        z = (-80, 0, 60, 130, 230, 330, 430, 520, 580, 640)
        jitter = self.rng.uniform(0.95, 1.05, (2, len(z)))
        self.depth = self.between(0.88, 1.25)
        half_width = self.along_z(z, np.multiply((150, 160, 158, 140, 138, 145, 150, 150, 120, 70), jitter[0]))
        half_depth = self.along_z(z, np.multiply((88, 95, 95, 85, 92, 105, 108, 95, 80, 65), jitter[1])) * self.depth
        belly = self.between(0, 1) ** 2 * 35 * np.exp(-(((self.z - 150) / self.between(70, 110)) ** 2))
        half_depth = (half_depth + belly * (self.y > 0)).astype(np.float32)
        power = self.between(2.1, 2.9)
        outer = self._superellipse(half_width, half_depth, power)
        self.fat = self.between(0, 1) ** 1.5 * 32 + 3
        around = self.between(0.1, 0.5) * np.sin(2 * np.arctan2(self.y, self.x) + self.between(0, 6))
        lower = 0.35 * self.along_z((0, 100, 300, 600), (1.2, 1, 0.6, 0.3))
        self.body: Field = (outer - self.fat * (1 + around + lower) + self.bumps(60, 2)).astype(np.float32)
        self.muscle = outer
        wall = self.between(9, 18)
        self.cavity = self._superellipse(half_width - wall, half_depth - wall, power, y=4)

    def _superellipse(self, width: Field, depth: Field, power: float, y: float = 0.0) -> Field:
        radius = ((np.abs(self.x) / width) ** power + (np.abs(self.y - y) / depth) ** power) ** (1 / power)
        return np.asarray((radius - 1) * np.minimum(width, depth), np.float32)

    def _shape_spine(self) -> None:
        """Lordosis and kyphosis, and a slight bend to the side."""
        bend = 10 * self.between(0.6, 1.4)
        curve = np.array((-70, -62, -45 + bend, -45 + 1.7 * bend, -45 + bend, -48 - 0.7 * bend, -50 - 1.2 * bend, -45))
        self._spine_curve = curve * min(self.depth, 1.1) + self.between(-6, 6)
        self.spine_y = self.along_z(self.SPINE_Z, self._spine_curve)
        wave = np.sin((self.z - self.between(0, 500)) / self.between(60, 140))
        self.spine_x: Field = (self.between(-8, 8) * wave).astype(np.float32)

    def _shape_diaphragm(self) -> None:
        """Two domes, the right one higher over the liver, with a saddle under the heart."""
        self.dome_z, self.apex_z = self.between(295, 360), self.between(515, 555)
        curvature = 2 * self.between(95, 130)
        fall = ((np.abs(self.x) - 70) ** 2 + self.y**2) / curvature
        right = np.where(self.x > 0, self.between(0, 22), 0)
        saddle = np.where(np.abs(self.x) < 35, self.between(0, 15), 0)
        self.dome: Field = (self.dome_z - fall + right - saddle + self.bumps(50, 3)).astype(np.float32)
        floor = np.interp(self.y, (-100, 0, 90), (40, 20, 10)) - self.between(40, 70)
        self._above_pelvic_floor: Mask = (self.y > self.spine_y - 40) & (self.z > floor)


def paint_wall(torso: Torso) -> None:
    """Skin, fat, muscle and the diaphragm; everything else is painted over them."""
    inside = torso.body < 0
    torso.paint(inside, Material.FAT)
    torso.paint(inside & (torso.body > -2.5), Material.SKIN)
    torso.paint(torso.muscle < 0, Material.MUSCLE)
    torso.paint(torso.abdomen, Material.FAT)
    torso.paint((torso.cavity < 0) & (np.abs(torso.z - torso.dome) < 3), Material.MUSCLE)
    torso.paint(torso.abdomen & (torso.z < 60) & (np.abs(torso.x) > torso.between(70, 85)), Material.MUSCLE)


def paint_back_muscles(torso: Torso) -> None:
    """Erector spinae, psoas, quadratus lumborum and the gluteals, streaked with fat."""
    strength = torso.between(0.8, 1.15)
    for side in (-1, 1):
        erector = (torso.between(24, 32) * strength, torso.between(20, 30) * strength, 330.0)
        behind = torso.ellipsoid((side * torso.between(28, 36), -62, 260), erector)
        torso.paint((behind < 0) & (torso.muscle < 0) & ~torso.thorax, Material.MUSCLE)
        square = torso.ellipsoid((side * 68, torso.between(-62, -48), 175), (torso.between(14, 22), 10, 60))
        torso.paint((square < 0) & (torso.muscle < 0), Material.MUSCLE)
        torso.paint((_psoas(torso, side, strength) < 0) & (torso.z < 270) & (torso.muscle < 0), Material.MUSCLE)
    buttocks = torso.z < 130 - np.abs(torso.y + 60) * 0.3 + torso.bumps(40, 8)
    deep = torso.body < -8 - 0.5 * torso.fat
    torso.paint(buttocks & deep & (torso.y < -25) & (np.abs(torso.x) > 14), Material.MUSCLE)
    streaks = np.abs(torso.bumps(torso.between(14, 22), 1)) < torso.between(0.02, 0.18)
    torso.paint(torso.is_made_of(Material.MUSCLE) & streaks, Material.FAT)


def _psoas(torso: Torso, side: int, strength: float) -> Field:
    """Beside the lumbar spine, drifting outward and forward on its way to the hip."""
    lateral = side * (34 + np.clip((170 - torso.z) * 0.22, -8, 45))
    anterior = torso.spine_y + np.clip((170 - torso.z) * 0.25, -4, 40)
    radii = (16, torso.between(20, 30) * strength, torso.between(18, 28) * strength, 10, 2)
    distance = np.hypot(torso.x - torso.spine_x - lateral, torso.y - anterior)
    return np.asarray(distance - torso.along_z((-20, 60, 150, 240, 270), radii), np.float32)


def paint_arms(torso: Torso) -> None:
    """Arms beside the body, as in scans of patients who can't lift them."""
    for side in (-1, 1):
        start = (side * (190 + torso.fat), torso.between(-35, 25), 540.0)
        end = (start[0] + side * torso.between(0, 30), start[1] + torso.between(-20, 40), 100.0)
        arm = torso.tube((start, end), (torso.between(38, 50), torso.between(32, 42)))
        shaft = torso.tube((start, end), (torso.between(11, 15), torso.between(9, 12)))
        beside = torso.body > 0
        torso.paint((arm < 0) & beside, Material.FAT)
        torso.paint((arm < -torso.between(3, 12)) & beside, Material.MUSCLE)
        torso.paint((shaft < 0) & beside, Material.CORTEX, Organ.OTHER_BONE)
        torso.paint((shaft < -5) & beside, Material.MARROW, Organ.OTHER_BONE)


def paint_surroundings(torso: Torso) -> None:
    """The table, a blanket or tube on the patient; drawn last, in the air only."""
    x, y = (torso.axes[0][:, None, None], torso.axes[1][None, :, None])
    back = float(np.interp(torso.fat, (0, 40), (-100, -140))) * torso.scale[1] * torso.depth
    back -= torso.between(0, 25)
    below = y - back - torso.between(0, 0.0018) * x**2
    table = (np.abs(below) < torso.between(2, 5)) | (np.abs(below + torso.between(25, 50)) < torso.between(1, 4))
    everywhere = np.broadcast_to(table & (np.abs(x) < torso.between(150, 240)), torso.x.shape)
    torso.paint(everywhere & torso.is_made_of(Material.AIR), Material.TABLE, Organ.BACKGROUND)
    if torso.chance(0.3):
        ends = [(torso.between(-150, 150), 115 * torso.depth, torso.between(0, 500)) for _ in range(2)]
        torso.paint((torso.tube(ends, (3, 3)) < 0) & torso.is_made_of(Material.AIR), Material.TABLE, Organ.BACKGROUND)
