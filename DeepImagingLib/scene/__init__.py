"""The only folder that touches MRML: volume nodes to images, results to nodes, scenes to files and pictures.

Inside Slicer it works on the application's scene; outside, `host()` starts one on the `slicer-core` package.
Widgets don't live here.
"""

from DeepImagingLib.scene.export import ResultExport
from DeepImagingLib.scene.host import available, host
from DeepImagingLib.scene.region import region
from DeepImagingLib.scene.segmentations import show
from DeepImagingLib.scene.volumes import add_volume, read

__all__ = ["ResultExport", "add_volume", "available", "host", "read", "region", "show"]
