"""Write small DICOM series, regular or faulty, by pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

ROWS, COLUMNS = 6, 8
SPACING = (0.5, 0.75)  # between rows (J), between columns (I)


def write_series(
    folder: Path,
    positions: Sequence[float],
    *,
    shift: float = 0.0,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    uid: str | None = None,
    seed: int = 0,
    compressed: bool = False,
) -> np.ndarray:
    """Write one slice at each position (mm along the normal), in shuffled file order.

    Args:
        folder: Made where it is missing.
        positions: mm along the slice normal.
        shift: mm by which each slice moves along its columns for each mm along the normal, as a tilted gantry does.
        orientation: Image Orientation (Patient).
        uid: Series Instance UID; "" leaves it empty.
        seed: Of the voxels.
        compressed: Store the voxels run-length encoded, without loss.

    Returns:
        (I, J, K) Hounsfield units in the order of `positions`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    hounsfield = rng.integers(-1000, 1000, (COLUMNS, ROWS, len(positions))).astype(np.int16)
    axes = np.reshape(orientation, (2, 3)).astype(float)
    normal = np.cross(*axes)
    uid = generate_uid() if uid is None else uid
    for index in rng.permutation(len(positions)):
        position = positions[index] * (normal + shift * axes[1])
        slice_ = _slice(position, orientation, uid, hounsfield[:, :, index].T)
        if compressed:
            slice_.compress(RLELossless)
        slice_.save_as(folder / f"{rng.integers(10**9)}.dcm", enforce_file_format=True)
    return hounsfield


def _slice(position: np.ndarray, orientation: Sequence[float], uid: str, rows: np.ndarray) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.Modality, made.PatientName = uid, "CT", "Secret^Name"
    made.Rows, made.Columns = ROWS, COLUMNS
    made.PixelSpacing, made.SliceThickness = list(SPACING), 2.0
    made.ImagePositionPatient = [float(f"{p:.4f}") for p in position]
    made.ImageOrientationPatient = list(orientation)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    made.RescaleIntercept, made.RescaleSlope = -1024, 1
    made.PixelData = (rows + 1024).astype(np.uint16).tobytes()
    return made
