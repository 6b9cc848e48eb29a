"""Why a classifier said so: maps of what spoke for a class, and whether they show what the network learned.

Maps are raw values in the network's own grid, or in a coarser one of cells; `to_input` brings them onto the image.
"""

from DeepImagingLib.explain.heatmaps import heatmap
from DeepImagingLib.explain.layers import layers, target_layer
from DeepImagingLib.explain.mapping import to_input
from DeepImagingLib.explain.randomised import depends_on_weights
from DeepImagingLib.options import METHODS
from DeepImagingLib.results import INDEPENDENT

__all__ = ["INDEPENDENT", "METHODS", "depends_on_weights", "heatmap", "layers", "target_layer", "to_input"]
