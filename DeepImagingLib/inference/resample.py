"""Resample a volume as MONAI's Spacing does, tile by tile, so that its float64 copy and its grid stay small.

The grid is MONAI's, bit for bit, and so are the values but where float32 is interpolated in float64: there they differ
by rounding errors of float64, which the last bit of the float32 shows where a value lies half-way between two of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from DeepImagingLib.inference.threads import one_thread

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor
    from monai.transforms import SpatialResample

REACH = 64
"""Voxels that a tile spans along an axis, of the input or the output, whichever is finer; its arrays fit a cache."""


def by_tiles(monai: SpatialResample, tell: Callable[[float], None]) -> Callable[..., Any]:
    """Return what stands in for `monai` and is called alike; it goes by tiles where the values are known to be equal.

    Args:
        monai: Does itself what is unusual. The trace names it, so that its inverse finds its work.
        tell: Told the share that is done.
    """
    from monai.data import MetaTensor
    from monai.transforms.inverse import TraceableTransform

    def resample(image: Any, **asked: Any) -> Any:
        if not isinstance(image, MetaTensor) or image.pending_operations or asked["lazy"]:
            return monai(image, **asked)
        planned = monai(image, **{**asked, "lazy": True}).pending_operations[-1]  # touches no voxel
        info, shape, step = planned["extra_info"], planned["lazy_shape"], planned["lazy_affine"]
        if not _is_usual(image, info) or _is_unchanged(image, info["src_affine"], asked["dst_affine"], shape, step):
            return monai(image, **asked)
        values = _resampled(image.as_tensor(), step, shape, info, tell)
        trace = TraceableTransform.track_transform_meta(
            image,
            sp_size=shape,
            affine=step,
            extra_info=info,
            orig_size=tuple(image.shape[1:]),
            transform_info=monai.get_transform_info(),
        )
        return MetaTensor(values).copy_meta_from(trace)

    return resample


def _is_usual(image: MetaTensor, info: dict[str, Any]) -> bool:
    return (
        info["mode"] in ("bilinear", "nearest")
        and info["padding_mode"] in ("border", "zeros")
        and info["align_corners"] in (True, False)
        and info["dtype"] in ("float64", str(image.dtype).removeprefix("torch."))
        and image.device.type == "cpu"
        and image.ndim == 4  # pictures are small
    )


def _is_unchanged(image: MetaTensor, source: Any, target: Any, shape: Sequence[int], step: Any) -> bool:
    """Tell whether MONAI would leave the grid as it is, by its own tolerance."""
    import torch
    from monai.data.utils import AFFINE_TOL

    pairs = ((source, target.to(source)), (step, torch.eye(len(step)).to(step)))
    return tuple(image.shape[1:]) == tuple(shape) and any(
        torch.allclose(one, other, atol=AFFINE_TOL) for one, other in pairs
    )


def _resampled(
    image: torch.Tensor, step: torch.Tensor, shape: Sequence[int], info: dict[str, Any], tell: Callable[[float], None]
) -> torch.Tensor:
    """Return (C, *shape) float32.

    Args:
        image: (C, I, J, K).
        step: From indices of the output to indices of the image, homogeneous.
        shape: Of the output.
        info: The mode, padding and type to compute in, as MONAI's trace has them.
        tell: Told the share that is done.
    """
    import torch
    from monai.networks.utils import to_norm_affine

    rank, dtype, corners = len(shape), getattr(torch, info["dtype"]), info["align_corners"]
    theta = to_norm_affine(step.to(dtype)[None], image.shape[1:], shape, align_corners=corners)[0]
    order = [*reversed(range(rank)), rank]  # torch counts axes from the last
    theta = theta[order][:rank, order]
    axes = [_axis(length, dtype, corners) for length in shape]
    finer = step[:rank, :rank].norm(dim=0).clamp(min=1).tolist()
    edges = [range(0, length, max(int(REACH / ratio), 1)) for length, ratio in zip(shape, finer, strict=True)]
    output = torch.empty(len(image), *shape)
    count = math.prod(map(len, edges))
    with one_thread():
        for done, starts in enumerate(product(*edges)):
            tell(done / count)
            tile = [slice(start, start + edge.step) for start, edge in zip(starts, edges, strict=True)]
            grid = _grid([axis[part] for axis, part in zip(axes, tile, strict=True)], theta)
            output[_all_channels(tile)] = _values(image, grid, info)
    return output


def _axis(length: int, dtype: torch.dtype, corners: bool) -> torch.Tensor:
    """Return the normalised places (length,) of voxels, as torch's `affine_grid` has them."""
    import torch

    if length == 1:
        return torch.zeros(1, dtype=dtype)
    places = torch.linspace(-1, 1, length, dtype=dtype)
    return places if corners else places * (length - 1) / length


def _grid(axes: Sequence[torch.Tensor], theta: torch.Tensor) -> torch.Tensor:
    """Return (*shape, rank): where in the image, normalised, each voxel of a tile lies; last axis first."""
    import torch

    places = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([*reversed(places), torch.ones_like(places[0])], dim=-1) @ theta.T


def _values(image: torch.Tensor, grid: torch.Tensor, info: dict[str, Any]) -> torch.Tensor:
    """Return (C, *shape) at the places of a grid."""
    import torch

    corners = info["align_corners"]
    if info["mode"] == "nearest":
        return _nearest(image, grid, corners, info["padding_mode"] == "border")
    if image.dtype != grid.dtype:
        image, grid = _cropped(image, grid, corners)
        corners = False
    return torch.nn.functional.grid_sample(image[None], grid[None], "bilinear", info["padding_mode"], corners)[0]


def _nearest(image: torch.Tensor, grid: torch.Tensor, corners: bool, border: bool) -> torch.Tensor:
    size = image.new_tensor(image.shape[:0:-1], dtype=grid.dtype)
    # Torch's formulas, operation by operation: half-way between two voxels the last bit decides.
    places = ((grid + 1) / 2 * (size - 1) if corners else ((grid + 1) * size - 1) / 2).round()
    inside = places.clamp(size * 0, size - 1)
    values = image[_all_channels(reversed(inside.long().unbind(-1)))]
    return values if border else values * (places == inside).all(-1)


def _cropped(image: torch.Tensor, grid: torch.Tensor, corners: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the part of an image that a tile needs, in the type of its grid, and the grid on it (corners apart)."""
    size = grid.new_tensor(image.shape[:0:-1])
    extent = size - int(corners)
    ends = grid[tuple(slice(None, None, max(n - 1, 1)) for n in grid.shape[:-1])].reshape(-1, len(size))
    places = (ends * extent + size - 1) / 2
    first = (places.amin(0).floor() - 1).clamp(size * 0, size - 1)
    last = (places.amax(0).floor() + 2).clamp(size * 0, size - 1)
    box = [slice(int(low), int(high) + 1) for low, high in zip(first.flip(0), last.flip(0), strict=True)]
    length = last - first + 1
    return image[_all_channels(box)].to(grid.dtype), grid * (extent / length) + ((size - 2 * first) / length - 1)


def _all_channels(index: Iterable[Any]) -> tuple[Any, ...]:
    return (slice(None), *index)
