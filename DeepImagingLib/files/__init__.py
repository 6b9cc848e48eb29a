"""The only folder that reads and writes image files and DICOM; it knows results, and neither networks nor MRML."""

from DeepImagingLib.files.classes import (
    CLASSIFICATION_WRITERS,
    classes_report,
    write_classes_csv,
    write_classes_json,
)
from DeepImagingLib.files.findings import (
    DETECTION_WRITERS,
    KeptBoxes,
    findings_report,
    write_findings_csv,
    write_findings_json,
)
from DeepImagingLib.files.image import NOTE_KEY, as_image, digest
from DeepImagingLib.files.lesions import Reference, read_deeplesion, read_luna16
from DeepImagingLib.files.read import picture_size, read
from DeepImagingLib.files.roi import read_roi
from DeepImagingLib.files.staging import failed_writing, staged
from DeepImagingLib.files.voxels import Voxels
from DeepImagingLib.files.write import SEGMENTATION_WRITERS, report, write_json, write_nifti, write_seg_nrrd

__all__ = [
    "CLASSIFICATION_WRITERS",
    "DETECTION_WRITERS",
    "KeptBoxes",
    "NOTE_KEY",
    "Reference",
    "SEGMENTATION_WRITERS",
    "Voxels",
    "as_image",
    "classes_report",
    "digest",
    "failed_writing",
    "findings_report",
    "picture_size",
    "read",
    "read_deeplesion",
    "read_luna16",
    "read_roi",
    "report",
    "staged",
    "write_classes_csv",
    "write_classes_json",
    "write_findings_csv",
    "write_findings_json",
    "write_json",
    "write_nifti",
    "write_seg_nrrd",
]
