"""Implicit shapes in millimetres: fields that are negative inside, sampled at any grid of points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Point = tuple[float, float, float]

LATTICE_HALF_MM = 450.0
"""Random fields are anchored to the world out to here, so that a seed means one body at every spacing."""

OUTSIDE_MM = 99.0
"""What a shape answers far away from itself, where nobody needs the exact distance."""

REACH_MM = 30.0
"""How far outside its surface a shape still knows its distance (fat capsules and walls are drawn with it)."""


def smooth_field(axes: Sequence[npt.NDArray[np.float64]], rng: np.random.Generator, scale: float) -> Field:
    """Return smooth noise with unit standard deviation: a cubic B-spline through random values.

    Args:
        axes: Coordinates in mm along each of the three axes of the grid.
        rng: Where the random values come from; the same number is drawn whatever the grid.
        scale: Distance between the spline's knots in mm, about the size of a bump.
    """
    count = 2 * int(np.ceil(LATTICE_HALF_MM / scale)) + 4
    field = rng.standard_normal((count,) * len(axes), dtype=np.float32)
    for positions in axes:
        weights = _spline_weights(np.clip(positions, -LATTICE_HALF_MM, LATTICE_HALF_MM) / scale + count / 2, count)
        field = np.tensordot(
            field, weights, axes=(0, 1)
        )  # the axis done moves to the end: three turns restore the order
    variance = 151 / 315  # of a cubic B-spline through white noise, for one axis
    return np.asarray(field / variance ** (len(axes) / 2), np.float32)


def _spline_weights(positions: npt.NDArray[np.float64], count: int) -> Field:
    """Return (len(positions), count) weights of a uniform cubic B-spline."""
    distance = np.abs(positions[:, None] - np.arange(count))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


class Space:
    """Points of a body: where each voxel lies in the body's own, undeformed millimetres.

    Attributes:
        x, y, z: (I, J, K) coordinates, right, anterior and superior.
    """

    def __init__(self, axes: Sequence[npt.NDArray[np.float64]], rng: np.random.Generator) -> None:
        self.axes = axes
        self.rng = rng
        self.x, self.y, self.z = (np.asarray(g, np.float32) for g in np.meshgrid(*axes, indexing="ij"))
        self._note_extents()

    def deform(self, scale: Point, offset: Point, swell: float, ripple: float) -> None:
        """Stretch by `scale`, move by `offset`, and bend smoothly by a few mm (long waves, short waves)."""
        moved = []
        for points, factor, shift in zip((self.x, self.y, self.z), scale, offset, strict=True):
            bend = self.bumps(self.between(60, 110), swell) + self.bumps(self.between(20, 35), ripple)
            moved.append((points + bend - np.float32(shift)) / np.float32(factor))
        self.x, self.y, self.z = moved
        self._note_extents()

    def between(self, low: float, high: float) -> float:
        """Draw a number evenly from low to high."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Draw yes or no."""
        return bool(self.rng.random() < probability)

    def bumps(self, scale: float, amplitude: float) -> Field:
        """Return smooth noise of `amplitude` (standard deviation, mm) in bumps of `scale` mm."""
        return np.asarray(smooth_field(self.axes, self.rng, scale) * amplitude, np.float32)

    def along_z(self, z: npt.ArrayLike, values: npt.ArrayLike) -> Field:
        """Interpolate a profile along the body's axis."""
        return np.asarray(np.interp(self.z, np.asarray(z, float), np.asarray(values, float)), np.float32)

    def ellipsoid(
        self, center: Point, radii: Point, *, turn: float = 0.0, tilt: float = 0.0, lumps: Field | None = None
    ) -> Field:
        """Return the distance to an ellipsoid, turned about z and tilted about y (radians), with optional lumps."""
        field = np.full(self.x.shape, OUTSIDE_MM, np.float32)
        box = self._box(center, max(radii) + REACH_MM)
        x, y, z = self.x[box] - center[0], self.y[box] - center[1], self.z[box] - center[2]
        x, y = _rotate(x, y, turn)
        x, z = _rotate(x, z, tilt)
        field[box] = (np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2) - 1) * min(radii)
        return field if lumps is None else field + lumps

    def ball(self, center: Point, radius: float) -> Field:
        """Return the distance to a ball."""
        return self.ellipsoid(center, (radius, radius, radius))

    def tube(self, points: Sequence[Point], radii: Sequence[float]) -> Field:
        """Return the distance to a tube along a rounded polyline, its radius given at each point."""
        return self.tube_and_height(points, radii)[0]

    def tube_and_height(self, points: Sequence[Point], radii: Sequence[float]) -> tuple[Field, Field]:
        """Return the distance to a tube and how far anterior of its centre line each point lies (mm)."""
        distance = np.full(self.x.shape, OUTSIDE_MM, np.float32)
        height = np.zeros(self.x.shape, np.float32)
        for center, radius in zip(*_rounded(points, radii), strict=True):
            box = self._box(center, radius + REACH_MM / 2)
            x, y, z = self.x[box] - center[0], self.y[box] - center[1], self.z[box] - center[2]
            ball = np.sqrt(x * x + y * y + z * z) - np.float32(radius)
            nearer = ball < distance[box]
            distance[box] = np.where(nearer, ball, distance[box])
            height[box] = np.where(nearer, y, height[box])
        return distance, height

    def _note_extents(self) -> None:
        """Remember, slice by slice, which coordinates occur, so that small shapes touch few voxels."""
        self._extents = []
        for axis, points in enumerate((self.x, self.y, self.z)):
            others = tuple(a for a in range(3) if a != axis)
            self._extents.append((points.min(axis=others), points.max(axis=others)))

    def _box(self, center: Sequence[float], reach: float) -> tuple[slice, ...]:
        box = []
        for c, (low, high) in zip(center, self._extents, strict=True):
            inside = np.flatnonzero((low <= c + reach) & (high >= c - reach))
            box.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        return tuple(box)


def _rotate(a: Field, b: Field, angle: float) -> tuple[Field, Field]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return a * cos + b * sin, b * cos - a * sin


def _rounded(points: Sequence[Point], radii: Sequence[float], step: float = 4.0) -> tuple[list[Point], list[float]]:
    """Resample a polyline every `step` mm and round its corners."""
    corners = np.asarray(points, float)
    travelled = np.r_[0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))]
    stops = np.linspace(0, travelled[-1], max(3, int(travelled[-1] / step)))
    path = np.stack([np.interp(stops, travelled, corners[:, k]) for k in range(3)], axis=1)
    path = gaussian_filter1d(path, max(1.0, 10 / step), axis=0, mode="nearest")
    return [(float(p[0]), float(p[1]), float(p[2])) for p in path], list(np.interp(stops, travelled, radii))
