"""The heatmaps of a run: of each label asked for, over all that the network saw of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.explain.heatmaps import heatmap
from DeepImagingLib.explain.mapping import to_input
from DeepImagingLib.explain.randomised import FixedWeightsError, depends_on_weights
from DeepImagingLib.inference.classify import prepared
from DeepImagingLib.inference.predict import told_plainly
from DeepImagingLib.results import PATCHES, Heatmap
from DeepImagingLib.tasks.classification import channels_of

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.classify import Said
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

QUICK = ("gradcam", "gradcam++")
DRAWS = 3
"""Random networks that a map which is made quickly is compared with; others are with one."""


@dataclass(frozen=True)
class Explaining:
    """What heatmaps are made of.

    Attributes:
        bundle, pipeline, device: That the run was made with.
        said: What came of it.
        options: Labels, method and layer.
        monitor: Told of each map.
    """

    bundle: Bundle
    pipeline: Pipeline
    device: torch.device
    said: Said
    options: Options
    monitor: Monitor

    def heatmaps(self, probabilities: Sequence[float], thresholds: Sequence[float]) -> tuple[Heatmap, ...]:
        """Return those that were asked for; of a picture cut into patches always their probabilities instead.

        Args:
            probabilities, thresholds: Of each label, to find the top ones.

        Returns:
            Their values are (I, J, K) in the grid that the network was given, K = 1 of a picture.

        Raises:
            InputError: There is no such label or layer, or the method can't explain this network.
            BundleError: The preprocessing loses where the image lies.
            CancelledError: The monitor was told to stop.
        """
        said = self.said
        least = () if said.answers.exclusive else thresholds
        channels = channels_of(self.options.heatmaps, said.names, probabilities, least)
        if said.parts.patch:
            shown = channels or range(len(said.names))
            return tuple(Heatmap(said.names[n], PATCHES, said.parts.map_of(said.probabilities[:, n])) for n in shown)
        with told_plainly(self.bundle, self.device):
            return tuple(self._heatmap(channel) for channel in channels)

    def _heatmap(self, channel: int) -> Heatmap:
        name, options = self.said.names[channel], self.options
        with self.monitor.stage(f"Heatmap of {name}"):
            values = np.concatenate([self._plane(channel, number) for number in range(len(self.said.parts))], axis=2)
        with self.monitor.stage("Trying random weights"):
            layer = options.layer if options.method in QUICK else ""  # the others look at no layer
            return Heatmap(name, options.method, values, layer, self._sameness(channel))

    def _plane(self, channel: int, number: int) -> npt.NDArray[np.float32]:
        """Return the map (I, J, K) of a label in one part of the input."""
        parts, options = self.said.parts, self.options
        monitor = self.monitor.part(number, len(parts))
        image = prepared(self.bundle, self.pipeline, parts, number, monitor)
        self._check_place(image)
        made = heatmap(self.pipeline.network, image, channel, options.method, options.layer or None, monitor)
        return parts.back(to_input(made, next(iter(parts[number].values()))))

    def _check_place(self, image: MetaTensor) -> None:
        """Raise BundleError where the preprocessing moved axes or made the image anew without telling where it lies."""
        from monai.transforms import Transposed
        from monai.utils import MetaKeys

        moved = any(isinstance(step, Transposed) for step in self.pipeline.preprocessing.flatten().transforms)
        if moved or MetaKeys.ORIGINAL_AFFINE not in image.meta:
            raise BundleError(
                "The bundle's preprocessing loses where the image lies (Transposed, ToNumpyd, or no meta data), so no "
                "heatmap can be laid over it; take the step out, or do without heatmaps."
            )

    def _sameness(self, channel: int) -> float | None:
        """Return how alike the most probable part's map is to those of random weights; None where these are fixed."""
        number = int(self.said.probabilities[:, channel].argmax())
        image = prepared(self.bundle, self.pipeline, self.said.parts, number, self.monitor)
        method, layer = self.options.method, self.options.layer or None
        draws = DRAWS if method in QUICK else 1
        try:
            return depends_on_weights(
                self.pipeline.network, image, channel, method, layer, draws=draws, monitor=self.monitor
            )
        except (FixedWeightsError, InputError):  # or random weights gave no numbers, which says nothing of this map
            return None
