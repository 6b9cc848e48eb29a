"""Pictures that are none of what a network is for, so that it learns to tell (Hendrycks et al., ICLR 2019)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from scipy.ndimage import gaussian_filter

Picture = npt.NDArray[np.float32]
Random = np.random.RandomState


class RandOutlierd(RandomizableTransform, MapTransform):
    """Puts in place of some pictures what is none, and whether it is one behind the label.

    A label (L,) becomes (L + 1,): with a 1 behind it, or, of what is put in place, L times NaN (nothing is known of it)
    and a 0.

    Args:
        keys: Of the picture (1, I, J), from 0 to 1, rows along J.
        label_key: Of the label.
        prob: How often.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", prob: float = 0.2) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.label_key = label_key

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data with another label, and some with another picture."""
        self.randomize(None)
        made = dict(data)
        known = torch.as_tensor(made[self.label_key]).float()
        if not self._do_transform:
            return made | {self.label_key: torch.cat([known, torch.ones(1)])}
        for key in self.keys:
            picture = np.asarray(made[key], np.float32)[0]
            kind = KINDS[int(self.R.randint(len(KINDS)))]
            made[key] = torch.from_numpy(np.ascontiguousarray(kind(picture, self.R), np.float32))[None]
        return made | {self.label_key: torch.cat([torch.full_like(known, torch.nan), torch.zeros(1)])}


def inverted(picture: Picture, rng: Random) -> Picture:
    """Bright for dark."""
    return 1 - picture


def turned(picture: Picture, rng: Random) -> Picture:
    """Lying on a side, or standing on its head."""
    return np.rot90(picture, int(rng.randint(1, 4)))


def upside_down(picture: Picture, rng: Random) -> Picture:
    """Mirrored from top to bottom."""
    return picture[:, ::-1]


def detail(picture: Picture, rng: Random) -> Picture:
    """A part of a fifth to two fifths of each side."""
    size = [max(2, int(n * rng.uniform(0.2, 0.4))) for n in picture.shape]
    first = [int(rng.randint(0, n - s + 1)) for n, s in zip(picture.shape, size, strict=True)]
    return _resized(picture[first[0] : first[0] + size[0], first[1] : first[1] + size[1]], picture.shape)


def shuffled(picture: Picture, rng: Random) -> Picture:
    """Cut into tiles which lie in another order."""
    count = int(rng.randint(2, 6))
    side = [n // count for n in picture.shape]
    tiles = [
        picture[i * side[0] : (i + 1) * side[0], j * side[1] : (j + 1) * side[1]]
        for i in range(count)
        for j in range(count)
    ]
    order = rng.permutation(len(tiles))
    rows = [np.concatenate([tiles[n] for n in order[i * count : (i + 1) * count]], axis=1) for i in range(count)]
    return _resized(np.concatenate(rows), picture.shape)


def noise(picture: Picture, rng: Random) -> Picture:
    """Nothing but noise, grainy or cloudy: its spectrum falls with a random power of the frequency."""
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in picture.shape), indexing="ij"))
    frequency.flat[0] = 1
    spectrum = np.fft.fft2(rng.normal(size=picture.shape)) / frequency ** rng.uniform(0, 2.5)
    return _stretched(np.real(np.fft.ifft2(spectrum)))


def empty(picture: Picture, rng: Random) -> Picture:
    """An even shade, or one that fades to a side, with a little noise."""
    i, j = (np.linspace(-1, 1, n) for n in picture.shape)
    fading = rng.uniform(-0.3, 0.3) * i[:, None] + rng.uniform(-0.3, 0.3) * j
    return np.asarray(rng.uniform(0, 1) + fading + rng.normal(0, rng.uniform(0, 0.02), picture.shape), np.float32)


def scene(picture: Picture, rng: Random) -> Picture:
    """Shapes of all shades before one another, as things lie in a photograph."""
    shown = noise(picture, rng) * rng.uniform(0.2, 0.8)
    i, j = (np.linspace(0, 1, n) for n in picture.shape)
    for _ in range(int(rng.randint(3, 25))):
        angle, (x, y), (a, b) = rng.uniform(0, np.pi), rng.uniform(0, 1, 2), rng.uniform(0.03, 0.4, 2)
        u = (i[:, None] - x) * np.cos(angle) + (j - y) * np.sin(angle)
        v = (j - y) * np.cos(angle) - (i[:, None] - x) * np.sin(angle)
        power = rng.choice((1.0, 2.0, 8.0))  # a diamond, an ellipse, nearly a box
        inside = np.abs(u / a) ** power + np.abs(v / b) ** power < 1
        shown = np.where(inside, rng.uniform(0, 1) + rng.uniform(-0.5, 0.5) * u, shown)
    return np.asarray(np.clip(shown, 0, 1), np.float32)


def sparse(picture: Picture, rng: Random) -> Picture:
    """A shade with few points or blobs in it, from a single pixel to a sprinkle of salt."""
    shown = np.full(picture.shape, rng.uniform(0, 0.3), np.float32)
    count = max(1, int(shown.size * 10 ** rng.uniform(-5, -1.5)))
    shown.flat[rng.randint(0, shown.size, count)] = rng.uniform(0.5, 1, count)
    if rng.rand() < 0.5:
        shown = _stretched(gaussian_filter(shown, rng.uniform(0.7, 8)))
    return 1 - shown if rng.rand() < 0.3 else shown


def cells(picture: Picture, rng: Random) -> Picture:
    """Many small blobs alike, as under a microscope."""
    size = rng.uniform(1.5, 8)
    lumps = gaussian_filter(rng.normal(size=picture.shape), size)
    inside = lumps > np.percentile(lumps, rng.uniform(50, 90))
    fine = gaussian_filter(rng.normal(size=picture.shape), rng.uniform(0.5, 1.5))
    return _stretched(gaussian_filter(inside * rng.uniform(-1, 1) + rng.uniform(0.1, 1) * fine / fine.std(), 0.7))


def page(picture: Picture, rng: Random) -> Picture:
    """Panels, rules and lines of what looks like text, as on a screen or on paper."""
    shown = np.full(picture.shape, rng.uniform(0, 1), np.float32)
    for _ in range(int(rng.randint(2, 12))):
        first = [int(rng.randint(0, n)) for n in picture.shape]
        size = [int(n * rng.uniform(0.1, 0.7)) for n in picture.shape]
        panel = shown[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
        panel[:] = rng.uniform(0, 1)
        if rng.rand() < 0.6:  # rows lie along the second axis
            high = int(rng.randint(3, 9))
            text = rng.rand(*panel.shape) < 0.5
            text[:, np.arange(panel.shape[1]) % high >= high * 0.6] = False
            panel[text] = rng.uniform(0, 1)
    return shown


def limbs(picture: Picture, rng: Random) -> Picture:
    """Tubes of soft parts with a hollow bone in each: what a beam leaves of an arm, a leg or fingers."""
    i, j = (np.linspace(-1, 1, n) for n in picture.shape)
    shown, turn = np.zeros(picture.shape), rng.uniform(0, np.pi)
    radius = rng.uniform(0.05, 0.5)
    for _ in range(int(rng.randint(1, 6))):
        angle = turn + rng.normal(0, 0.2)
        beside = (i[:, None] - rng.uniform(-0.8, 0.8)) * np.cos(angle) + (j - rng.uniform(-0.8, 0.8)) * np.sin(angle)
        bone = radius * rng.uniform(0.2, 0.5)
        marrow = bone * rng.uniform(0.4, 0.9)
        shown += _chord(beside, radius) + 3 * _chord(beside, bone) - 2.7 * _chord(beside, marrow)
    return _stretched(shown + rng.normal(0, 0.02 * radius, picture.shape))


def counted(picture: Picture, rng: Random) -> Picture:
    """A blurred scene of few counts, as a gamma camera or an ultrasound probe gives."""
    lit = gaussian_filter(scene(picture, rng), rng.uniform(0.5, 4)) ** rng.uniform(1, 4)
    return _stretched(rng.poisson(lit * 10 ** rng.uniform(0, 2)))


def aperture(picture: Picture, rng: Random) -> Picture:
    """Another kind in a disc or a sector, the rest black, as eyes, scopes and probes show it."""
    i, j = (np.linspace(-1, 1, n) for n in picture.shape)
    i = i[:, None]
    inside = np.hypot(i - rng.uniform(-0.3, 0.3), j - rng.uniform(-0.3, 0.3)) < rng.uniform(0.5, 1.1)
    if rng.rand() < 0.4:
        inside = (np.hypot(i, j + 1.2) < rng.uniform(1.2, 2.2)) & (np.abs(i) < rng.uniform(0.3, 0.9) * (j + 1.2))
    return np.asarray(inside * _any_of((noise, scene, cells, counted), picture, rng), np.float32)


def mixed(picture: Picture, rng: Random) -> Picture:
    """One kind where clouds are, another between them."""
    clouds = gaussian_filter(rng.normal(size=picture.shape), rng.uniform(5, 40))
    two = [_any_of((noise, scene, cells, limbs, shuffled, counted), picture, rng) for _ in range(2)]
    return np.asarray(np.where(clouds > np.percentile(clouds, rng.uniform(20, 80)), *two), np.float32)


KINDS: Sequence[Callable[[Picture, Random], Picture]] = (
    inverted,
    turned,
    upside_down,
    detail,
    shuffled,
    noise,
    empty,
    scene,
    sparse,
    cells,
    page,
    limbs,
    counted,
    aperture,
    mixed,
)


def _any_of(kinds: Sequence[Callable[[Picture, Random], Picture]], picture: Picture, rng: Random) -> Picture:
    return kinds[int(rng.randint(len(kinds)))](picture, rng)


def _chord(beside: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.clip(radius**2 - beside**2, 0, None)))


def _resized(picture: Picture, shape: Sequence[int]) -> Picture:
    small = torch.from_numpy(np.ascontiguousarray(picture))[None, None]
    return np.asarray(torch.nn.functional.interpolate(small, tuple(shape), mode="bilinear")[0, 0])


def _stretched(values: npt.NDArray[np.floating[Any]]) -> Picture:
    low, high = np.percentile(values, (1, 99))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9), 0, 1), np.float32)
