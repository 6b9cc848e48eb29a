"""Labels that carry where findings are, and the loss that has a classifier look there."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet
from torch.nn.functional import binary_cross_entropy_with_logits

from DeepImagingLib.training import RegionBCELoss, RegionsInLabeld

CELLS = 2


@pytest.fixture
def network() -> DenseNet:
    """Its last maps have two cells along each side of 64 pixels."""
    torch.manual_seed(0)
    return DenseNet(2, 1, 3, init_features=4, growth_rate=4, block_config=(1, 1, 1, 1)).eval()


def carried(label: list[float], *regions: torch.Tensor) -> torch.Tensor:
    item = RegionsInLabeld("region", cells=CELLS)({"label": torch.tensor(label), "region": torch.stack(regions)})
    assert set(item) == {"label"}
    return item["label"]


def corner(i: int, j: int) -> torch.Tensor:
    region = torch.zeros(64, 64)
    region[40 * i : 40 * i + 3, 40 * j : 40 * j + 3] = 1
    return region


def test_a_label_carries_the_cells_of_its_region() -> None:
    made = carried([1.0, 0.0, 1.0], corner(1, 0), torch.zeros(64, 64))
    assert made.tolist() == [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]


def test_of_what_was_moved_out_of_the_picture_nothing_is_known() -> None:
    made = carried([1.0, 0.0], torch.zeros(64, 64))
    assert made[0, 0].isnan() and made[1, 0] == 0


def test_without_regions_it_is_the_cross_entropy_of_what_is_known(network: DenseNet) -> None:
    logits = network(torch.rand(2, 1, 64, 64))
    label = torch.tensor([[1.0, 0.0, torch.nan], [0.0, torch.nan, 1.0]])
    known = ~label.isnan()
    target = torch.cat([label[..., None], torch.zeros(2, 3, CELLS**2)], dim=-1)
    expected = binary_cross_entropy_with_logits(logits[known], label[known])
    torch.testing.assert_close(RegionBCELoss(network)(logits, target), expected)


def test_it_says_how_much_of_the_logit_lies_in_the_region(network: DenseNet) -> None:
    loss, image = RegionBCELoss(network, weight=1.0), torch.rand(1, 1, 64, 64)
    cells = [(i, j) for i in range(CELLS) for j in range(CELLS)]
    targets = [carried([1.0, 0.0, 0.0], corner(*cell), torch.zeros(64, 64))[None] for cell in cells]
    logits = network(image)
    plain = binary_cross_entropy_with_logits(logits, targets[0][..., 0])
    shares = torch.stack([plain - loss(logits, target) for target in targets]).exp()
    map_ = torch.einsum("bchw,c->bhw", network.features(image).relu(), network.class_layers.out.weight[0]).flatten()
    torch.testing.assert_close(logits[0, 0], map_.mean() + network.class_layers.out.bias[0])
    torch.testing.assert_close(shares, (map_ / CELLS**2).softmax(dim=0))


def test_it_has_a_network_look_where_the_finding_is(network: DenseNet) -> None:
    loss, image = RegionBCELoss(network, weight=1.0), torch.rand(1, 1, 64, 64)
    target = carried([1.0, 0.0, 0.0], corner(0, 1), torch.zeros(64, 64))[None]
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss(network(image), target).backward()
        optimizer.step()
    maps = torch.einsum("bchw,c->bhw", network.features(image).relu(), network.class_layers.out.weight[0])
    assert maps.flatten().argmax() == 1
