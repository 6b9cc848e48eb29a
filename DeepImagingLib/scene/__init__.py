"""The only folder that touches MRML: volume nodes to images, results to nodes, scenes to files and pictures.

Inside Slicer it works on the application's scene; outside, `host()` starts one on the `slicer-core` package.
Widgets don't live here.
"""

from DeepImagingLib.scene.export import ResultExport
from DeepImagingLib.scene.host import available, host
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
from DeepImagingLib.scene.region import region
from DeepImagingLib.scene.removal import probability_volumes, remove
from DeepImagingLib.scene.saving import export_segmentation
from DeepImagingLib.scene.segmentations import show
from DeepImagingLib.scene.state import VolumeState, changed_since, state_of
from DeepImagingLib.scene.surfaces import surfaces
from DeepImagingLib.scene.volumes import add_volume, read, voxels

__all__ = [
    "ResultExport",
    "VolumeState",
    "add_volume",
    "available",
    "case_files",
    "changed_since",
    "drafts",
    "export_segmentation",
    "host",
    "learn_from",
    "list_of",
    "outlines",
    "pairs",
    "probability_volumes",
    "read",
    "region",
    "remove",
    "scans",
    "segment_names",
    "show",
    "stamp",
    "state_of",
    "surfaces",
    "voxels",
    "write_list",
]
