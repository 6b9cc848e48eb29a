"""A DICOM file without a place in the patient: X-ray, photograph, ultrasound frame or film, a slide in tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import photometric
from DeepImagingLib.files.image import LPS_TO_RAS, as_image

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from pydicom import Dataset

# What only a film has (PS3.3, C.7.6.5): its frames follow each other in time, and don't lie behind each other.
FILM_TAGS = ("FrameTime", "FrameTimeVector", "CineRate")
SLIDE_TAGS = ("TotalPixelMatrixColumns", "TotalPixelMatrixRows", "DimensionOrganizationType")
SPACING_TAGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
PICTURE_TAGS = (*photometric.PHOTOMETRIC_TAGS, *FILM_TAGS, *SLIDE_TAGS, *SPACING_TAGS, "SequenceOfUltrasoundRegions")
FLAT, CENTIMETRES = 1, 3  # PS3.3, C.8.5.5.1.1 and C.8.5.5.1.15
LARGEST_SLIDE = 1e8  # pixels: 1.2 GB as RGB in float32


def read_picture(path: Path, header: Dataset) -> MetaTensor:
    """Return the picture (C, I, J), its first pixel in the upper left corner; a film (C, I, J, frames) says so.

    The spacing is, in this order, that of PixelSpacing, ImagerPixelSpacing, NominalScannedPixelSpacing, the functional
    groups or the ultrasound regions, else 1 mm.

    Raises:
        InputError: The pixel spacing is zero or damaged, frames are neither a film's nor a slide's, a slide is
            too large or not fully tiled, or the voxels can't be decoded.
    """
    affine = LPS_TO_RAS @ np.diag([*_spacing(path, header), 1.0, 1.0])
    turned = photometric.note(header)
    frames = int(header.get("NumberOfFrames") or 1)
    if "TotalPixelMatrixColumns" in header:
        return as_image(_slide(path, header, frames), affine, turned)
    if frames == 1:
        return as_image(photometric.decode(path, header)[..., 0], affine, turned)
    if not any(tag in header for tag in FILM_TAGS):
        raise InputError(f"The DICOM file {path.name!r} has frames without a place each; convert it to NIfTI or NRRD.")
    film = f"The {frames} frames of the film are taken as slices 1 mm apart; they follow in time, not in space."
    return as_image(photometric.decode(path, header), affine, f"{turned} {film}".strip())


def _spacing(path: Path, header: Dataset) -> tuple[float, float]:
    """Return mm between columns (I) and between rows (J)."""
    try:
        given: Sequence[Any] = next((header[tag].value for tag in SPACING_TAGS if header.get(tag)), ())
        row, column = map(float, given or _of_functional_groups(header) or _of_ultrasound(header) or (1, 1))
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"The header of the DICOM file {path.name!r} is damaged; export it again.") from error
    if not (row > 0 and column > 0):
        raise InputError(f"The DICOM file {path.name!r} has a pixel spacing of zero; its size can't be known.")
    return column, row


def _of_functional_groups(header: Dataset) -> Sequence[Any]:
    shared = header.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    return measures[0].get("PixelSpacing") or () if measures else ()


def _of_ultrasound(header: Dataset) -> Sequence[float]:
    """Return mm between rows and columns where all flat regions of an ultrasound picture have the same, else ()."""
    sizes = {
        (round(10 * abs(region.PhysicalDeltaY), 6), round(10 * abs(region.PhysicalDeltaX), 6))
        for region in header.get("SequenceOfUltrasoundRegions") or ()
        if region.RegionSpatialFormat == FLAT
        and region.PhysicalUnitsXDirection == region.PhysicalUnitsYDirection == CENTIMETRES
    }
    return next(iter(sizes)) if len(sizes) == 1 else ()


def _slide(path: Path, header: Dataset, frames: int) -> npt.NDArray[Any]:
    """Return (C, I, J) of a whole slide image from its tiles, which are stored row by row (PS3.3, C.7.6.17.3)."""
    columns, rows = int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)
    if columns * rows > LARGEST_SLIDE:
        raise InputError(f"The slide {path.name!r} has {columns}×{rows} pixels; give a coarser level of it, or a part.")
    across, down = -(-columns // header.Columns), -(-rows // header.Rows)
    if header.get("DimensionOrganizationType") != "TILED_FULL" or frames != across * down:
        raise InputError(f"The slide {path.name!r} is not one full plane of tiles; export it as TIFF or PNG.")
    tiles = photometric.decode(path, header)
    grid = tiles.reshape(*tiles.shape[:3], down, across).transpose(0, 4, 1, 3, 2)  # C, tile, I, tile, J
    return grid.reshape(tiles.shape[0], across * header.Columns, down * header.Rows)[:, :columns, :rows]
