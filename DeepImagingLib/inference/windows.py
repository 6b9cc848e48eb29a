"""Which windows a network sees of an image: those of MONAI's inferers, in an order that lets finished parts go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Shape = tuple[int, int, int]


class UnknownInferer(Exception):
    """An inferer does something whose windows can't be told."""


@dataclass(frozen=True)
class Windows:
    """The windows over an image, as `monai.inferers.sliding_window_inference` lays them.

    A picture (C, I, J) counts as a volume of one slice.

    Attributes:
        size: Of the image, padded to the window at least.
        window: Size of each window.
        before: Voxels padded in front of the image, by axis.
        after: Voxels padded behind it.
        padding: Mode and value as `torch.nn.functional.pad` takes them.
        starts: First voxel of each window, in order along `axis`.
        axis: The one that is longest in windows.
        flat: The axis that the network doesn't see, as its windows are slices; None for volumes.
        batch: How many windows the bundle gives to the network at once.
        blend: "constant" or "gaussian", and the gaussian's `sigma_scale`.
        weights: (window) of floats where the inferer brings its own, else None.
    """

    size: Shape
    window: Shape
    before: Shape
    after: Shape
    padding: tuple[str, float]
    starts: tuple[Shape, ...]
    axis: int
    flat: int | None
    batch: int
    blend: tuple[str, Any]
    weights: torch.Tensor | None = None

    def importance(self) -> torch.Tensor:
        """Return the weight of each voxel of a window (window), float32."""
        from monai.data.utils import compute_importance_map

        weights = self.weights
        if weights is None:
            mode, sigma = self.blend
            kept = [n for axis, n in enumerate(self.window) if axis != self.flat]
            sigma = [s for axis, s in enumerate(_each(sigma, 3)) if axis != self.flat] if mode == "gaussian" else sigma
            weights = compute_importance_map(kept, mode=mode, sigma_scale=sigma)
        return weights.reshape(self.window)


def windows_of(inferer: Any, shape: Sequence[int]) -> Windows:
    """Return the windows that an inferer of MONAI's cuts from an image of (I, J, K) or (I, J).

    Raises:
        UnknownInferer: It isn't exactly one of MONAI's simple, sliding-window and slice inferers, or is told to do
            something of its own at each window.
    """
    from monai.inferers import SimpleInferer, SliceInferer, SlidingWindowInferer, SlidingWindowInfererAdapt

    kind = type(inferer)
    if kind is SimpleInferer:
        return _whole(shape)
    if kind not in (SliceInferer, SlidingWindowInferer, SlidingWindowInfererAdapt) or inferer.with_coord:
        raise UnknownInferer(f"the inferer {kind.__name__} is run as it is")
    flat = inferer.spatial_dim if kind is SliceInferer else 2 if len(shape) == 2 else None
    roi = list(
        _each(inferer.orig_roi_size if kind is SliceInferer else inferer.roi_size, len(shape) - (kind is SliceInferer))
    )
    overlap = list(_each(inferer.overlap, len(shape)))
    if flat is not None:
        roi.insert(flat, 1)
    if len(shape) == 2:
        shape, overlap = [*shape, 1], [*overlap, 0]
    return _sliding(inferer, shape, roi, overlap, flat)


def _whole(shape: Sequence[int]) -> Windows:
    size: Shape = (*shape, 1)[:3]  # type: ignore[assignment]
    none = (0, 0, 0)
    flat = 2 if len(shape) == 2 else None
    return Windows(size, size, none, none, ("constant", 0), (none,), 0, flat, 1, ("constant", 0))


def _sliding(inferer: Any, shape: Sequence[int], roi: list[int], overlap: list[float], flat: int | None) -> Windows:
    from monai.data.utils import dense_patch_slices

    asked = [r if r and r > 0 else n for n, r in zip(shape, roi, strict=True)]
    size = tuple(max(n, r) for n, r in zip(shape, asked, strict=True))
    before = tuple((s - n) // 2 for s, n in zip(size, shape, strict=True))
    after = tuple(s - n - b for s, n, b in zip(size, shape, before, strict=True))
    steps = [r if r == s else max(int(r * (1 - share)), 1) for s, r, share in zip(size, asked, overlap, strict=True)]
    axis = max(range(3), key=lambda index: size[index] / asked[index])
    starts = [tuple(int(start) for start, _ in place) for place in dense_patch_slices(size, asked, steps, False)]
    return Windows(
        size=size,  # type: ignore[arg-type]
        window=tuple(asked),  # type: ignore[arg-type]
        before=before,  # type: ignore[arg-type]
        after=after,  # type: ignore[arg-type]
        padding=(_plain(inferer.padding_mode), inferer.cval),
        starts=tuple(sorted(starts, key=lambda start: start[axis])),  # type: ignore[arg-type]
        axis=axis,
        flat=flat,
        batch=inferer.sw_batch_size,
        blend=(_plain(inferer.mode), inferer.sigma_scale),
        weights=inferer.roi_weight_map if inferer.roi_weight_map is not None else None,
    )


def _plain(mode: Any) -> str:
    return str(getattr(mode, "value", mode))


def _each(value: Any, count: int) -> Sequence[Any]:
    return [value] * count if not isinstance(value, Sequence) else value


def count_windows(shape: Sequence[int], inferer: Any) -> int:
    """Return how often an inferer will call the network on an image (I, J, K) or (I, J); 1 where that can't be told."""
    try:
        return len(windows_of(inferer, shape).starts)
    except UnknownInferer:
        return 1
