"""Write small pictures: DICOM of any photometric interpretation, by pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 6, 8


def picture(photometric: str, *, bits: int = 8, stored: int = 0, signed: bool = False, **values: object) -> Dataset:
    """Return a data set of a picture without its pixels; grey or palette have one sample, the others three."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.Modality = generate_uid(), "DX"
    made.Rows, made.Columns, made.PhotometricInterpretation = ROWS, COLUMNS, photometric
    made.SamplesPerPixel = 1 if photometric.startswith(("MONO", "PALETTE")) else 3
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, stored or bits, (stored or bits) - 1
    made.PixelRepresentation = int(signed)
    made.update(_elements(values))
    return made


def _elements(values: dict[str, object]) -> Dataset:
    elements = Dataset()
    for name, value in values.items():
        setattr(elements, name, value)
    return elements


def save(path: Path, made: Dataset, pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write the picture with its pixels as they are stored, compressed without loss where `syntax` says so."""
    made.PixelData = np.ascontiguousarray(pixels).tobytes()
    if syntax != ExplicitVRLittleEndian:
        made.compress(syntax)
    made.save_as(path, enforce_file_format=True)
    return path


def save_encoded(path: Path, made: Dataset, frame: bytes, syntax: str, shape: Sequence[int]) -> Path:
    """Write a picture of (rows, columns) whose one frame is encoded already (a JPEG, say)."""
    made.file_meta.TransferSyntaxUID = syntax
    made.Rows, made.Columns = shape
    made.PixelData = encapsulate([frame])
    made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)
    return path
