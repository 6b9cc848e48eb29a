"""Vessels and bronchi of the lungs as branching tubes, finer than any voxel of the torso."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.radiograph import Points

TIP_MM = 0.62
"""Radius of the last branches that are drawn."""

MURRAY = 2.45
"""Radii of branches to this power add up to that of their parent: 3 by Murray's law (1926), less in lungs."""

PIECES = 40
"""Pieces an edge of the tree is drawn with."""


@dataclass(frozen=True)
class Tubes:
    """Small pieces of tubes: (N, 3) centres in mm, their lengths and radii in mm."""

    points: Points
    lengths: Points
    radii: Points

    @property
    def volumes(self) -> Points:
        """Volume of each piece in mm³."""
        return np.asarray(np.pi * self.radii**2 * self.lengths)


def grow(root: Points, targets: Points, rng: np.random.Generator) -> Tubes:
    """Return a tree from a root to all (N, 3) targets, with short ways and wide main branches.

    Each target, the nearest first, joins the node that it reaches by a short edge and a short way from the root
    (Cuntz et al., PLoS Comput Biol 2010: wire and path length balanced).
    """
    order = np.argsort(np.linalg.norm(targets - root, axis=1))
    nodes = np.vstack([root, targets[order]])
    parent = np.zeros(len(nodes), int)
    way = np.zeros(len(nodes))
    balance = rng.uniform(0.3, 0.6)
    for n in range(1, len(nodes)):
        edge = np.linalg.norm(nodes[:n] - nodes[n], axis=1)
        parent[n] = np.argmin(edge + balance * way[:n])
        way[n] = way[parent[n]] + edge[parent[n]]
    return _tubes(nodes, parent)


def _tubes(nodes: Points, parent: np.ndarray) -> Tubes:
    """Curve the edges, so that branches leave in the direction of their parent."""
    tips = np.zeros(len(nodes))
    for n in range(len(nodes) - 1, 0, -1):
        tips[n] = max(tips[n], 1)
        tips[parent[n]] += tips[n]
    radius = TIP_MM * tips ** (1 / MURRAY)
    start, end = nodes[parent[1:]], nodes[1:]
    before = nodes[parent[parent[1:]]]
    reach = np.linalg.norm(end - start, axis=1)
    ahead = start - before
    ahead = ahead / (np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-6) * reach[:, None] * 0.4
    t = (np.arange(PIECES) + 0.5)[:, None, None] / PIECES
    points = start * (1 - t) ** 2 + 2 * (start + ahead) * t * (1 - t) + end * t**2
    wide = np.minimum(radius[parent[1:]], radius[1:] * 1.6)
    radii = wide * (1 - t[..., 0]) + radius[1:] * t[..., 0]
    lengths = np.broadcast_to(reach / PIECES, radii.shape)
    return Tubes(points.reshape(-1, 3), lengths.ravel(), radii.ravel())
