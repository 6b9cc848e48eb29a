"""What contour torsos are made of, and a scanner that measures them along rays: noise and beam effects in projections.

Only the measurement's error is reconstructed (filtered back-projection is linear), so that few views suffice.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom
from scipy.sparse import csr_matrix

from DeepImagingLib.phantoms.contours import GRID, PIXEL_MM, Mask

Image = npt.NDArray[np.float32]
Tissues = npt.NDArray[np.uint8]

VIEWS = 150
WATER_PER_MM = 0.0195
"""Linear attenuation of water at 69 keV (Hubbell and Seltzer, NIST 126)."""

PHASES = ("none", "arterial", "venous", "late")


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR, FAT, MUSCLE, SKIN, LUNG, GAS, CORTEX, ENDPLATE, SPONGY, MARROW, DISC, CARTILAGE, CORD = range(13)
    LIVER, SPLEEN, RENAL_CORTEX, MEDULLA, MYOCARDIUM, LEFT_BLOOD, RIGHT_BLOOD, AORTA, CAVA, UPPER_CAVA = range(13, 23)
    PORTAL, HEPATIC, WALL, FLUID, STOOL, CHYME, URINE, BILE, PANCREAS, GLAND, CALCIUM, BRAIN, SHELL, FOAM = range(
        23, 37
    )
    CLOTH = 37


HOUNSFIELD: dict[Tissue, tuple[float, float, float, float, float]] = {
    # without contrast, arterial, venous, late; and the standard deviation of its texture
    Tissue.AIR: (-1000, -1000, -1000, -1000, 0),
    Tissue.FAT: (-103, -102, -100, -100, 8),
    Tissue.MUSCLE: (52, 58, 64, 62, 12),
    Tissue.SKIN: (0, 5, 10, 10, 20),
    Tissue.LUNG: (-850, -845, -840, -840, 22),
    Tissue.GAS: (-970, -970, -970, -970, 5),
    Tissue.CORTEX: (720, 720, 720, 720, 130),
    Tissue.ENDPLATE: (390, 390, 390, 390, 60),
    Tissue.SPONGY: (165, 170, 178, 175, 45),
    Tissue.MARROW: (30, 35, 40, 40, 45),
    Tissue.DISC: (82, 82, 84, 84, 10),
    Tissue.CARTILAGE: (95, 95, 97, 97, 25),
    Tissue.CORD: (28, 28, 30, 30, 8),
    Tissue.LIVER: (56, 68, 110, 92, 3),
    Tissue.SPLEEN: (48, 128, 122, 98, 3),
    Tissue.RENAL_CORTEX: (32, 165, 185, 150, 4),
    Tissue.MEDULLA: (30, 60, 160, 155, 5),
    Tissue.MYOCARDIUM: (42, 95, 105, 85, 4),
    Tissue.LEFT_BLOOD: (42, 330, 150, 112, 2),
    Tissue.RIGHT_BLOOD: (42, 240, 150, 112, 4),
    Tissue.AORTA: (42, 330, 150, 112, 2),
    Tissue.CAVA: (42, 65, 130, 112, 6),
    Tissue.UPPER_CAVA: (42, 350, 155, 112, 25),
    Tissue.PORTAL: (42, 90, 165, 115, 2),
    Tissue.HEPATIC: (42, 50, 155, 112, 2),
    Tissue.WALL: (38, 78, 90, 75, 6),
    Tissue.FLUID: (12, 12, 14, 14, 8),
    Tissue.STOOL: (5, 5, 5, 5, 90),
    Tissue.CHYME: (35, 35, 38, 38, 22),
    Tissue.URINE: (5, 5, 8, 60, 2),
    Tissue.BILE: (10, 10, 12, 12, 2),
    Tissue.PANCREAS: (38, 98, 92, 78, 16),
    Tissue.GLAND: (38, 55, 70, 65, 8),
    Tissue.CALCIUM: (600, 600, 600, 600, 100),
    Tissue.BRAIN: (34, 36, 38, 38, 4),
    Tissue.SHELL: (-120, -120, -120, -120, 10),
    Tissue.FOAM: (-930, -930, -930, -930, 5),
    Tissue.CLOTH: (-780, -780, -780, -780, 60),
}
"""Means in HU. Without contrast: Lamba et al., AJR 203 (2014) 1013; phases: Bae, Radiology 256 (2010) 32-61; spongy
bone: Pickhardt et al., Ann Intern Med 158 (2013) 588; cortex, cartilage and the rest after ICRU Report 44."""


def color(tissues: Tissues, phase: int, rng: np.random.Generator) -> Image:
    """Return true HU: each tissue's mean, off by a bit in each body, and its texture."""
    means, grains = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for tissue, row in HOUNSFIELD.items():
        gain = row[phase] - row[0]
        means[tissue] = row[0] + gain * rng.normal(1, 0.18) + rng.normal(0, 4) * (row[4] > 0)
        grains[tissue] = row[4]
    bone, fatty_liver = rng.normal(0, 40), rng.choice([0, -20, -45], p=[0.75, 0.17, 0.08])
    means[[Tissue.SPONGY, Tissue.MARROW, Tissue.ENDPLATE]] += bone
    means[Tissue.LIVER] += fatty_liver
    means[Tissue.LUNG] += rng.normal(0, 40)
    means[Tissue.SHELL] += rng.uniform(0, 400)
    return means[tissues] + grains[tissues] * _grain(tissues.shape, rng)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Return texture of two sizes with a standard deviation of 1."""
    fine = gaussian_filter(rng.standard_normal(shape, np.float32), (0.6, 0.9, 0.9))
    rough = gaussian_filter(rng.standard_normal([max(2, n // 3) for n in shape], np.float32), 1.1)
    rough = zoom(rough, [n / m for n, m in zip(shape, rough.shape, strict=True)], order=1)
    return np.asarray(0.6 * fine / fine.std() + 0.8 * rough / rough.std(), np.float32)


def measure(truth: Image, rng: np.random.Generator) -> Image:
    """Return what a scanner shows of (K, I, J) true HU: blurred, noisy along rays, darkened between bones."""
    sharp = rng.uniform(0.45, 0.9)
    photons = np.exp(rng.uniform(np.log(5e4), np.log(1.5e6)))
    hardening, modulation, cutoff = rng.uniform(0, 0.012), rng.uniform(0.2, 0.8), rng.uniform(0.45, 1.0)
    blurred = gaussian_filter(truth, (0, sharp, sharp))
    soft, bone = _paths(np.clip(truth, -1000, 1500)), _paths(np.clip(truth - 150, 0, 1500) - 1000)
    reference = soft.max(axis=(0, 1)) - 5.0
    variance = np.exp(np.minimum(soft - modulation * reference, 12)) / photons
    back = _backprojector()
    for k in range(0, len(truth), 32):
        some = slice(k, k + 32)
        error = rng.standard_normal(variance[..., some].shape, np.float32) * np.sqrt(variance[..., some])
        error -= hardening * bone[..., some] ** 2
        rays = _ramp(error, cutoff).reshape(-1, error.shape[-1])
        hounsfield = (back @ rays).T * np.float32(1000 / WATER_PER_MM)
        blurred[some] += hounsfield.reshape(-1, *GRID)
    return blurred


def _detector(step_mm: float, grid: tuple[int, int]) -> tuple[npt.NDArray[np.int32], int]:
    """Return which detector cell each pixel falls on, (pixel, view), and how many cells there are."""
    x, y = ((np.arange(n) - (n - 1) / 2) for n in grid)
    angles = np.pi * np.arange(VIEWS) / VIEWS
    along = x[:, None, None] * np.cos(angles) + y[None, :, None] * np.sin(angles)
    cells = 2 * int(np.hypot(*grid) / 2 + 2)
    return np.rint(along + cells / 2).astype(np.int32).reshape(-1, VIEWS), cells


def _matrix(grid: tuple[int, int], value: float) -> tuple[csr_matrix, int]:
    """Return the (pixel, view and cell) matrix that smears rays over pixels; its transpose sums pixels along rays."""
    cell, cells = _detector(1.0, grid)
    columns = (cell + np.arange(VIEWS, dtype=np.int32) * cells).ravel()
    rows = np.arange(0, columns.size + 1, VIEWS, dtype=np.int32)
    weights = np.full(columns.size, value, np.float32)
    return csr_matrix((weights, columns, rows), shape=(cell.shape[0], VIEWS * cells)), cells


def _paths(hounsfield: Image) -> Image:
    """Return line integrals of attenuation, (view, cell, K), measured on half as many pixels."""
    halved = hounsfield.reshape(len(hounsfield), GRID[0] // 2, 2, GRID[1] // 2, 2).mean(axis=(2, 4))
    matrix, cells = _matrix((GRID[0] // 2, GRID[1] // 2), 2 * PIXEL_MM * WATER_PER_MM)
    flat = np.ascontiguousarray((1 + halved / 1000).reshape(len(halved), -1).T, np.float32)
    paths = (matrix.T.tocsr() @ flat).reshape(VIEWS, cells, -1)
    full = 2 * int(np.hypot(*GRID) / 2 + 2)
    smooth = gaussian_filter1d(paths, 0.7, axis=1)
    at = np.clip(np.rint((np.arange(full) - full / 2) / 2 + cells / 2).astype(int), 0, cells - 1)
    return np.asarray(smooth[:, at], np.float32)


def _backprojector() -> csr_matrix:
    return _matrix(GRID, np.pi / VIEWS)[0]


def _ramp(rays: Image, cutoff: float) -> Image:
    """Filter (view, cell, K) rays by a ramp that a Hann window ends at a share of the highest frequency."""
    count = rays.shape[1]
    frequency = np.fft.rfftfreq(2 * count, PIXEL_MM)
    share = np.minimum(frequency / (frequency[-1] * cutoff), 1)
    window = frequency * (0.5 + 0.5 * np.cos(np.pi * share))
    spectrum = np.fft.rfft(rays, 2 * count, axis=1) * window[None, :, None]
    return np.asarray(np.fft.irfft(spectrum, axis=1)[:, :count], np.float32)


def circle() -> Mask:
    """Return (I, J) what lies inside the scanner's round field."""
    x, y = ((np.arange(n) - (n - 1) / 2) * PIXEL_MM for n in GRID)
    return np.asarray(np.hypot(x[:, None], y[None, :]) < GRID[0] * PIXEL_MM / 2)
