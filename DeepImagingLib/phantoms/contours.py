"""Bodies from closed curves: stacks of contours and swept tubes, bent by one body's proportions and filled in slices.

The way of Segars et al., "4D XCAT phantom for multimodality imaging research", Med Phys 37 (2010): splines through a
few control points, varied together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import map_coordinates
from skimage.draw import disk, polygon

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SMOOTH = 6
"""Points drawn for each control point of a contour."""

PIXEL_MM = 1.75
GRID = (288, 232)
"""Slices are drawn on this many pixels to the right and to the front: a scanner's field of 50 cm."""


@dataclass(frozen=True)
class Stack:
    """Closed contours at several heights, rounded off below and above.

    Attributes:
        heights: Of the contours, mm, ascending.
        points: (height, point, 2) right and anterior, mm.
        caps: How far the ends bulge beyond the first and last contour, mm.
    """

    heights: Points
    points: Points
    caps: tuple[float, float] = (6.0, 6.0)

    def at(self, height: float) -> Points | None:
        """Return the contour at a height, or None where there is none."""
        low, high = float(self.heights[0]), float(self.heights[-1])
        beyond = (low - height) / self.caps[0] if height < low else (height - high) / self.caps[1]
        if beyond >= 1:
            return None
        curve = np.asarray(PchipInterpolator(self.heights, self.points)(np.clip(height, low, high)))
        middle = curve.mean(axis=0)
        return middle + (curve - middle) * np.sqrt(1 - max(0.0, beyond) ** 2)

    def mirrored(self, up: float = 0.0) -> Stack:
        """Return the same for the other side, moved up by so many mm."""
        return replace(self, heights=self.heights + up, points=self.points * (-1, 1))

    def moved(self, shift: Points) -> Stack:
        """Return the same moved to the right, front and top."""
        return replace(self, heights=self.heights + shift[2], points=self.points + shift[:2])

    def grown(self, mm: float | Points) -> Stack:
        """Return the same pushed outwards (inwards where negative), by one amount or by (height, point) amounts."""
        amounts = np.broadcast_to(mm, self.points.shape[:2])
        return replace(self, points=np.stack([push(c, a) for c, a in zip(self.points, amounts, strict=True)]))

    def varied(self, rng: np.random.Generator, size: float = 0.07, shift: float = 3.0, turn: float = 5.0) -> Stack:
        """Return the same scaled, moved (mm), turned (degrees) and leaning, each at random (standard deviations)."""
        middle = self.points.mean(axis=(0, 1))
        level = self.heights.mean()
        angle = np.radians(rng.normal(0, turn))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = np.clip(rng.normal(1, size) + rng.normal(0, size / 2, 3), 1 - 2.5 * size, 1 + 2.5 * size)
        lean = rng.normal(0, 0.06, 2) * (self.heights - level)[:, None]
        points = (self.points - middle) * stretch[:2] @ rotation.T + middle + lean[:, None] + rng.normal(0, shift, 2)
        heights = level + (self.heights - level) * stretch[2] + rng.normal(0, shift)
        return replace(self, points=points, heights=heights)


@dataclass(frozen=True)
class Tube:
    """A ball swept along a curve.

    Attributes:
        knots: (knot, 4) right, anterior, superior and radius, mm.
        tall: How many times as high as wide the ball is.
    """

    knots: Points
    tall: float = 1.0

    def balls(self) -> Points:
        """Return balls so close that they look like one tube."""
        steps = np.linalg.norm(np.diff(self.knots[:, :3], axis=0), axis=1)
        along = np.concatenate([[0], np.cumsum(np.maximum(steps, 1e-3))])
        count = max(2, int(along[-1] / max(0.7, self.knots[:, 3].min() / 4)))
        return np.asarray(PchipInterpolator(along, self.knots)(np.linspace(0, along[-1], count)))

    def mirrored(self, up: float = 0.0) -> Tube:
        """Return the same for the other side, moved up by so many mm."""
        return replace(self, knots=self.knots * (-1, 1, 1, 1) + (0, 0, up, 0))

    def moved(self, shift: Points) -> Tube:
        """Return the same moved to the right, front and top."""
        return replace(self, knots=self.knots + np.append(shift, 0))

    def scaled(self, size: float) -> Tube:
        """Return the same with so many times the radius."""
        return replace(self, knots=self.knots * (1, 1, 1, size))

    def varied(self, rng: np.random.Generator, wander: float = 2.5, size: float = 0.08) -> Tube:
        """Return the same moved as a whole, bent, and wider or thinner, each at random (standard deviations)."""
        noise = rng.normal(0, wander, self.knots[:, :3].shape) * 0.7 + rng.normal(0, wander, 3)
        radius = self.knots[:, 3:] * np.clip(rng.normal(1, size), 0.6, 1.5)
        return replace(self, knots=np.hstack([self.knots[:, :3] + noise, radius]))


def stack(table: str, *, symmetric: bool = False, caps: tuple[float, float] = (6.0, 6.0)) -> Stack:
    """Read contours from lines of `height: x,y x,y …`.

    The points of a symmetric one are the right half's, from the front midline to the back's.
    """
    rows = [line.split(":") for line in table.split("\n") if line.strip()]
    control = np.array([[[float(v) for v in pair.split(",")] for pair in row.split()] for _, row in rows])
    if symmetric:
        control = np.concatenate([control, control[:, -2:0:-1] * (-1, 1)], axis=1)
    closed = np.concatenate([control, control[:, :1]], axis=1)
    count = control.shape[1]
    curve = CubicSpline(np.arange(count + 1), closed, axis=1, bc_type="periodic")
    points = np.asarray(curve(np.arange(count * SMOOTH) / SMOOTH))
    return Stack(np.array([float(height) for height, _ in rows]), points, caps)


def tube(table: str, *, tall: float = 1.0) -> Tube:
    """Read a tube from knots of `x,y,z,radius`."""
    return Tube(np.array([[float(v) for v in knot.split(",")] for knot in table.split()]), tall)


def push(contour: Points, mm: float | Points) -> Points:
    """Move a contour's points outwards along its normals."""
    ahead = np.roll(contour, -1, axis=0) - np.roll(contour, 1, axis=0)
    normal = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    x, y = contour[:, 0], contour[:, 1]
    area = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    return contour + np.sign(area) * normal * np.reshape(mm, (-1, 1))


def sided(parts: Iterable[Stack | Tube], side: int) -> list[Stack | Tube]:
    """Return right-hand parts for a side: as they are (1), or mirrored to the left (-1)."""
    return [part if side > 0 else part.mirrored() for part in parts]


@dataclass(frozen=True)
class Shape:
    """One body's proportions: what takes the typical adult's points to this body's.

    Attributes:
        size: Factors to the right, front and top.
        hips, chest: How much wider the pelvis and the chest are than those factors say (0.05 is 5 %).
        belly: How far the belly's front is pushed out, mm.
        bend: How far the back is rounded, mm.
        lattice: (2, 5, 5, 7) moves to the right and front in mm at the knots of a cubic B-spline.
    """

    size: tuple[float, float, float]
    hips: float
    chest: float
    belly: float
    bend: float
    lattice: Points

    def place(self, points: Points) -> Points:
        """Return (n, 3) points of the typical adult in this body, mm."""
        x, y, z = points.T
        low, high = np.exp(-(((z + 70) / 90) ** 2)), np.exp(-(((z - 370) / 130) ** 2))
        middle = np.exp(-(((z - 90) / 110) ** 2))
        wide = self.size[0] * (1 + self.hips * low + self.chest * high + self.belly / 350 * middle)
        front = self.belly * middle * np.clip((y + 40) / 130, 0, 1.2)
        back = self.bend * np.exp(-(((z - 420) / 120) ** 2))
        knots = [(x + 250) / 500 * 2 + 1, (y + 200) / 400 * 2 + 1, (z + 300) / 1000 * 4 + 1]
        dx, dy = (map_coordinates(moves, knots, order=3, prefilter=False, mode="nearest") for moves in self.lattice)
        return np.stack([x * wide + dx, (y + front) * self.size[1] - back + dy, z * self.size[2]], axis=1)

    def height_of(self, z: float) -> float:
        """Return the typical adult's height that is at this body's."""
        return z / self.size[2]


class Slices:
    """A pile of slices that contours and tubes are filled into.

    Args:
        shape: The body's proportions.
        heights: Of the slices, mm of this body, ascending at equal steps.
    """

    def __init__(self, shape: Shape, heights: Points) -> None:
        self.shape, self.heights = shape, heights
        self.size = (len(heights), *GRID)

    def axis(self, k: int) -> Points:
        """Return the pixels' positions to the right (0) or to the front (1), mm."""
        return np.asarray((np.arange(GRID[k]) - (GRID[k] - 1) / 2) * PIXEL_MM, np.float64)

    def fill(self, *parts: Stack | Tube) -> Mask:
        """Return (K, I, J) where any of these lies."""
        where = np.zeros(self.size, bool)
        for part in parts:
            if isinstance(part, Stack):
                self._fill_stack(where, part)
            else:
                self._fill_tube(where, part)
        return where

    def right_half(self) -> Mask:
        """Return (K, I, J) what lies to the right of this body's own midline."""
        y = self.axis(1)
        middle = np.stack([np.column_stack([0 * y, y, 0 * y + self.shape.height_of(float(z))]) for z in self.heights])
        x = self.shape.place(middle.reshape(-1, 3))[:, 0].reshape(len(self.heights), 1, GRID[1])
        return np.asarray(self.axis(0)[None, :, None] > x)

    def _fill_stack(self, where: Mask, part: Stack) -> None:
        for k, z in enumerate(self.heights):
            height = self.shape.height_of(float(z))
            contour = part.at(height)
            if contour is not None:
                placed = self.shape.place(np.column_stack([contour, np.full(len(contour), height)]))
                i, j = self._pixels(placed)
                where[k][polygon(i, j, GRID)] = True

    def _fill_tube(self, where: Mask, part: Tube) -> None:
        balls = part.balls()
        centers = self.shape.place(balls[:, :3])
        i, j = self._pixels(centers)
        for index, radius in enumerate(balls[:, 3] * np.sqrt(self.shape.size[0] * self.shape.size[1])):
            off = (self.heights - centers[index, 2]) / (radius * part.tall)
            for k in np.flatnonzero(np.abs(off) < 1):
                round_ = radius * np.sqrt(1 - off[k] ** 2) / PIXEL_MM
                where[k][disk((i[index], j[index]), max(0.6, round_), shape=GRID)] = True

    @staticmethod
    def _pixels(points: Points) -> tuple[Points, Points]:
        return points[:, 0] / PIXEL_MM + (GRID[0] - 1) / 2, points[:, 1] / PIXEL_MM + (GRID[1] - 1) / 2
