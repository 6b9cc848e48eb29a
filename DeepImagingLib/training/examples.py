"""What a trained network makes of the worst and the best of the cases that were kept back, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from DeepImagingLib.training.validate import Inferer, Items, Scores, evaluating

Slice = npt.NDArray[Any]


def draw_examples(
    network: torch.nn.Module,
    cases: Items,
    scores: Scores,
    inferer: Inferer,
    device: torch.device | str,
    path: Path,
) -> None:
    """Write a PNG with the worst and the best case beside each other, each at its slice with the most labels.

    Args:
        network: Gives (1, K, ...) logits.
        cases: Items with "image" (C, ...) and "label" (1, ...), 3-D in RAS or 2-D.
        scores: Their Dice.
        inferer: Runs the network over a whole image.
        device: Where the network is.
        path: Of the picture; it names no case.
    """
    from matplotlib.figure import Figure

    means = np.nanmean(np.where(np.isnan(scores.dice).all(axis=1, keepdims=True), 0, scores.dice), axis=1)
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    for place, (title, index) in enumerate((("worst", means.argmin()), ("best", means.argmax())), 1):
        case = cases[int(index)]
        with evaluating(network), torch.no_grad():
            image = torch.as_tensor(case["image"])[None].as_subclass(torch.Tensor).to(device)
            answer = inferer(image, network).argmax(1)[0].cpu().numpy()
        axes = figure.add_subplot(1, 2, place)
        _draw(axes, case, answer)
        axes.set_title(f"{title} case kept back: mean Dice {means[index]:.2f}", fontsize=9)
    figure.text(0.01, 0.01, "green: your labels, red: the model", fontsize=8)
    figure.savefig(path, dpi=100)


def _draw(axes: Any, case: Mapping[str, Any], answer: Slice) -> None:
    image, label = (np.asarray(torch.as_tensor(case[key]).float())[0] for key in ("image", "label"))
    if image.ndim == 3:
        level = int((label > 0).sum(axis=(0, 1)).argmax())
        image, label, answer = (volume[..., level] for volume in (image, label, answer))
    axes.imshow(image.T[:, ::-1], cmap="gray", origin="lower")  # as seen from the feet: the patient's right on the left
    for labels, color in ((label, "lime"), (answer, "red")):
        for number in np.unique(labels[labels > 0]):
            axes.contour((labels == number).T[:, ::-1], [0.5], colors=color, linewidths=1)
    axes.axis("off")
