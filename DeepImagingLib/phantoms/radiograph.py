"""From materials to a radiograph: attenuation, rays from a point source, scatter and noise.

Coordinates are the torso's millimetres: x right, y anterior, z superior. The detector stands upright beside the body;
on it u runs to the patient's right and v upwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, gaussian_filter, zoom

from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Material

M = Material
Points = npt.NDArray[np.float64]

KEV = (60.0, 80.0)
"""Energies of the tables below; behind a chest, beams of 100 to 130 kV are worth about one between them."""

MASS_ATTENUATION: Mapping[str, tuple[float, float]] = {
    # cm²/g at these energies; NIST tables of X-ray mass attenuation coefficients (Hubbell and Seltzer, NISTIR 5632)
    # for the tissues of ICRU Report 44, titanium for implants
    "soft": (0.2048, 0.1823),
    "fat": (0.1974, 0.1800),
    "bone": (0.3148, 0.2229),
    "metal": (0.7661, 0.4052),
}

TISSUE: Mapping[Material, tuple[str, float]] = {
    # what attenuates in a material, and its density in g/cm³ (ICRU Report 44; spongy bone counts as part of compact)
    M.AIR: ("soft", 0), M.GAS: ("soft", 0), M.PADDING: ("soft", 0),
    M.FAT: ("fat", 0.95), M.LUNG: ("soft", 0.26), M.LUNG_VESSEL: ("soft", 0.26), M.CONSOLIDATION: ("soft", 0.8),
    M.CORTEX: ("bone", 1.6), M.VERTEBRA_SHELL: ("bone", 1.1), M.CALCIUM: ("bone", 1.5), M.MARROW: ("soft", 1.05),
    M.VERTEBRA: ("soft", 1.25), M.CARTILAGE: ("soft", 1.1), M.STOOL: ("soft", 0.8), M.METAL: ("metal", 4.5),
    M.SUBSOLID_NODULE: ("soft", 0.5),
}  # fmt: skip
"""Materials that are not listed are soft tissue of `SOFT_DENSITY`."""

SOFT_DENSITY = 1.05

STEEPNESS = 3.5
"""How sharp outlines are drawn: over 1 / STEEPNESS of what smooth voxels take from inside to outside."""


def attenuation(kev: float, lung_density: float) -> Field:
    """Return linear attenuation in 1/mm at an energy, a table to be indexed by `Material`.

    Args:
        kev: Effective energy, in the range of `KEV`.
        lung_density: Of lung with its air and small vessels in g/cm³, 0.2 inspired to 0.4 lying down.
    """
    table = np.empty(len(M), np.float32)
    for material in M:
        kind, density = TISSUE.get(material, ("soft", SOFT_DENSITY))
        table[material] = linear(kind, density, kev)
    table[[M.LUNG, M.LUNG_VESSEL]] = linear("soft", lung_density, kev)
    return table


def linear(kind: str, density: float, kev: float) -> float:
    """Return the linear attenuation in 1/mm of a tissue; between the energies of `KEV` it falls as a power."""
    low, high = MASS_ATTENUATION[kind]
    share = np.log(kev / KEV[0]) / np.log(KEV[1] / KEV[0])
    return float(low * (high / low) ** share * density / 10)


@dataclass(frozen=True)
class Volume:
    """Where the voxels of (I, J, K) arrays lie: the coordinates of each axis in mm, evenly spaced."""

    axes: tuple[Points, Points, Points]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm."""
        return tuple(float(axis[1] - axis[0]) for axis in self.axes)

    def points(self, where: Mask) -> Points:
        """Return the (N, 3) centres of voxels in mm."""
        places = np.unravel_index(np.flatnonzero(where), where.shape)  # much quicker than nonzero
        return np.stack([axis[i] for axis, i in zip(self.axes, places, strict=True)], axis=1)

    def at(self, points: Points, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the nearest voxels' values at (N, 3) points in mm; points outside get those of the border."""
        index = []
        for axis, step, position, size in zip(self.axes, self.spacing, points.T, values.shape, strict=True):
            index.append(np.clip(np.rint((position - axis[0]) / step).astype(int), 0, size - 1))
        return values[tuple(index)]


@dataclass(frozen=True)
class Beam:
    """A point source and a detector, and how the patient stands between them.

    Attributes:
        u, v: Detector coordinates in mm of each pixel column and row.
        aim: (x, z) of the central ray where it meets the middle of the body.
        distance: From source to detector in mm.
        plate: y of the detector: in front of the patient (postero-anterior) or behind (antero-posterior).
        turn, tilt: Slopes of the patient to the beam about the vertical and the transverse axis (tangents).
        roll: Angle in radians the patient leans to his left.
    """

    u: Points
    v: Points
    aim: tuple[float, float]
    distance: float
    plate: float
    turn: float = 0.0
    tilt: float = 0.0
    roll: float = 0.0

    @property
    def pixel_mm(self) -> float:
        """Size of a pixel."""
        return float(abs(self.u[1] - self.u[0]))

    def magnification(self, y: Points) -> Points:
        """Return how much larger than life things at a depth are drawn."""
        return np.asarray(self.distance / (self.distance - np.abs(y - self.plate)))

    def place(self, points: Points) -> tuple[Points, Points]:
        """Return detector coordinates u and v of (N, 3) points."""
        x, y, z = points.T
        larger = self.magnification(y)
        u, v = larger * (x - self.aim[0] + self.turn * y), larger * (z - self.aim[1] + self.tilt * y)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return cos * u + sin * v, cos * v - sin * u

    def project(self, where: Mask, volume: Volume) -> Field:
        """Return how many mm of (I, J, K) voxels each ray passes."""
        total = np.zeros((len(self.u), len(self.v)), np.float32)
        for j in np.flatnonzero(where.any(axis=(0, 2))):
            across, along = self._slab_weights(volume, int(j))
            total += across @ where[:, j].astype(np.float32) @ along.T
        return self._along_rays(total * volume.spacing[1])

    def integrate(self, values: Field, edged: Sequence[Mask], volume: Volume) -> Field:
        """Return the (I, J) integral along the rays of (I, J, K) values per mm, with edges finer than voxels.

        A smooth drawing of each slab's mask is thresholded on the detector, halfway to the next slab as well: what is
        bounded by it gets an outline, not the steps of voxels.

        Args:
            values: As they are in the volume.
            edged: Masks that don't overlap; inside each, and around them, values vary but little.
            volume: Where all of these lie.
        """
        total = np.zeros((len(self.u), len(self.v)), np.float32)
        parts = [*edged, ~np.logical_or.reduce(edged)]
        last: list[tuple[Field, Field]] = []
        for j in np.flatnonzero(values.any(axis=(0, 2))):
            across, along = self._slab_weights(volume, int(j))
            slab = []
            for part in parts:
                share = part[:, j].astype(np.float32)
                slab.append((across @ share @ along.T, across @ (share * values[:, j]) @ along.T))
            total += 0.5 * _outlined(slab)
            if last:
                total += 0.5 * _outlined(
                    [((a + b) / 2, (c + d) / 2) for (a, c), (b, d) in zip(slab, last, strict=True)]
                )
            last = slab
        return self._along_rays(total * volume.spacing[1])

    def _slab_weights(self, volume: Volume, j: int) -> tuple[Field, Field]:
        """Return what draws (I, K) voxels at one depth, across and along: magnified, shifted where one is turned."""
        x, y, z = volume.axes
        larger = self.magnification(y[j])
        across = _weights(self.u / larger + self.aim[0] - self.turn * y[j], x)
        return across, _weights(self.v / larger + self.aim[1] - self.tilt * y[j], z)

    def _along_rays(self, image: Field) -> Field:
        """Lean the patient who was drawn upright, and lengthen what oblique rays pass."""
        oblique = np.sqrt(1 + (self.u[:, None] ** 2 + self.v[None, :] ** 2) / self.distance**2)
        return np.asarray(self._lean(image) * oblique, np.float32)

    def _lean(self, image: Field) -> Field:
        """Turn an image of an upright patient about the central ray."""
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        matrix = np.array([[cos, -sin], [sin, cos]])
        middle = np.array([-self.u[0] / (self.u[1] - self.u[0]), -self.v[0] / (self.v[1] - self.v[0])])
        turned = affine_transform(image, matrix, middle - matrix @ middle, order=1, mode="nearest")
        return np.asarray(turned, np.float32)

    def splat(self, points: Points, volumes: Points, radii: Points) -> Field:
        """Return the (I, J) thickness in mm of many small pieces, each smeared over its own radius.

        Args:
            points: (N, 3) centres in mm; close together they make a tube.
            volumes: Of each piece in mm³; negative ones take something away.
            radii: Of each piece in mm.
        """
        u, v = self.place(points)
        larger = self.magnification(points[:, 1])
        i = np.rint((u - self.u[0]) / (self.u[1] - self.u[0])).astype(int)
        j = np.rint((v - self.v[0]) / (self.v[1] - self.v[0])).astype(int)
        shape = (len(self.u), len(self.v))
        inside = (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1])
        thickness = volumes * larger**2 / self.pixel_mm**2
        # a tube's cross-section has a standard deviation of half its radius
        step = np.clip(np.rint(2 * np.log2(np.maximum(radii * larger / 2 / self.pixel_mm, 0.35))), -3, 12)
        total = np.zeros(shape, np.float32)
        for size in np.unique(step[inside]):
            chosen = inside & (step == size)
            flat = np.bincount(i[chosen] * shape[1] + j[chosen], thickness[chosen], shape[0] * shape[1])
            total += gaussian_filter(flat.reshape(shape).astype(np.float32), 2 ** (size / 2), truncate=3)
        return total


def _weights(positions: Points, axis: Points) -> Field:
    """Return (len(positions), len(axis)) weights of a cubic B-spline, which smooths by half a voxel; zero outside."""
    step = axis[1] - axis[0]
    near = np.floor((positions - axis[0]) / step).astype(int)[:, None] + np.arange(-1, 3)  # others have none
    places = np.clip(near, 0, len(axis) - 1)
    apart = np.abs(positions[:, None] - axis[places]).astype(np.float32) / np.float32(step)
    weights = np.where(apart < 1, 2 / 3 - apart**2 + apart**3 / 2, np.clip(2 - apart, 0, None) ** 3 / 6)
    out = np.zeros((len(positions), len(axis)), np.float32)
    rows = np.broadcast_to(np.arange(len(positions))[:, None], near.shape)
    out[rows, places] = weights  # where one place comes twice, at an end, its weight does too
    return out


def _outlined(parts: Sequence[tuple[Field, Field]]) -> Field:
    """Return values of parts that fill a plane: each inside its own outline, given its share and its share's values."""
    inside = [np.clip((share - 0.5) * STEEPNESS + 0.5, 0, 1) for share, _ in parts]
    weighted = sum(i * values / np.maximum(share, 1e-3) for i, (share, values) in zip(inside, parts, strict=True))
    return np.asarray(weighted / np.maximum(sum(inside), 1e-3), np.float32)


def detect(integral: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Return what a detector measures behind line integrals, as logarithm: rays that pass, scatter, blur and noise.

    Behind an anti-scatter grid scattered rays still make 20 to 50 % of the image in the mediastinum.
    """
    primary = np.exp(-integral)
    coarse = max(1, round(8 / pixel_mm))
    small = gaussian_filter(primary[::coarse, ::coarse], rng.uniform(25, 60) / pixel_mm / coarse, mode="nearest")
    factors = [n / m for n, m in zip(primary.shape, small.shape, strict=True)]
    scatter = zoom(np.minimum(small, 0.25), factors, order=1, mode="nearest", grid_mode=True)
    signal = gaussian_filter(primary + rng.uniform(0.1, 0.5) * scatter, rng.uniform(0.1, 0.35) / pixel_mm)
    photons = 10 ** rng.uniform(4.4, 5.5) * pixel_mm**2  # a mm² in air; behind the heart 1 to 5 % are left
    noise = gaussian_filter(rng.standard_normal(signal.shape, dtype=np.float32), 0.4) * 1.3
    signal = signal + noise * np.sqrt(np.maximum(signal, 1e-4) / photons)
    return np.asarray(-np.log(np.maximum(signal, 2e-4)), np.float32)
