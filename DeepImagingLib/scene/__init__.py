"""The only folder that touches MRML: volume nodes to images, results to nodes, scenes to files and pictures.

Inside Slicer it works on the application's scene; outside, `host()` starts one on the `slicer-core` package.
Widgets don't live here.
"""

from DeepImagingLib.scene.anatomy import anatomy_of
from DeepImagingLib.scene.class_sheet import write_class_picture
from DeepImagingLib.scene.classifications import (
    ShownHeatmap,
    add_heatmaps,
    classification_of,
    image_of,
    show_classes,
    shown_heatmaps,
)
from DeepImagingLib.scene.contact_sheet import write_sheet
from DeepImagingLib.scene.detections import (
    Finding,
    Review,
    detections_of,
    findings,
    found_by_run,
    relist,
    set_review,
    set_threshold,
    show_findings,
    threshold_of,
)
from DeepImagingLib.scene.export import ClassificationExport, DetectionsExport, ResultExport
from DeepImagingLib.scene.host import available, host
from DeepImagingLib.scene.jump import jump, jump_to_slice
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
from DeepImagingLib.scene.overlays import lay_over, scale_of, see_from, seen_from, slice_composites
from DeepImagingLib.scene.region import region
from DeepImagingLib.scene.removal import probability_volumes, remove
from DeepImagingLib.scene.saving import export_segmentation
from DeepImagingLib.scene.scales import fit_scale
from DeepImagingLib.scene.segmentations import show
from DeepImagingLib.scene.shown_slice import add_shown_slice, shown_slice
from DeepImagingLib.scene.state import VolumeState, changed_since, state_of
from DeepImagingLib.scene.surfaces import surfaces
from DeepImagingLib.scene.volumes import add_volume, read, voxels

__all__ = [
    "ClassificationExport",
    "DetectionsExport",
    "Finding",
    "ResultExport",
    "Review",
    "ShownHeatmap",
    "VolumeState",
    "add_heatmaps",
    "add_shown_slice",
    "add_volume",
    "anatomy_of",
    "available",
    "case_files",
    "changed_since",
    "classification_of",
    "drafts",
    "detections_of",
    "export_segmentation",
    "findings",
    "fit_scale",
    "found_by_run",
    "host",
    "image_of",
    "learn_from",
    "jump",
    "jump_to_slice",
    "lay_over",
    "list_of",
    "outlines",
    "pairs",
    "probability_volumes",
    "read",
    "region",
    "relist",
    "remove",
    "scale_of",
    "scans",
    "see_from",
    "seen_from",
    "segment_names",
    "set_review",
    "set_threshold",
    "show",
    "show_classes",
    "show_findings",
    "shown_heatmaps",
    "slice_composites",
    "shown_slice",
    "stamp",
    "state_of",
    "surfaces",
    "threshold_of",
    "voxels",
    "write_markups",
    "write_sheet",
    "write_class_picture",
    "write_list",
]
