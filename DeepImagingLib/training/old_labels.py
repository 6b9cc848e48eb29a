"""What a model found before it is trained on new labels, so that it goes on finding it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from monai.transforms import MapTransform

from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.training.validate import evaluating

if TYPE_CHECKING:
    from DeepImagingLib.bundles.build import Pipeline


class OldLabelsd(MapTransform):
    """Fill the background of labels with what a bundle finds there (Learning without forgetting, Li and Hoiem, 2018).

    Labels that somebody drew stay as they were drawn, also where the bundle would find more of them.

    Args:
        keys: Of the labels (1, I, J, K), whose numbers are channels of a network that has the bundle's labels first.
        bundle: Its folder or name; its labels exclude each other.
        drawn: Channels of the labels that were drawn.
        image: Key of the image as the bundle's preprocessing leaves it.
        device: Where to run it.
        trust: SHA-256 of the bundle's content, where it has to be trusted.
    """

    def __init__(
        self,
        keys: Hashable,
        bundle: str,
        drawn: Sequence[int] = (),
        image: str = "image",
        device: str = "cpu",
        trust: str | None = None,
    ) -> None:
        super().__init__(keys)
        self.image, self.drawn = image, list(drawn)
        self._how = (bundle, trust, device)

    @cached_property
    def _pipeline(self) -> Pipeline:
        bundle, trust, device = self._how
        return load_bundle(bundle, trust).build(device)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with its labels filled."""
        filled = dict(data)
        network = self._pipeline.network
        image = torch.as_tensor(data[self.image]).as_subclass(torch.Tensor)[None].to(self._how[2])
        with evaluating(network), torch.no_grad():
            found = self._pipeline.inferer(image, network).argmax(1).cpu()
        found[torch.isin(found, torch.tensor(self.drawn, dtype=found.dtype))] = 0
        for key in self.key_iterator(filled):
            label = torch.as_tensor(filled[key])
            filled[key] = torch.where(label > 0, label, found.to(label.dtype))
        return filled
