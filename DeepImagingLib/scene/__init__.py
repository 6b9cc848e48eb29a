"""The only folder that touches MRML: volume nodes to images, results to nodes, scenes to files and pictures.

Inside Slicer it works on the application's scene; outside, `host()` starts one on the `slicer-core` package.
Widgets don't live here.
"""

from DeepImagingLib.scene.anatomy import anatomy_of
from DeepImagingLib.scene.contact_sheet import write_sheet
from DeepImagingLib.scene.detections import (
    Finding,
    Review,
    detections_of,
    findings,
    set_review,
    set_threshold,
    show_findings,
    threshold_of,
)
from DeepImagingLib.scene.export import DetectionsExport, ResultExport
from DeepImagingLib.scene.host import available, host
from DeepImagingLib.scene.jump import jump
from DeepImagingLib.scene.labelled import (
    case_files,
    drafts,
    learn_from,
    list_of,
    outlines,
    pairs,
    scans,
    segment_names,
    stamp,
    write_list,
)
from DeepImagingLib.scene.markups_file import write_markups
from DeepImagingLib.scene.region import region
from DeepImagingLib.scene.removal import probability_volumes, remove
from DeepImagingLib.scene.saving import export_segmentation
from DeepImagingLib.scene.segmentations import show
from DeepImagingLib.scene.state import VolumeState, changed_since, state_of
from DeepImagingLib.scene.surfaces import surfaces
from DeepImagingLib.scene.volumes import add_volume, read, voxels

__all__ = [
    "DetectionsExport",
    "Finding",
    "ResultExport",
    "Review",
    "VolumeState",
    "add_volume",
    "anatomy_of",
    "available",
    "case_files",
    "changed_since",
    "drafts",
    "detections_of",
    "export_segmentation",
    "findings",
    "host",
    "learn_from",
    "jump",
    "list_of",
    "outlines",
    "pairs",
    "probability_volumes",
    "read",
    "region",
    "remove",
    "scans",
    "segment_names",
    "set_review",
    "set_threshold",
    "show",
    "show_findings",
    "stamp",
    "state_of",
    "surfaces",
    "threshold_of",
    "voxels",
    "write_markups",
    "write_sheet",
    "write_list",
]
