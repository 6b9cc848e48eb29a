"""Losses that leave out what isn't there: labels that are absent, or of which nothing is known."""

from __future__ import annotations

import torch


class PresentDiceCELoss(torch.nn.Module):
    """Cross-entropy plus 1 - Dice, averaged over those labels above 0 that occur in each image.

    A patch of a body shows few of its organs. Dice of a label that is absent is a constant near 1 with a gradient that
    says nothing but "less of it", which cross-entropy says already. MONAI's DiceCELoss has no way to leave it out, and
    makes one-hot volumes, which for many labels cost more than the network's own last layer.
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            logits: (B, K, ...) of the network.
            target: (B, 1, ...) whole numbers from 0 to K - 1.
        """
        images, labels = logits.shape[:2]
        # labels last: a voxel's values lie side by side already where channels are last, and are quick to sum else
        log = torch.log_softmax(logits.movedim(1, -1).reshape(images, -1, labels), -1, dtype=torch.float32)
        truth = target.flatten(1).long()
        of_truth = log.gather(2, truth[..., None])[..., 0]
        place = (truth + labels * torch.arange(images, device=truth.device)[:, None]).flatten()
        size = torch.bincount(place, minlength=images * labels).to(log.dtype)
        shared = torch.zeros_like(size).index_add(0, place, of_truth.exp().flatten())
        dice = 2 * shared / (log.exp().sum(1).flatten() + size)
        counts = size > 0
        counts[::labels] = False
        loss = -of_truth.mean()
        return loss + 1 - dice[counts].mean() if counts.any() else loss


class KnownBCELoss(torch.nn.Module):
    """Binary cross-entropy of those labels that are known, each image's and label's of the same weight."""

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            logits: (B, L) of the network.
            target: (B, L) of 0 and 1, NaN where nothing is known.
        """
        known = ~target.isnan()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits[known], target[known])
