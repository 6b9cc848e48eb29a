"""Detectors in training: MONAI's losses of a RetinaNet, and how much it finds of what is in held-out cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.apps.detection.utils.hard_negative_sampler import HardNegativeSampler
from monai.data.box_utils import box_iou
from monai.losses import DiceCELoss

from DeepImagingLib.evaluation.froc import POINTS, cpm, froc
from DeepImagingLib.evaluation.hits import Numbers, Outcome, Scan, judge
from DeepImagingLib.training.precision import as_float, autocast, laid_out
from DeepImagingLib.training.validate import MEAN, Items, evaluating

if TYPE_CHECKING:
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector


BESIDE = 0.15
"""Overlap (IoU) with a lesion from which an anchor is no background."""
FEWEST = 10
"""Cases from which a threshold follows."""


class DetectorLoss(torch.nn.Module):
    """The loss that a MONAI detector's settings make: of scores, and of the boxes of matched anchors.

    MONAI's detector adds them up too, but asks torchvision for a matcher that isn't used here, and runs the network
    itself. Few anchors are drawn from a patch, so a fresh detector learns slowly; told for every cell whether it lies
    in a box's ellipsoid, it learns sooner where to look (as nnDetection does: Baumgartner et al., MICCAI 2021). The
    first channel of the finest features is held to be the logit of that: no layer is added.

    Args:
        detector: With a matcher (`set_atss_matcher`), a sampler and losses set.
        patch: Shape of the images.
        box_weight: Of the boxes' loss beside that of the scores.
        mask_weight: Of the ellipsoids' loss, cross entropy and Dice, beside that of the scores; 0 leaves it out.
    """

    def __init__(
        self, detector: RetinaNetDetector, patch: Sequence[int], box_weight: float = 1.0, mask_weight: float = 0.0
    ) -> None:
        super().__init__()
        self._detector = [detector]  # in a list, so that the network is no part of its own loss
        self.patch, self.box_weight, self.mask_weight = tuple(patch), box_weight, mask_weight
        self._mask_loss = DiceCELoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
        self._features: list[torch.Tensor] = []
        if mask_weight:
            detector.network.feature_extractor.register_forward_hook(_keeps_first_channel(self._features))

    def forward(self, outputs: Mapping[str, Sequence[torch.Tensor]], label: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            outputs: Of the network: scores and boxes, a map a level each.
            label: (B, N, 7) boxes in voxels (xyzxyz) and their class; rows of -1 are none.
        """
        detector = self._detector[0]
        maps = list(outputs[detector.cls_key])
        image = maps[0].new_empty(1).expand(len(label), 1, *self.patch)  # anchors depend on its shape alone
        anchors = detector.anchor_generator(image, maps)
        heads = {key: detector._reshape_maps(list(levels)) for key, levels in outputs.items()}
        targets = [_target(detector, rows) for rows in label]
        places = [level.shape[2:].numel() for level in maps]
        matched = [self._matched(target, one, places) for target, one in zip(targets, anchors, strict=True)]
        scores = detector.compute_cls_loss(heads[detector.cls_key], targets, matched)
        boxes = detector.compute_box_loss(heads[detector.box_reg_key], targets, anchors, matched)
        loss = torch.as_tensor(scores + self.box_weight * boxes.to(scores.device))
        return loss + self.mask_weight * self._of_masks(targets) if self.mask_weight else loss

    def _of_masks(self, targets: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        logits = self._features.pop().float()
        boxes = [target[self._detector[0].target_box_key] for target in targets]
        inside = torch.stack([ellipsoids(one, self.patch, logits.shape[2:]) for one in boxes])
        return torch.as_tensor(self._mask_loss(logits, inside[:, None].to(logits)))

    def _matched(self, target: Mapping[str, torch.Tensor], anchors: torch.Tensor, places: list[int]) -> torch.Tensor:
        """Return the number of the box that each anchor is to find, negative where there is none.

        Beside those that are matched lie others on the same lesion. Held to be background they would be the hardest of
        all, and the share of hard negatives would go to them alone: they are left out.
        """
        detector = self._detector[0]
        boxes, matcher = target[detector.target_box_key], detector.proposal_matcher
        numbers = matcher(boxes, anchors, places, detector.num_anchors_per_loc)[1]
        found = torch.as_tensor(numbers, device=anchors.device)
        if len(boxes):
            beside = box_iou(boxes.float(), anchors.float()).amax(dim=0) >= BESIDE
            found[beside & (found == matcher.BELOW_LOW_THRESHOLD)] = matcher.BETWEEN_THRESHOLDS
        return found


def _target(detector: RetinaNetDetector, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the boxes (N, 6) and classes (N) of a label's rows, under the detector's names."""
    boxes = rows[rows[:, 6] >= 0]
    return {detector.target_box_key: boxes[:, :6], detector.target_label_key: boxes[:, 6].long()}


def _keeps_first_channel(kept: list[torch.Tensor]) -> Callable[[torch.nn.Module, Any, Any], None]:
    """Return a hook that keeps what a module answered last: its first channel, of the first map where it has many."""

    def keep(_module: torch.nn.Module, _inputs: Any, answer: Any) -> None:
        maps = list(answer.values()) if isinstance(answer, Mapping) else answer
        first = maps if isinstance(maps, torch.Tensor) else maps[0]
        kept[:] = [first[:, :1]]

    return keep


def ellipsoids(boxes: torch.Tensor, patch: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Return which cells' middles lie in the ellipsoid that fills one of the boxes.

    Args:
        boxes: (N, 6) in voxels (xyzxyz), whole numbers at voxels' centres.
        patch: Shape of the image in voxels.
        shape: Of the grid of cells that covers it.

    Returns:
        Mask of `shape`.
    """
    mask = torch.zeros(tuple(shape), dtype=torch.bool, device=boxes.device)
    axes = [(torch.arange(n, device=boxes.device) + 0.5) * (p / n) - 0.5 for n, p in zip(shape, patch, strict=True)]
    for box in boxes:
        away = [
            (axis - (low + high) / 2) / ((high - low) / 2).clamp(min=p / n / 2)
            for axis, low, high, n, p in zip(axes, box[: len(axes)], box[len(axes) :], shape, patch, strict=True)
        ]
        mask |= sum(one**2 for one in torch.meshgrid(*away, indexing="ij")) <= 1
    return mask


class GrowingHardness(HardNegativeSampler):
    """Draws negatives from all of an image, and the more from those that score highest, the better positives score.

    Of hard ones alone a fresh detector learns nothing: whatever raises the scores of what it looks for raises those of
    all that looks like it, and as these are all that is drawn, it ends with one score for everything. So their share
    is `hard` times the distance between the mean scores of positives and negatives.

    Args:
        hard: Share of hard negatives where all is told apart.
        settings: As of MONAI's `HardNegativeSampler`.
    """

    def __init__(self, hard: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.hard = hard
        self._share = 0.0

    def select_samples_img_list(
        self, target_labels: Sequence[torch.Tensor], fg_probs: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return masks (A,) of positives and negatives, an image each; MONAI's detector gives logits."""
        labels, scores = torch.cat(list(target_labels)), torch.sigmoid(torch.cat(list(fg_probs)).detach().float())
        positives, negatives = scores[labels >= 1], scores[labels == 0]
        apart = float(positives.mean() - negatives.mean()) if len(positives) else 0.0
        self._share = self.hard * max(0.0, apart)
        masks: tuple[list[torch.Tensor], list[torch.Tensor]] = super().select_samples_img_list(target_labels, fg_probs)
        return masks

    def select_negatives(self, negative: torch.Tensor, num_neg: int, fg_probs: torch.Tensor) -> torch.Tensor:
        """Return a mask (A,) of the negatives of an image; arguments as MONAI's."""
        mask: torch.Tensor = super().select_negatives(negative, round(self._share * num_neg), fg_probs)
        some = torch.randperm(negative.numel(), device=negative.device)[: num_neg - int(mask.sum())]
        mask[negative[some]] = 1
        return mask


@dataclass(frozen=True)
class Found:
    """What came of held-out cases, as `Scores` tell of masks.

    Attributes:
        outcomes: Of each case, the same cases for each label by its name.
    """

    outcomes: Mapping[str, Sequence[Outcome]]

    def means(self) -> dict[str, float]:
        """Return the sensitivities at 1/8 to 8 false positives a case and label, and their mean, and that by label."""
        present = {name: some for name, some in self.outcomes.items() if any(len(one.found) for one in some)}
        curve = np.mean([froc(some).at() for some in present.values()] or [np.zeros(len(POINTS))], axis=0)
        told = {f"at {point:g} false positives": float(value) for point, value in zip(POINTS, curve, strict=True)}
        several = {name: cpm(some) for name, some in present.items()} if len(self.outcomes) > 1 else {}
        return told | several | {MEAN: float(curve.mean())}

    def decided(self) -> dict[str, Any]:
        """Return the score from which a box counts as a finding: that of one false positive a case, of enough cases."""
        cases = max(map(len, self.outcomes.values()), default=0)
        scores = [outcome.false for some in self.outcomes.values() for outcome in some]
        false = np.sort(np.concatenate([*scores, np.empty(0)]))[::-1]
        if cases < FEWEST or len(false) <= cases:
            return {}
        return {"score_threshold": round(float(false[cases]) + 5e-4, 3)}


def measure_detector(
    network: torch.nn.Module,
    cases: Items,
    labels: Mapping[int, str],
    inferer: RetinaNetDetector,
    device: torch.device,
    half: bool,
    tell: Callable[[float], None],
) -> Found:
    """Return what a network finds: `validate.measure` of detectors.

    Args:
        network: As the detector's own.
        cases: Items with "image" (1, I, J, K) and "label" (N, 7) boxes in voxels (xyzxyz) and their class.
        labels: Number → name, from 0.
        inferer: The detector, with windows, anchors and thresholds.
        device: Where the network is.
        half: Compute in bfloat16.
        tell: Called with the share of the cases that are done.
    """
    outcomes: dict[str, list[Outcome]] = {name: [] for name in labels.values()}
    with _with_network(inferer, network, half), torch.no_grad():
        for index in range(len(cases)):
            tell(index / len(cases))
            case = cases[index]
            image = torch.as_tensor(case["image"]).as_subclass(torch.Tensor).to(device)
            answer = inferer([image], use_inferer=True)[0]
            truth = _target(inferer, torch.as_tensor(case["label"]))
            for number, name in labels.items():
                said, there = (one[inferer.target_label_key] == number for one in (answer, truth))
                boxes = _middles(answer[inferer.target_box_key][said])
                lesions = _middles(truth[inferer.target_box_key][there])
                scores = _numbers(answer[inferer.pred_score_key][said])
                outcomes[name].append(judge(Scan(str(index), boxes, scores, lesions)))
    return Found(outcomes)


def _middles(boxes: torch.Tensor) -> Numbers:
    """Return (N, 6) middle and lengths of boxes (xyzxyz), in voxels as they are: the same for both sides."""
    corners = _numbers(boxes)
    low, high = corners[:, :3], corners[:, 3:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def _numbers(values: torch.Tensor) -> Numbers:
    return values.detach().cpu().double().numpy()


class _Precise(torch.nn.Module):
    """A network whose answer is full precision, however it computes: boxes in bfloat16 would be off by voxels."""

    def __init__(self, network: torch.nn.Module, half: bool) -> None:
        super().__init__()
        self.network, self.in_half = network, half

    def forward(self, image: torch.Tensor) -> Any:
        with autocast(image.device, self.in_half):
            answer = self.network(laid_out(image, self.in_half))
        return as_float(answer)


@contextmanager
def _with_network(detector: RetinaNetDetector, network: torch.nn.Module, half: bool) -> Iterator[None]:
    """Have a detector answer by another network for a while, in evaluation mode."""
    before = detector.network
    try:
        with evaluating(network), evaluating(detector):
            detector.network = _Precise(network, half)
            yield
    finally:
        detector.network = before
