"""Implicit shapes in millimetres: fields that are negative inside, sampled at any grid of points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Point = tuple[float, float, float]
Stroke = tuple[Point, Point, float, float]

LATTICE_HALF_MM = 450.0
"""Random fields are anchored to the world out to here, so that a seed means one body at every spacing."""

OUTSIDE_MM = 99.0
"""What a shape answers far away from itself, where nobody needs the exact distance."""

PROFILE_Z = np.arange(-1000.0, 1400.0, 0.25)
"""Profiles along the body's axis are read from a table with this fine a step, which is quicker than interpolating."""

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
        spline = _spline_weights(np.clip(positions, -LATTICE_HALF_MM, LATTICE_HALF_MM) / scale + count / 2, count)
        done = spline @ field.reshape(count, -1)
        # the axis done moves to the end: three turns restore the order
        field = np.moveaxis(done.reshape(len(positions), *field.shape[1:]), 0, -1)
    variance = 151 / 315  # of a cubic B-spline through white noise, for one axis
    return np.asarray(field / variance ** (len(axes) / 2), np.float32)


def _spline_weights(positions: npt.NDArray[np.float64], count: int) -> csr_array:
    """Return (len(positions), count) weights of a uniform cubic B-spline, four in each row.

    Sparse, because dense products start threads that slow each other down where many phantoms are drawn at once.
    """
    distance = np.abs(positions[:, None] - np.arange(count))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return csr_array(np.where(distance < 1, near, far).astype(np.float32))


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
        profile = np.interp(PROFILE_Z, np.asarray(z, float), np.asarray(values, float)).astype(np.float32)
        return np.asarray(profile[self._rows], np.float32)

    def ellipsoid(
        self,
        center: Point,
        radii: Point,
        *,
        turn: float = 0.0,
        tilt: float = 0.0,
        lumps: Field | None = None,
        reach: float = REACH_MM,
    ) -> Field:
        """Return the distance to an ellipsoid, turned about z and tilted about y (radians), with optional lumps."""
        field = np.full(self.x.shape, OUTSIDE_MM, np.float32)
        size = max(radii) + reach
        box = self.box(np.subtract(center, size), np.add(center, size))
        x, y, z = self.x[box] - center[0], self.y[box] - center[1], self.z[box] - center[2]
        x, y = _rotate(x, y, turn)
        x, z = _rotate(x, z, tilt)
        field[box] = (np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2) - 1) * min(radii)
        return field if lumps is None else field + lumps

    def ball(self, center: Point, radius: float) -> Field:
        """Return the distance to a ball."""
        return self.ellipsoid(center, (radius, radius, radius))

    def tube(self, points: Sequence[Point], radii: Sequence[float], *, reach: float = REACH_MM / 2) -> Field:
        """Return the distance to a tube along a rounded polyline, its radius given at each point."""
        return self.tube_and_height(points, radii, reach=reach)[0]

    def tube_and_height(
        self, points: Sequence[Point], radii: Sequence[float], *, reach: float = REACH_MM / 2
    ) -> tuple[Field, Field]:
        """Return the distance to a tube and how far anterior of its centre line each point lies (mm)."""
        path, widths = _rounded(points, radii)
        return self.strokes(list(zip(path, path[1:], widths, widths[1:], strict=False)), reach=reach)

    def strokes(self, strokes: Sequence[Stroke], *, reach: float = 3.0) -> tuple[Field, Field]:
        """Return the distance to many straight pieces of tube, and how far anterior of the nearest a point lies (mm).

        Args:
            strokes: Start, end, radius at the start and radius at the end of each.
            reach: How far outside of a piece its distance is known.
        """
        distance = np.full(self.x.shape, OUTSIDE_MM, np.float32)
        height = np.zeros(self.x.shape, np.float32)
        for start, end, wide, narrow in strokes:
            margin = max(wide, narrow) + reach
            box = self.box(np.minimum(start, end) - margin, np.maximum(start, end) + margin)
            x, y, z = (points[box] - np.float32(s) for points, s in zip((self.x, self.y, self.z), start, strict=True))
            dx, dy, dz = (np.float32(e - s) for s, e in zip(start, end, strict=True))
            along = np.clip((x * dx + y * dy + z * dz) / max(float(dx * dx + dy * dy + dz * dz), 1e-6), 0, 1)
            y -= along * dy
            x, z = x - along * dx, z - along * dz
            capsule = np.sqrt(x * x + y * y + z * z) - (np.float32(wide) + along * np.float32(narrow - wide))
            nearer = capsule < distance[box]
            distance[box] = np.where(nearer, capsule, distance[box])
            height[box] = np.where(nearer, y, height[box])
        return distance, height

    def box(self, low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[slice, ...]:
        """Return the part of the grid that holds every point between two corners (and some more, where it bends)."""
        box = []
        for a, b, (least, most) in zip(np.asarray(low), np.asarray(high), self._extents, strict=True):
            inside = np.flatnonzero((least <= b) & (most >= a))
            box.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        return tuple(box)

    def _note_extents(self) -> None:
        """Remember which coordinates occur where, so that profiles are looked up and small shapes touch few voxels."""
        rows = (self.z - np.float32(PROFILE_Z[0])) / np.float32(PROFILE_Z[1] - PROFILE_Z[0])
        self._rows = np.clip(rows, 0, len(PROFILE_Z) - 1).astype(np.int16)
        self._extents = []
        for axis, points in enumerate((self.x, self.y, self.z)):
            others = tuple(a for a in range(3) if a != axis)
            self._extents.append((points.min(axis=others), points.max(axis=others)))


def _rotate(a: Field, b: Field, angle: float) -> tuple[Field, Field]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return a * cos + b * sin, b * cos - a * sin


def _rounded(points: Sequence[Point], radii: Sequence[float], step: float = 6.0) -> tuple[list[Point], list[float]]:
    """Resample a polyline every `step` mm and round its corners."""
    corners = np.asarray(points, float)
    travelled = np.r_[0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))]
    stops = np.linspace(0, travelled[-1], max(3, int(travelled[-1] / step)))
    path = np.stack([np.interp(stops, travelled, corners[:, k]) for k in range(3)], axis=1)
    path = gaussian_filter1d(path, max(1.0, 10 / step), axis=0, mode="nearest")
    return [(float(p[0]), float(p[1]), float(p[2])) for p in path], list(np.interp(stops, travelled, radii))
