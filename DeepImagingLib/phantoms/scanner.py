"""What scanners and reconstructions do to an image: blur, dose, streaks, and the values around the circle.

Everything works on (I, J, K) images in HU whose axes are right, anterior and superior; noise and streaks follow the
rays' attenuation (Beer and Lambert), so that they grow through shoulders, hips and metal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import center_of_mass, gaussian_filter, gaussian_filter1d, label, uniform_filter1d, zoom

from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ

Spacing = tuple[float, float, float]

WATER_PER_MM = 0.0193
"""Linear attenuation of water at 70 keV (NIST XCOM), the mean energy of a 120 kVp beam."""

MOST_PIECES = 8
"""More pieces of metal in one slice add nothing but time."""


@dataclass(frozen=True)
class Resolution:
    """How fine scans are.

    Attributes:
        spread: Least and largest standard deviation of the blur in mm.
        thick: Share of the scans that have slices of 5 to 12 mm.
    """

    spread: tuple[float, float]
    thick: float


ANY = Resolution((0.4, 2.4), 0.2)
THIN_SLICES = Resolution((0.4, 1.0), 0.0)
"""What nodules are looked for in: LUNA16 leaves scans out whose slices are thicker than 2.5 mm (Setio et al., Med Image
Anal 2017), in which the smallest ones are blurred away."""


def scan(
    image: Field, materials: Bytes, spacing: Spacing, rng: np.random.Generator, resolution: Resolution = ANY
) -> Field:
    """Return what a scanner makes of true Hounsfield values: a resolution, a dose and artefacts at random.

    Args:
        image: True values in HU, (I, J, K).
        materials: What the voxels are made of; metal casts streaks, padding stays a constant.
        spacing: Voxel size in mm.
        rng: Where everything random comes from.
        resolution: From which that of the scan is drawn.
    """
    image = _resolve(image, spacing, rng, resolution)
    across, along = _paths(image, spacing)
    if rng.random() < 0.25:
        image = _harden(image, spacing, rng)
    if rng.random() < 0.6:
        image = _shade(image, across, spacing, rng)
    if rng.random() < 0.08:
        image = _move(image, rng)
    image = image + _noise(across, along, spacing, rng)
    metal = materials == Material.METAL
    if metal.any():
        image += _metal_streaks(metal, spacing, rng)
    if rng.random() < 0.03:
        image += _rings(image.shape, rng)
    return _store(image, materials, spacing, rng)


def trim_to_circle(materials: Bytes, organs: Bytes, spacing: Spacing, rng: np.random.Generator) -> None:
    """Cut a round field of view, wide or through the body, out of materials and their truth, in place.

    What is cut off becomes `Material.PADDING` and background: images have one constant value there.
    """
    wide = 0.5 * min(materials.shape[0] * spacing[0], 500.0)
    outside = _beyond(materials.shape, spacing, rng.uniform(0.6, 1.1) * wide, rng.uniform(-25, 25, 2))
    materials[outside] = Material.PADDING
    organs[outside] = Organ.BACKGROUND


def _resolve(image: Field, spacing: Spacing, rng: np.random.Generator, resolution: Resolution) -> Field:
    """Blur by the scanner and by voxels that hold several tissues; sharp kernels overshoot, thick slices smear."""
    sharing, spread_mm = rng.uniform(0.32, 0.6), rng.uniform(*resolution.spread)
    sigma = [np.hypot(sharing, spread_mm * rng.uniform(0.8, 1.2) / s) for s in spacing]
    image = gaussian_filter(image, sigma, truncate=2.5)
    if rng.random() < 0.2:
        image += rng.uniform(0.1, 0.7) * (image - gaussian_filter(image, 3.5 / np.array(spacing), truncate=2))
    if rng.random() < resolution.thick:
        image = _thicken(image, max(2, round(rng.uniform(5, 12) / spacing[2])))
    return image


def _thicken(image: Field, count: int) -> Field:
    """Average `count` slices into one, then interpolate between the thick ones."""
    thick = uniform_filter1d(image, count, axis=2, mode="nearest")[..., ::count]
    middle = 0.0 if count % 2 else -0.5  # of the first window, which reaches one slice further down where it is even
    position = np.clip((np.arange(image.shape[2]) - middle) / count, 0, thick.shape[2] - 1)
    low = np.minimum(position.astype(int), max(thick.shape[2] - 2, 0))
    weight = (position - low).astype(np.float32)
    high = np.minimum(low + 1, thick.shape[2] - 1)
    return np.asarray(thick[..., low] * (1 - weight) + thick[..., high] * weight, np.float32)


def _paths(image: Field, spacing: Spacing) -> tuple[Field, Field]:
    """Return how much rays lose on their way from side to side (1, J, K) and from front to back (I, 1, K)."""
    density = np.maximum(image / 1000 + 1, 0)
    across = density.sum(0, keepdims=True) * (spacing[0] * WATER_PER_MM)
    along = density.sum(1, keepdims=True) * (spacing[1] * WATER_PER_MM)
    return across, along


def _noise(across: Field, along: Field, spacing: Spacing, rng: np.random.Generator) -> Field:
    """Grain that is coarse for soft kernels, stronger where rays were weakened, with streaks from side to side."""
    shape = (along.shape[0], across.shape[1], across.shape[2])
    noise = rng.standard_normal(shape, dtype=np.float32)
    if rng.random() < 0.5:
        sigma = rng.uniform(0.45, 0.9)
        noise = gaussian_filter(noise, sigma)
        noise /= noise.std() + 1e-6
    uneven = rng.uniform(0.2, 0.9)  # modulated tube currents even it out
    across, along = np.minimum(across, 10), np.minimum(along, 10)
    strength = np.exp(0.5 * uneven * (across - np.percentile(across, 75)))
    strength = np.sqrt(strength**2 + np.exp(uneven * (along - np.percentile(along, 75))))
    noise *= np.clip(strength / 1.4, 0.3, 3.0) * rng.uniform(2, 24)
    if rng.random() < 0.2:  # starved of photons
        rows = rng.standard_normal(shape, dtype=np.float32)
        for axis, reach in ((0, rng.uniform(12, 50)), (1, rng.uniform(0.5, 2.5))):
            rows = gaussian_filter1d(rows, reach / spacing[axis], axis=axis)
        rows /= rows.std() + 1e-6
        noise += rows * np.clip(np.exp(across - np.percentile(across, 85)), 0, 4) * rng.uniform(2, 14)
    return noise


def _harden(image: Field, spacing: Spacing, rng: np.random.Generator) -> Field:
    """Darken what lies between dense bones: rays that crossed them have lost their soft part."""
    bone = np.clip(image - 150, 0, 1500).sum(0, keepdims=True) * spacing[0]
    band = gaussian_filter1d(bone, 6 / spacing[1], axis=1) / 30000
    return np.where(image > -300, image - np.minimum(band, 2) * rng.uniform(3, 25), image)


def _shade(image: Field, across: Field, spacing: Spacing, rng: np.random.Generator) -> Field:
    """Darken where rays are long, between arms that lie beside the body above all, and unevenly all over.

    Scatter and hard beams: with arms down, the back of a real liver was 30 HU darker than its front.
    """
    reach = rng.uniform(10, 40)
    long = gaussian_filter1d(across, reach / spacing[1], axis=1)
    long = np.clip((long - np.median(long)) / (long.max() - np.median(long) + 1e-6), 0, 1)
    shade = rng.uniform(0, 45) * long ** rng.uniform(0.5, 2)
    shade = shade + rng.uniform(0, 16) * patchy(rng, image.shape, round(rng.uniform(60, 160) / min(spacing)))
    if rng.random() < 0.65:  # all of one side, mostly the back
        rows = np.arange(image.shape[1], dtype=np.float32)[None, :, None] * spacing[1]
        inside = np.broadcast_to(rows, image.shape)[image > -300]
        start = rng.uniform(*np.percentile(inside, (5, 80))) if inside.size else 0.0
        side = 1 if rng.random() < 0.75 else -1
        shade = shade + rng.uniform(0, 60) * np.clip(side * (start - rows) / rng.uniform(15, 110), 0, 1)
    return np.where(image > -300, image - shade, image).astype(np.float32)


def _move(image: Field, rng: np.random.Generator) -> Field:
    """Double the contours in a few slices, as breathing does."""
    start = int(rng.integers(0, image.shape[2]))
    moved = slice(start, start + int(rng.integers(2, 12)))
    share = rng.uniform(0.2, 0.5)
    image[..., moved] = (1 - share) * image[..., moved] + share * np.roll(
        image[..., moved], rng.integers(-2, 3), axis=1
    )
    return image


def _metal_streaks(metal: Mask, spacing: Spacing, rng: np.random.Generator) -> Field:
    """Bright and dark rays around each piece of metal, and shadows between the pieces."""
    streaks: Field = np.zeros(metal.shape, np.float32)
    x, y = (np.arange(metal.shape[axis], dtype=np.float32) * spacing[axis] for axis in (0, 1))
    strength, reach = rng.uniform(30, 260), rng.uniform(12, 60)
    for k in np.flatnonzero(metal.any(axis=(0, 1))):
        pieces, count = label(metal[..., k])
        for middle in center_of_mass(metal[..., k], pieces, range(1, min(count, MOST_PIECES) + 1)):
            fan = _fan(x - middle[0] * spacing[0], y - middle[1] * spacing[1], reach, rng)
            streaks[..., k] += fan * strength / count**0.5
    met = np.cumsum(metal, axis=0, dtype=np.float32) * spacing[0] / 10
    twice = np.minimum(met, met[-1:] - met)  # between two pieces, rays from side to side have met both
    streaks -= gaussian_filter1d(np.minimum(twice, 3), 4 / spacing[1], axis=1) * strength * 0.25
    streaks[metal] = 0
    return streaks


def _fan(x: Field, y: Field, reach: float, rng: np.random.Generator) -> Field:
    """Return (I, J) rays around the origin that fade over `reach` mm; opposite rays are alike, as lines are."""
    count = int(rng.integers(10, 40))
    rays = np.r_[rng.standard_normal(count), 0]
    rays[-1] = rays[0]
    angle = np.mod(np.arctan2(y[None, :], x[:, None]), np.pi) / np.pi * count
    distance = np.hypot(x[:, None], y[None, :])
    fade = np.exp(-distance / reach) + 0.1 * np.exp(-distance / 150)
    return np.asarray(np.interp(angle, np.arange(count + 1), rays) * fade, np.float32)


def _rings(shape: tuple[int, ...], rng: np.random.Generator) -> Field:
    """Circles around the middle from detector elements that count wrongly."""
    x, y = (np.arange(n) - n / 2 for n in shape[:2])
    radius = np.hypot(x[:, None], y[None, :])
    profile = rng.standard_normal(int(radius.max()) + 3) * rng.uniform(2, 12)
    return np.asarray(np.interp(radius, np.arange(profile.size), profile)[..., None], np.float32)


def _store(image: Field, materials: Bytes, spacing: Spacing, rng: np.random.Generator) -> Field:
    """Clip to what files hold, and give what lies outside of the reconstruction its constant."""
    padding = float(rng.choice([-1024, -1000, -2000, -3024]))
    if rng.random() < 0.8:
        image = np.clip(image, rng.choice([-1024, -1000]), rng.choice([3071, 3071, 32767]))
    if rng.random() < 0.3:
        radius = rng.uniform(170, 260)
        round_ = _beyond(image.shape, spacing, radius, rng.uniform(-30, 30, 2))
        image[round_ & (materials == Material.AIR)] = padding
    image[materials == Material.PADDING] = padding
    return np.asarray(image, np.float32)


def _beyond(shape: tuple[int, ...], spacing: Spacing, radius: float, shift: npt.NDArray[np.float64]) -> Mask:
    """Return where the scan plane lies further from its (shifted) middle than a radius in mm."""
    x, y = ((np.arange(n) - (n - 1) / 2) * s + d for n, s, d in zip(shape[:2], spacing[:2], shift, strict=True))
    outside = np.hypot(x[:, None], y[None, :]) > radius
    return np.asarray(np.broadcast_to(outside[..., None], shape))


def patchy(rng: np.random.Generator, shape: tuple[int, ...], size: int) -> Field:
    """Return noise that varies over `size` voxels, with a standard deviation of about 1."""
    coarse = rng.standard_normal(tuple(max(2, s // size + 1) for s in shape), dtype=np.float32)
    factors = [s / c for s, c in zip(shape, coarse.shape, strict=True)]
    return np.asarray(zoom(coarse, factors, order=1, mode="nearest") * 1.6, np.float32)
