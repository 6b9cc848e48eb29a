"""The torso's frame: build and sex, the outer shape, the wall and its cavity, the spine's curve, the diaphragm.

Coordinates are millimetres of a body of average size lying at rest: x right, y anterior, z superior, with the hip
joints at z = 0, the iliac crests near 110, the diaphragm's domes near 300 to 370 and the lungs' tips near 535.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from DeepImagingLib.phantoms.shapes import REACH_MM, Field, Mask, Point, Space

SACRUM_Z = 88.0
"""Where the sacrum ends and the lumbar spine begins."""

BACK_Z, BACK_SHARE = (90, 180, 350, 450, 530), (0, 1, 1, 0.6, 0.1)
"""Where the ribs reach back beside the spine: liver and lungs lie up to 45 to 70 mm behind its bodies' centres."""

LEVELS_MM = (35, 35, 35, 35, 34, 29, 28, 26.5, 25.5, 25, 24.5, 24, 23.5, 22.5, 21.5, 20.5, 19.5, 18, 17, 17, 17, 17, 18)
"""Height of each vertebra with the disc below it, L5 to L1, T12 to T1 and C7 to C2 (Panjabi et al., Spine 1991-92)."""

EDGES_Z = SACRUM_Z + np.concatenate(([0.0], np.cumsum(LEVELS_MM)))
"""Where each of these begins, from L5 (0) upwards; T12 is 5, T1 is 16, C7 is 17."""


@unique
class Arms(Enum):
    """How the arms lie; the value is how often."""

    UP = 0.7
    DOWN = 0.3


@dataclass(frozen=True)
class Build:
    """Sex and build of one adult.

    Attributes:
        female: Wider hips, narrower shoulders, breasts.
        size: Relative to the average, (x, y, z). Adult heights spread by 4 % around the mean of their sex (ICRP 89).
        fat: Thickness of the fat under the skin in mm, roughly, from wasted (2) to obese (50).
        visceral_fat: How much fat lies between the organs, 0 (nearly none) to 1 (very much).
        muscle: Strength of the muscles, 1 on average.
        arms: How the arms lie.
    """

    female: bool
    size: Point
    fat: float
    visceral_fat: float
    muscle: float
    arms: Arms


def draw_build(rng: np.random.Generator) -> Build:
    """Draw a person: fat and the fat between the organs go together, more outside in women and inside in men."""
    female = bool(rng.random() < 0.5)
    size, aspect = rng.uniform(0.9, 1.1) - 0.04 * female, rng.uniform(0.93, 1.07)
    plump = rng.uniform(0, 1)
    inside = float(np.clip(plump + rng.uniform(-0.35, 0.35) - 0.15 * female, 0, 1))
    return Build(
        female=female,
        size=(size * aspect, size / aspect**0.5, size * rng.uniform(0.95, 1.06)),
        fat=float(2 + 36 * plump**1.7 * rng.uniform(0.8, 1.2) * (1.2 if female else 0.9)),
        visceral_fat=inside,
        muscle=float(rng.uniform(0.78, 1.1)),
        arms=list(Arms)[int(rng.choice(2, p=[a.value for a in Arms]))],
    )


class Frame(Space):
    """A body's shape, and the landmarks its organs are placed by.

    Attributes:
        build: Sex, size, fat and muscle.
        body: Distance to the skin; `muscle`: to the outside of the muscles; `cavity`: to the inside of the wall, in mm.
        spine_x, spine_y: Where the vertebral bodies' centres lie at each point's height.
        dome: Height of the diaphragm above each point; `dome_z`: of its lower dome; `apex_z`: of the lungs' tips.
        depth: Half of the body's depth relative to an average one.
        fat: Thickness of the fat under the skin in mm, roughly; `visceral_fat`: between the organs, 0 to 1.
        scale: Size of this body relative to an average one, along x, y and z.
        groove_slope: How steeply the back of the cavity falls away beside the spine, mm a mm.
    """

    SPINE_Z = (-60, 30, 88, 150, 200, 260, 350, 440, 500, 560, 610, 670)

    def __init__(self, axes: tuple[npt.NDArray[np.float64], ...], rng: np.random.Generator, center_z: float) -> None:
        super().__init__(axes, rng)
        self.build = draw_build(rng)
        self.scale, self.fat, self.visceral_fat = self.build.size, self.build.fat, self.build.visceral_fat
        self.deform(self.scale, (0.0, 0.0, -center_z * self.scale[2]), self.between(2, 5), self.between(0.4, 1.4))
        self.dome_z, self.apex_z = self.between(302, 374), self.between(520, 552)
        self.depth = self.between(0.88, 1.15) + 0.12 * self.visceral_fat
        self._powers = (self.between(2.1, 2.7), self.between(2.3, 3.6))  # who lies on the back has a flat one
        self._back, self._thin, self._broad = self.between(0, 28), self.between(2, 9), self.between(0.97, 1.12)
        self._shape_spine()
        self._shape_wall()
        self._shape_skin()
        self._shape_cavity()
        self._shape_diaphragm()

    @property
    def abdomen(self) -> Mask:
        """Inside the wall and below the diaphragm."""
        return (self.cavity < 0) & (self.z < self.dome) & self._above_pelvic_floor

    @property
    def thorax(self) -> Mask:
        """Inside the ribs and above the diaphragm."""
        return (self.cavity < -2) & (self.z > self.dome + 3)

    def spine_y_at(self, z: float) -> float:
        """Return how far anterior the vertebral bodies' centres lie at a height."""
        return float(self._spine_y(np.clip(z, self.SPINE_Z[0], self.SPINE_Z[-1])))

    def spine_x_at(self, z: float) -> float:
        """Return how far right the vertebral bodies' centres lie at a height."""
        return float(self._spine_x(z))

    def vertebra_radii(self, z: float) -> tuple[float, float]:
        """Return half the width and half the depth of the vertebral bodies at a height, from S1 to C2.

        They are chosen by eye, wide enough for women and men; only heights (`LEVELS_MM`) are after a source.
        """
        grow = float(np.interp(z, (90, 240, 330, 440, 530, 570, 650), (1.07, 0.97, 0.86, 0.74, 0.64, 0.52, 0.5)))
        return self._vertebra[0] * grow, self._vertebra[1] * min(grow * 1.08, 1.05)

    def beside_spine(self, z: float, angle: float, distance: float) -> Point:
        """Return a point at a distance from the vertebral bodies' surface.

        Args:
            z: Its height.
            angle: Its direction from the spine in degrees: 0 is anterior, 90 right, -90 left.
            distance: How far from the bone, in mm.
        """
        turn = np.deg2rad(angle)
        wide, deep = self.vertebra_radii(z)
        bone = 1 / np.hypot(np.sin(turn) / wide, np.cos(turn) / deep)
        out = bone + distance
        return (self.spine_x_at(z) + out * float(np.sin(turn)), self.spine_y_at(z) + out * float(np.cos(turn)), z)

    def wall_half_width(self, z: float) -> float:
        """Return how far the trunk's muscles reach to the side at a height."""
        return float(np.interp(z, self._wall_z, self._wall_width))

    def cage_point(self, angle: float, z: float, outward: float = 0.0) -> Point:
        """Return a point on the chest wall's inside, or `outward` of it.

        Args:
            angle: Degrees from the right (0) to anterior (90) or posterior (-90); mirror x for the left.
            z: Height of the point.
            outward: Distance from the inside in mm.
        """
        turn = np.deg2rad(angle)
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        wide = float(np.interp(z, self._cage_z, self._cage_width)) + outward
        deep = float(np.interp(z, self._cage_z, self._cage_depth)) + outward
        if sin > 0:
            deep += self._sag[0] * float(np.exp(-(((z - 150) / self._sag[1]) ** 2)) * np.interp(z, (280, 340), (1, 0)))
        else:
            deep += (self._back + self._thin) * float(np.interp(z, BACK_Z, BACK_SHARE))
        bend = 2 / self._powers[int(sin <= 0)]
        y = float(np.interp(z, self._cage_z, self._cage_y)) + deep * np.sign(sin) * abs(sin) ** bend
        return (wide * abs(cos) ** bend, float(y), z)

    def _shape_spine(self) -> None:
        """Lordosis and kyphosis from flat to bent, and a bend to the side: slight, or a scoliosis in one of eight."""
        lordosis, kyphosis = self.between(0.3, 1.6), self.between(0.3, 1.5)
        if self.chance(0.1):
            kyphosis += self.between(0.5, 1.5)
        rest = np.array((-75, -72, -50, -47, -46, -46, -50, -50, -48, -46, -40, -36))
        lordotic = np.array((0, 0, 2, 14, 19, 12, 2, 0, 0, 3, 8, 3))
        kyphotic = np.array((0, 0, 0, 0, 0, -2, -9, -14, -11, -3, 2, 3))
        curve = (rest + lordosis * lordotic + kyphosis * kyphotic) * min(self.depth, 1.1) + self.between(-6, 6)
        self._spine_y = CubicSpline(self.SPINE_Z, curve)
        swing = self.between(10, 28) if self.chance(0.12) else self.between(0, 7)
        phase, length = self.between(0, 6.28), self.between(70, 140)
        z = np.arange(-100, 700, 10.0)
        bend = swing * np.sin(z / length + phase) * np.clip((z - 40) / 80, 0, 1)
        self._spine_x = CubicSpline(z, bend)
        self.spine_y = self.along_z(z, [self.spine_y_at(float(h)) for h in z])
        self.spine_x: Field = self.along_z(z, bend)
        self._vertebra = (self.between(22, 27), self.between(15.5, 19))

    def _shape_wall(self) -> None:
        """The muscles' outer surface: a trunk with a belly, neck and shoulders, buttocks and thighs."""
        hips, shoulders, waist = (1.03, 0.92, 0.95) if self.build.female else (0.98, 1.03, 1.0)
        z = (-120, -60, 0, 60, 130, 230, 330, 430, 490, 530, 555, 575, 600, 660)
        raised = self.build.arms is Arms.UP
        top = (168, 150, 132, 100, 66) if raised else (186, 176, 140, 92, 60)
        width = np.array((140, 155, 166, 160, 138, 137, 148, 158, *top, 56), float)
        width[:5] *= hips
        width[4:6] *= waist
        width[8:12] *= shoulders
        width[5:8] *= self._broad
        depth = np.array((80, 90, 98, 95, 84, 92, 103, 104, 88, 74, 68, 62, 60, 62), float)
        self._wall_z, jitter = z, self.rng.uniform(0.96, 1.04, (2, len(z)))
        self._wall_width, self._wall_depth = width * jitter[0], depth * jitter[1] * self.depth
        self._sag = (self.between(0, 1) * 18 + 30 * self.visceral_fat**1.5, self.between(70, 110))
        sag = self._sag[0] * np.exp(-(((self.z - 150) / self._sag[1]) ** 2))
        back = np.where(self.y > 0, 0, self.along_z(BACK_Z, BACK_SHARE)).astype(np.float32)
        self._belly = np.where(self.y > 0, sag, 0).astype(np.float32)
        depth_here = self.along_z(z, self._wall_depth) + self._belly + self._back * back
        shift = self.along_z((430, 490, 540, 600, 660), (0, -6, -12, -16, -14))
        trunk = self._superellipse(self.along_z(z, self._wall_width), depth_here, shift)
        trunk = np.maximum(trunk, -92 - self.z)
        self.muscle: Field = trunk
        strong = self.build.muscle
        thigh = self.between(78, 90) * strong**0.5 * hips
        for side in (-1, 1):
            lateral = self.along_z((-260, -90, 0), (thigh * 0.97, thigh, 84)) * hips
            radius = self.along_z((-280, -90, -20, 30), (thigh * 0.78, thigh, thigh * 0.9, 40))
            leg = np.hypot(self.x - side * lateral, (self.y + 4) / 1.05) - radius
            leg = np.maximum(leg, self.z - 30)
            seat = self.ellipsoid((side * 66, -66 * self.depth, 10), (66, 44 * strong, 92), reach=110)
            for part in (leg, seat * np.float32(1.3)):  # an ellipsoid's distance is too short along its long axes
                self.muscle = _blend(self.muscle, part.astype(np.float32), 24)
        self._shape_chest_muscles(30.0 if raised else 0.0)

    def _shape_chest_muscles(self, lift: float) -> None:
        """What bulges over the rib cage: the chest muscle in front, those of blade, back and spine behind."""
        strong, deep = self.build.muscle, self.depth
        thick = [self.between(*span) * strong for span in ((26, 40), (38, 52), (26, 46), (19, 25))]
        parts = []
        for side in (-1, 1):
            breast = ((side * 74, 66 * deep, 440 + lift / 3), (68, thick[0], 62), -0.4)
            blade = ((side * 108, -58 * deep, 458 + lift), (58, thick[1], 82), 0.5)
            broad = ((side * 118, -46 * deep, 385), (40, thick[2], 90), 0.9)
            for center, radii, turn in (breast, blade, broad):
                parts.append(self.ellipsoid(center, radii, turn=side * turn, reach=60) * np.float32(1.3))
            path = [(self.spine_x_at(z) + side * 30, self.spine_y_at(z) - 31, z) for z in np.arange(230.0, 560, 40)]
            parts.append(self.tube(path, [thick[3]] * len(path), reach=REACH_MM))
        self.muscle = _blend(self.muscle, np.minimum.reduce(parts), 24)

    def _superellipse(self, width: Field, depth: Field, y: Field | float = 0.0) -> Field:
        """Return the distance to an upright superelliptic column, to first order; its back has a power of its own."""
        front, back = self._powers
        p = np.where(self.y > y, np.float32(front), np.float32(back))
        a, b = np.abs(self.x) / width + np.float32(1e-3), np.abs(self.y - y) / depth + np.float32(1e-3)
        ap, bp = a**p, b**p
        radius = (ap + bp) ** (1 / p)
        slope = radius * np.hypot(ap / (a * width), bp / (b * depth)) / (ap + bp)
        return np.asarray((radius - 1) / slope, np.float32)

    def _shape_skin(self) -> None:
        """Fat over the muscles, thicker behind, below and on the hips; breasts lie flat and to the side."""
        angle = np.arctan2(self.y, self.x)
        around = self.between(0.1, 0.4) * np.sin(2 * angle + self.between(0, 6)) - 0.15 * np.sin(angle)
        hips = 0.5 if self.build.female else 0.15
        height = self.along_z((-200, 0, 110, 300, 430, 560, 640), (0.9, 1.1 + hips, 1.1 + hips, 0.9, 0.75, 0.6, 0.5))
        self.body: Field = (self.muscle - 2.5 - self.fat * (height + around) + self.bumps(60, 2)).astype(np.float32)
        self.breast: Field | None = None
        if self.build.female:
            size = self.between(0.55, 1.0) + self.fat / 90
            x, z = self.between(78, 100), self.between(395, 425)
            y = float(np.interp(z, self._wall_z, self._wall_depth)) + self.fat * 0.4 - 8
            radii = (60 * size, self.between(28, 50) * size, 62 * size)
            sides = [self.ellipsoid((s * x, y, z), radii, turn=-s * 0.4, reach=60) for s in (-1, 1)]
            self.breast = np.maximum(np.minimum(*sides), -self.muscle)
            self.body = _blend(self.body, self.breast, 14)

    def _shape_cavity(self) -> None:
        """Inside of the wall: belly below, a rib cage that closes over the lungs' tips, a groove beside the spine."""
        wall, tip = self.between(9, 17) * self.build.muscle, self.apex_z
        chest = (300, 345, 400, tip - 95, tip - 60, tip - 32, tip - 14, tip + 2, tip + 18)
        z = np.array((-70, -40, 0, 30, 60, 95, 130, 230, *chest))
        width = np.interp(z, self._wall_z, self._wall_width) - 1.3 * wall  # three muscles at the side, one in front
        depth = np.interp(z, self._wall_z, self._wall_depth) - 0.85 * wall
        width[:6] = np.multiply((34, 50, 62, 68, 84, 108), self.between(0.92, 1.06))  # between the hips
        depth[:5] = (48, 60, 64, 78, 84)
        width[8:] = np.minimum(width[8:], np.multiply((137, 136, 132, 121, 105, 84, 64, 40, 4), self._broad))
        barrel = self.depth * self.between(0.95, 1.05)
        depth[8:] = np.minimum(depth[8:], np.multiply((94, 95, 92, 84, 71, 55, 42, 28, 4), barrel))
        y = np.array((-12, -16, -17, -9, 0, 4, 4, 4, 4, 4, 3, -2, -11, -21, -28, -33, -35), float)
        self._cage_z, self._cage_width, self._cage_depth, self._cage_y = z, width, depth, y
        deep = self.along_z(z, depth) + self._belly * (self.along_z((280, 340), (1, 0)))
        deep += (self._back + self._thin) * np.where(self.y > 0, 0, self.along_z(BACK_Z, BACK_SHARE))
        inside = self._superellipse(self.along_z(z, width), deep, self.along_z(z, y))
        self.groove_slope = self.between(0.6, 1.3)
        lateral = np.clip(np.abs(self.x - self.spine_x) - 22, 0, 200)
        groove = (self.spine_y - 22 - self.groove_slope * lateral - self.y) * np.float32(0.87)
        groove = np.where(self.z > 100, groove, -99)
        self.cavity: Field = np.maximum(np.maximum(inside, groove), self.z - tip - 12).astype(np.float32)

    def _shape_diaphragm(self) -> None:
        """Two domes, the right one higher over the liver, a saddle under the heart, deep recesses at the wall."""
        fall = ((np.abs(self.x) - 70) ** 2 + self.y**2 * np.where(self.y < 0, 1.5, 1)) / (2 * self.between(95, 130))
        fall = fall + self.between(5, 50) * np.exp(np.minimum(self.cavity, 0) / self.between(7, 13))
        right = np.where(self.x > 0, self.between(0, 22), 0)
        saddle = np.where(np.abs(self.x) < 35, self.between(0, 15), 0)
        self.dome: Field = (self.dome_z - fall + right - saddle + self.bumps(50, 3)).astype(np.float32)
        floor = np.interp(self.y, (-100, 0, 90), (40, 20, 10)) - self.between(40, 70)
        before_sacrum = (self.y > self.spine_y - 40) | (self.z > SACRUM_Z)
        self._above_pelvic_floor: Mask = before_sacrum & (self.z > floor)


def _blend(a: Field, b: Field, reach: float) -> Field:
    """Return the union of two shapes with the crease between them filled over `reach` mm."""
    near = np.clip(reach - np.abs(a - b), 0, None)
    return np.asarray(np.minimum(a, b) - near * near / np.float32(4 * reach), np.float32)
