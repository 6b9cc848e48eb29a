"""The only folder that reads and writes image files and DICOM; it knows results, and neither networks nor MRML."""

from DeepImagingLib.files.image import NOTE_KEY, as_image, digest
from DeepImagingLib.files.read import read
from DeepImagingLib.files.roi import read_roi
from DeepImagingLib.files.staging import failed_writing, staged
from DeepImagingLib.files.voxels import Voxels
from DeepImagingLib.files.write import SEGMENTATION_WRITERS, report, write_json, write_nifti, write_seg_nrrd

__all__ = [
    "NOTE_KEY",
    "SEGMENTATION_WRITERS",
    "Voxels",
    "as_image",
    "digest",
    "failed_writing",
    "read",
    "read_roi",
    "report",
    "staged",
    "write_json",
    "write_nifti",
    "write_seg_nrrd",
]
