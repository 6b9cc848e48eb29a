"""Decide labels on a finer grid from the channels of a coarser one, without making all channels fine.

Linear interpolation is a convex combination of the corners of a cell. Where all eight corners have the same winner, it
wins in the whole cell; only cells on a boundary need values, and there only the few classes that can win (see
`_contenders`). Both are exact. Memory is that of the answer and of a few thousand cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from DeepImagingLib.inference.inverse import OUT, Axis

if TYPE_CHECKING:
    import torch

Activation = Callable[["torch.Tensor"], "torch.Tensor"]
"""Of values (K, ...)."""

LONGEST = 4  # rows of the fine grid worked on at once between two coarse rows: 4³ values a cell and class
CELL_BYTES = 8 << 20  # of the values of cells in work; larger blocks are got from the system anew each time
PART_BYTES = 16 << 20  # of the coarse grid that is looked at together, two planes at least


@dataclass(frozen=True)
class Runs:
    """Rows of one fine axis, in runs between the same two coarse rows.

    Attributes:
        first, second: (G,) coarse rows of a run, or OUT.
        rows: (G, L) its fine rows, the last one repeated to the common length.
        weight: (G, L) share of `second`, float32.
        run: (N,) which run a fine row is in.
    """

    first: torch.Tensor
    second: torch.Tensor
    rows: torch.Tensor
    weight: torch.Tensor
    run: torch.Tensor

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.first)


def runs_of(axis: Axis, device: torch.device | str = "cpu") -> Runs:
    """Group the rows of an axis."""
    import torch

    rows = np.arange(len(axis))
    changed = (np.diff(axis.first) != 0) | (np.diff(axis.second) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
    lengths = np.diff([*starts, len(axis)])
    longest = -(-int(lengths.max()) // -(-int(lengths.max()) // LONGEST))
    starts = np.concatenate([np.arange(s, s + n, longest) for s, n in zip(starts, lengths, strict=True)])
    stops = np.concatenate([starts[1:], [len(axis)]])
    members = np.minimum(starts[:, None] + np.arange(longest), stops[:, None] - 1)
    run = np.searchsorted(starts, rows, side="right") - 1
    arrays = (axis.first[starts], axis.second[starts], members, axis.weight[members].astype(np.float32), run)
    return Runs(*(torch.as_tensor(array, device=device) for array in arrays))


def argmax(values: torch.Tensor, axes: tuple[Axis, Axis, Axis], activation: Activation | None = None) -> torch.Tensor:
    """Return the class of the largest interpolated value, the first of equals.

    Args:
        values: (K, n0, n1, n2).
        axes: Rows of the answer on each of these axes, in their order (`source` is not looked at).
        activation: What is interpolated, if not the values themselves. It has to leave the order of a voxel's classes
            as it is, like a softmax: it is computed only where it matters.

    Returns:
        (N0, N1, N2), of torch.uint8 up to 256 classes, else torch.int16.
    """
    import torch

    longest = max(range(3), key=lambda axis: values.shape[axis + 1])
    parts = min(-(-values.numel() * values.element_size() // PART_BYTES), len(axes[longest]))
    found = []
    for rows in np.array_split(np.arange(len(axes[longest])), parts):
        along, first, stop = axes[longest].part(rows)
        within = [along if index == longest else axis for index, axis in enumerate(axes)]
        found.append(_argmax(values.narrow(longest + 1, first, stop - first), within, activation))
    return torch.cat(found, longest) if parts > 1 else found[0]


def _argmax(values: torch.Tensor, axes: Sequence[Axis], activation: Activation | None) -> torch.Tensor:
    runs = tuple(runs_of(axis, values.device) for axis in axes)
    coarse = _winners(values)
    settled, fine = _spread(coarse, runs)
    cells = ~settled
    if bool(cells.any()):
        touched = _touched(cells, runs, coarse.shape)
        vectors = _at(values, touched)
        vectors = (activation(vectors) if activation else vectors).t().contiguous()
        places = touched.view(-1).cumsum(0) - 1
        for part in _parts(cells, len(values)):
            _decide(vectors, places, coarse, runs, part, fine)
    return fine


def _winners(values: torch.Tensor) -> torch.Tensor:
    """Return the first largest class of each voxel, uint8 or int16."""
    import torch

    small = torch.uint8 if len(values) <= 256 else torch.int16
    if is_channels_last(values):
        return values.movedim(0, -1).argmax(-1).to(small)
    best, winner = values[0].clone(), torch.zeros(values.shape[1:], dtype=small, device=values.device)
    for index in range(1, len(values)):  # several times faster than argmax(0), which goes through memory in leaps
        winner.masked_fill_(values[index] > best, index)
        torch.maximum(best, values[index], out=best)
    return winner


def is_channels_last(values: torch.Tensor) -> bool:
    """Tell whether the channels of a voxel (K, ...) lie side by side in memory."""
    return len(values) > 1 and values.stride(0) == 1


def _touched(cells: torch.Tensor, runs: tuple[Runs, ...], shape: torch.Size) -> torch.Tensor:
    """Return which voxels of the coarse grid are corners of chosen cells (G0, G1, G2)."""
    import torch

    for dim, run in enumerate(runs):
        size = list(cells.shape)
        size[dim] = shape[dim]
        count = torch.zeros(size, dtype=torch.int16, device=cells.device)
        for end in (run.first, run.second):
            inside = (end >= 0).nonzero()[:, 0]
            count.index_add_(dim, end[inside], cells.index_select(dim, inside).to(torch.int16))
        cells = count > 0
    return cells


def _at(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return the values (K, m) of chosen voxels, in the order of memory."""
    import torch

    if is_channels_last(values):
        return values.movedim(0, -1)[chosen].t()
    index = chosen.view(-1).nonzero()[:, 0]
    return torch.stack([plane.flatten().index_select(0, index) for plane in values])


def at_least(values: torch.Tensor, axes: tuple[Axis, Axis, Axis], threshold: float, *, strict: bool) -> torch.Tensor:
    """Return where interpolated values (n0, n1, n2) reach a threshold, or exceed it; (N0, N1, N2) of torch.bool."""
    import torch

    runs = tuple(runs_of(axis, values.device) for axis in axes)
    compare = torch.gt if strict else torch.ge
    settled, fine = _spread(compare(values, threshold), runs, outside=bool(compare(torch.zeros(1), threshold)))
    for cells in _parts(~settled, LONGEST**3):
        corners = _picked(values, _corners(values, runs, cells))
        _write(fine, runs, cells, compare(_blocks(corners, runs, cells), threshold))
    return fine


def interpolate(values: torch.Tensor, axes: tuple[Axis, Axis, Axis]) -> torch.Tensor:
    """Return (n0, n1, n2) at the rows of three axes, (N0, N1, N2)."""
    import torch

    for dim, axis in enumerate(axes):
        weight = torch.as_tensor(axis.weight, dtype=values.dtype, device=values.device)
        ends = []
        for rows in (axis.first, axis.second):
            index = torch.as_tensor(rows, device=values.device)
            end = values.index_select(dim, index.clamp_min(0))
            ends.append(end.mul_(_along((index >= 0).to(end), dim)) if bool((index < 0).any()) else end)
        values = ends[0].lerp_(ends[1], _along(weight, dim))
    return values


def _along(line: torch.Tensor, dim: int) -> torch.Tensor:
    return line.reshape([-1 if d == dim else 1 for d in range(3)])


def _spread(coarse: torch.Tensor, runs: tuple[Runs, ...], outside: int | bool = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which cells have the same value at all corners (G0, G1, G2), and the first corner's in the fine grid."""
    import torch

    settled = torch.ones_like(coarse, dtype=torch.bool)
    for dim, run in enumerate(runs):
        first, second = (_rows(coarse, dim, index, outside) for index in (run.first, run.second))
        settled = _rows(settled, dim, run.first, True) & _rows(settled, dim, run.second, True) & (first == second)
        coarse = first
    fine = coarse
    for dim, run in enumerate(runs):
        fine = fine.index_select(dim, run.run)
    return settled, fine


def _rows(values: torch.Tensor, dim: int, index: torch.Tensor, outside: int | bool) -> torch.Tensor:
    rows = values.index_select(dim, index.clamp_min(0))
    if bool((index < 0).any()):
        rows.index_fill_(dim, (index < 0).nonzero()[:, 0], outside)
    return rows


def _decide(
    vectors: torch.Tensor,
    places: torch.Tensor,
    coarse: torch.Tensor,
    runs: tuple[Runs, ...],
    cells: torch.Tensor,
    fine: torch.Tensor,
) -> None:
    """Write the winners within cells into the fine grid.

    Args:
        vectors: (m, K) of the voxels at cells' corners.
        places: (n0 · n1 · n2,) which of these a voxel has.
        coarse: (n0, n1, n2) winners.
        runs: Rows of the fine grid.
        cells: (c, 3) places of cells.
        fine: (N0, N1, N2), written to.
    """
    import torch

    corners = _corners(coarse, runs, cells)
    winners = _picked(coarse, corners).long()
    corners = places[corners.clamp_min(0)].where(corners >= 0, OUT)
    contenders = _contenders(vectors, corners, winners).nonzero()  # by cell, then by class
    rank = _rank(contenders[:, 0])
    best = torch.empty(0)
    winner = torch.empty(0)
    for place in range(int(rank.max()) + 1):
        cell, class_ = contenders[rank == place].unbind(1)
        block = _blocks(_of_class(vectors, corners[:, cell], class_), runs, cells[cell])
        named = class_.to(fine.dtype)[:, None, None, None].expand_as(block)
        if place == 0:
            best, winner = block, named.contiguous()
            continue
        better = block > best[cell]
        best[cell] = torch.where(better, block, best[cell])
        winner[cell] = torch.where(better, named, winner[cell])
    _write(fine, runs, cells, winner)


def _contenders(vectors: torch.Tensor, corners: torch.Tensor, winners: torch.Tensor) -> torch.Tensor:
    """Return which classes can win somewhere within cells, (c, K) of torch.bool.

    Let v_k(c) be the value of class k at corner c, t(c) the largest there and b(c) the smallest among the classes that
    win at any corner, n of them. At a point with weights w the differences v - b of those n classes are none negative,
    and their sum is at least Σ w(c) (t(c) - b(c)), so that the best has a n-th of it at least. A class that stays below
    b(c) + (t(c) - b(c)) / n at every corner is therefore beaten at every point, and so is one that stays everywhere
    below the smallest corner of one of those n.

    Args:
        vectors: (m, K) values of voxels.
        corners: (8, c) which voxel is a corner of the cells, or OUT.
        winners: (8, c) class that wins there.
    """
    import torch

    values = _of_class(vectors, corners[:, None], winners)  # corner, winner, cell
    base = values.amin(1)
    count = (winners.sort(0).values.diff(dim=0) != 0).sum(0) + 1
    reach = base + (values.amax(1) - base) / count
    reach = reach.where(corners >= 0, torch.inf)
    floor = values.amin(0).amax(0)[:, None]
    able = torch.zeros((corners.shape[1], vectors.shape[1]), dtype=torch.bool, device=vectors.device)
    high = able.clone()
    for index, least in zip(corners, reach, strict=True):
        corner = vectors.index_select(0, index.clamp_min(0))
        able |= corner >= least[:, None]
        high |= corner >= floor
    return able.logical_and_(high)


def _of_class(vectors: torch.Tensor, places: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the values (m, K) of classes at places, which are broadcast together; zero where a place is OUT."""
    return _picked(vectors, (places * vectors.shape[1] + classes).where(places >= 0, OUT))


def _corners(values: torch.Tensor, runs: tuple[Runs, ...], cells: torch.Tensor) -> torch.Tensor:
    """Return the flat index in (n0, n1, n2) of each of eight corners of cells (m, 3), (8, m); OUT outside."""
    import torch

    ends = [(run.first[cells[:, dim]], run.second[cells[:, dim]]) for dim, run in enumerate(runs)]
    places = []
    for i, j, k in product(*ends):
        index = (i * values.shape[1] + j) * values.shape[2] + k
        places.append(index.where((i >= 0) & (j >= 0) & (k >= 0), OUT))
    return torch.stack(places)


def _parts(chosen: torch.Tensor, values: int) -> Iterator[torch.Tensor]:
    """Yield the places (m, 3) of chosen cells, as many at once as may hold `values` numbers each."""
    import torch

    places = chosen.nonzero()
    if len(places):
        yield from torch.split(places, max(CELL_BYTES // (4 * values), 1))


def _picked(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return values at flat indices, zero where one is OUT."""
    return values.view(-1)[index.clamp_min(0)].mul_(index >= 0)


def _rank(cell: torch.Tensor) -> torch.Tensor:
    """Return the how manieth of its cell each entry of a sorted list is."""
    import torch

    places = torch.arange(len(cell), device=cell.device)
    starts = torch.ones_like(cell, dtype=torch.bool)
    starts[1:] = cell[1:] != cell[:-1]
    return places - torch.where(starts, places, 0).cummax(0).values


def _blocks(corners: torch.Tensor, runs: tuple[Runs, ...], cells: torch.Tensor) -> torch.Tensor:
    """Return the values within cells (m, L0, L1, L2) from those at their corners (8, m)."""
    shares = [run.weight[cells[:, dim]] for dim, run in enumerate(runs)]
    block = corners.T.reshape(-1, 2, 2, 2)
    block = block[:, 0, None].lerp(block[:, 1, None], shares[0][:, :, None, None])
    block = block[:, :, 0, None].lerp(block[:, :, 1, None], shares[1][:, None, :, None])
    return block[..., 0, None].lerp(block[..., 1, None], shares[2][:, None, None, :])


def _write(fine: torch.Tensor, runs: tuple[Runs, ...], cells: torch.Tensor, blocks: torch.Tensor) -> None:
    i, j, k = (run.rows[cells[:, dim]] for dim, run in enumerate(runs))
    index = (i[:, :, None, None] * fine.shape[1] + j[:, None, :, None]) * fine.shape[2] + k[:, None, None, :]
    fine.view(-1)[index.reshape(-1)] = blocks.reshape(-1)
