"""From what a detector measured to what a reader sees: windows, curves, edge enhancement, shutters."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from DeepImagingLib.phantoms.radiograph import Beam
from DeepImagingLib.phantoms.shapes import Field, Mask


def shutters(beam: Beam, rng: np.random.Generator) -> Mask:
    """Return the (I, J) pixels that the beam's shutters leave open: nearly all, edges slightly aslant."""
    u, v = beam.u[:, None] / beam.u[0], beam.v[None, :] / beam.v[0]
    open_ = np.ones(np.broadcast(u, v).shape, bool)
    if rng.random() < 0.4:
        return open_
    for across, along in ((u, v), (-u, v), (v, u), (-v, u)):
        open_ &= across < rng.uniform(0.93, 1.1) + rng.uniform(-0.02, 0.02) * along
    return open_


def show(measured: Field, body: Mask, open_: Mask, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Return grey values from 0 (least attenuation) to 1, processed as one of many makers would.

    Args:
        measured: (I, J) logarithm of what the detector saw.
        body: Where rays went through the patient; decides the window.
        open_: Where the shutters let the beam through.
        pixel_mm: Size of a pixel.
        rng: Where the processing comes from.
    """
    image = _enhance_detail(measured, pixel_mm, rng)
    seen = image[body & open_] if (body & open_).any() else image.ravel()
    low, high = np.percentile(seen, (rng.uniform(0.3, 3), rng.uniform(93, 99.9)))
    low -= rng.uniform(0, 0.2) * (high - low)
    high += rng.uniform(0, 0.25) * (high - low)
    image = np.asarray((image - low) / max(high - low, 1e-3), np.float32)
    if rng.random() < 0.5:
        image = _s_curve(image, rng.uniform(2, 6), rng.uniform(0.35, 0.6))
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.7, 1.35))
    if rng.random() < 0.25:
        image = _equalise(image, rng)
    image = np.where(open_, image, 0 if rng.random() < 0.8 else 1)
    return np.asarray(image, np.float32)


def _enhance_detail(image: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Strengthen what is small, in two bands, and sometimes weaken what is large, as multi-scale processing does."""
    out = image
    for size_mm, most in ((1.5, 0.8), (12, 0.9)):
        out = out + rng.uniform(0, most) * (image - gaussian_filter(image, size_mm / pixel_mm, mode="nearest"))
    if rng.random() < 0.4:
        out = out - rng.uniform(0.1, 0.4) * gaussian_filter(image, 40 / pixel_mm, mode="nearest", truncate=2)
    return np.asarray(out, np.float32)


def _s_curve(image: Field, steepness: float, middle: float) -> Field:
    """Return a sigmoid of 0..1 that keeps its ends."""
    ends = 1 / (1 + np.exp(-steepness * (np.array([0, 1]) - middle)))
    curve = 1 / (1 + np.exp(-steepness * (np.clip(image, -0.5, 1.5) - middle)))
    return np.asarray((curve - ends[0]) / (ends[1] - ends[0]), np.float32)


def _equalise(image: Field, rng: np.random.Generator) -> Field:
    """Contrast-limited adaptive equalisation, mixed in."""
    from skimage.exposure import equalize_adapthist

    share = rng.uniform(0.3, 1)
    return np.asarray(share * equalize_adapthist(image, clip_limit=rng.uniform(0.005, 0.02)) + (1 - share) * image)
