"""Weights of one network taken over into another that has other labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Transfer:
    """What was taken over.

    Attributes:
        taken: Names of the weights that were, wholly.
        rows: Names of the weights of the head, of which the rows of known labels were.
        new: Names of the weights that begin at random, with the reason.
        labels: That the other network doesn't know.
    """

    taken: tuple[str, ...]
    rows: tuple[str, ...]
    new: Mapping[str, str]
    labels: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the weights of which some are new."""
        return (*self.new, *(self.rows if self.labels else ()))


def head_axes(build: Callable[[int], torch.nn.Module], outputs: int) -> dict[str, list[int]]:
    """Return the name of each weight whose shape follows the number of outputs, with the axes that do.

    Args:
        build: Makes the network for a number of outputs.
        outputs: A number that it can be made for; so must be the next one.
    """
    with torch.device("meta"):  # shapes alone, without memory
        one, other = (build(number).state_dict() for number in (outputs, outputs + 1))
    return {
        name: [axis for axis, (a, b) in enumerate(zip(one[name].shape, other[name].shape)) if a != b]
        for name in one
        if name in other and one[name].shape != other[name].shape
    }


def transfer(
    network: torch.nn.Module,
    weights: Weights,
    head: Mapping[str, Sequence[int]],
    before: Sequence[str],
    after: Sequence[str],
) -> Transfer:
    """Begin a network with another's weights; in the head, a label's row goes where that label is now.

    Args:
        network: To begin; changed in place.
        weights: Of the other.
        head: Weights that have a row for each label (of a detector, one an anchor), with the axes, as `head_axes` has.
        before: Label of each output of the other.
        after: Label of each output of this one.
    """
    own = {name: value.clone() for name, value in network.state_dict().items()}
    kept = [(before.index(label), number) for number, label in enumerate(after) if label in before]
    taken, rows, new = [], [], {}
    for name, value in own.items():
        if name not in weights:
            new[name] = "the other network has none of that name"
        elif name in head:
            _take_rows(value, weights[name], head[name], kept, len(after))
            rows.append(name)
        elif weights[name].shape != value.shape:
            new[name] = f"its shape is {tuple(value.shape)}, the other's {tuple(weights[name].shape)}"
        else:
            own[name] = weights[name].to(value.dtype)
            taken.append(name)
    network.load_state_dict(own)
    return Transfer(tuple(taken), tuple(rows), new, tuple(label for label in after if label not in before))


def _take_rows(
    own: torch.Tensor, other: torch.Tensor, axes: Sequence[int], kept: Sequence[tuple[int, int]], labels: int
) -> None:
    """Take rows; where labels are both read and written, outputs first, known labels don't read new ones.

    A detector has a row for each label of each of its anchors, anchor by anchor.
    """
    theirs, ours = (torch.tensor([pair[which] for pair in kept], dtype=torch.long) for which in (0, 1))
    target, source = (value.movedim(tuple(axes), tuple(range(len(axes)))) for value in (own, other))
    if len(axes) == 2:
        target[ours] = 0
        target[ours[:, None], ours] = source[theirs[:, None], theirs].to(own.dtype)
    else:
        anchors = len(target) // labels
        target, source = (torch.unflatten(rows, 0, (anchors, -1)) for rows in (target, source))
        target[:, ours] = source[:, theirs].to(own.dtype)
