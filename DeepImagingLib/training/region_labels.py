"""Where a finding is, beside whether it is there: labels that carry it, and a loss that has a network look there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.networks.nets import DenseNet
from monai.transforms import MapTransform
from torch.nn.functional import adaptive_max_pool2d

from DeepImagingLib.training.losses import KnownBCELoss


class RegionsInLabeld(MapTransform):
    """Puts regions (F, I, J) of the first F labels behind these: a label (L,) becomes (L, 1 + cells · cells).

    Of a finding that was moved out of the picture nothing is known.

    Args:
        keys: Of the regions, which are taken out.
        label_key: Of the label.
        cells: Along each side of the network's last maps.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", cells: int = 8) -> None:
        super().__init__(keys)
        self.label_key, self.cells = label_key, cells

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data with another label and without regions."""
        made = dict(data)
        for key in self.keys:
            region = torch.as_tensor(made.pop(key)).as_subclass(torch.Tensor).float()
            within = (adaptive_max_pool2d(region, self.cells) > 0).flatten(1).float()
            label = torch.as_tensor(made[self.label_key]).float().clone()
            label[: len(within)][(label[: len(within)] == 1) & ~within.any(dim=1)] = torch.nan
            where = torch.zeros(len(label), within.shape[1])
            where[: len(within)] = within
            made[self.label_key] = torch.cat([label[:, None], where], dim=1)
        return made


class RegionBCELoss(KnownBCELoss):
    """Binary cross-entropy, and how little of a label's class activation map lies where the finding is.

    What each cell of the map (Zhou et al., CVPR 2016) adds to the label's logit is made a share of 1 by a softmax; the
    loss is minus the logarithm of what lies in the region. A softmax of the map itself, which is as many times larger
    as it has cells, has a network find small findings and make hardly anything of them for the label.

    Args:
        network: MONAI's DenseNet, whose last layer is linear in the mean of its last maps.
        weight: Of the regions beside the labels.
    """

    def __init__(self, network: DenseNet, weight: float = 0.3) -> None:
        super().__init__()
        self.weight = weight
        self._last = [network.class_layers.out]  # in a list, so that the network is no part of its own loss
        self._features: list[torch.Tensor] = []
        kept = self._features
        network.features.register_forward_hook(lambda _module, _inputs, answer: kept.__setitem__(slice(None), [answer]))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            logits: (B, L) of the network, of its latest call.
            target: (B, L, 1 + cells) as `RegionsInLabeld` makes it: 0, 1 or NaN, then which cells are in the region.
        """
        label, within = target[..., 0], target[..., 1:] > 0
        loss = super().forward(logits, label)
        shown = (label == 1) & within.any(dim=-1)
        if not shown.any():
            return loss
        features = torch.relu(self._features[0].float())
        maps = torch.einsum("bchw,lc->blhw", features, self._last[0].weight.float()).flatten(2)
        shares = (maps[shown] / maps.shape[-1]).log_softmax(dim=-1)
        inside = shares.masked_fill(~within[shown], -torch.inf).logsumexp(dim=-1)
        return loss - self.weight * inside.mean()
