"""Weights go over into a network with other labels: everything but what is new in its head."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet, UNet

from DeepImagingLib.training.transfer import head_axes, transfer

BEFORE = ("background", "liver", "spleen")


def unet(outputs: int) -> torch.nn.Module:
    """A small UNet, whose last layer is a transposed convolution."""
    return UNet(3, 1, outputs, (4, 8), (2,))


def residual(outputs: int) -> torch.nn.Module:
    """A UNet whose last layers go from labels to labels."""
    return UNet(3, 1, outputs, (4, 8), (2,), num_res_units=2)


def segresnet(outputs: int) -> torch.nn.Module:
    """A network whose last layer is a convolution."""
    return SegResNet(3, 8, out_channels=outputs, blocks_down=(1, 1), blocks_up=(1,))


def supervised(outputs: int) -> torch.nn.Module:
    """A network with several heads."""
    return DynUNet(3, 1, outputs, [3] * 4, [1, 2, 2, 2], [2, 2, 2], deep_supervision=True, filters=[4, 8, 8, 8])


IMAGE = torch.randn((1, 1, 16, 16, 16), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("build", [unet, residual, segresnet, supervised])
def test_known_labels_answer_as_before_wherever_they_are_now(build) -> None:
    old = build(3).eval()
    after = ("background", "tumour", "liver", "spleen")
    new = build(4).eval()
    told = transfer(new, old.state_dict(), head_axes(build, 4), BEFORE, after)
    with torch.no_grad():
        before, now = old(IMAGE), new(IMAGE)
    assert torch.allclose(now[:, [0, 2, 3]], before, atol=1e-5)
    assert not torch.allclose(now[:, 1], before[:, 1], atol=1e-2)
    assert not told.new and told.rows and len(told.taken) > len(told.rows)


def test_as_many_other_labels_are_not_taken_for_the_old_ones() -> None:
    old, new = unet(3).eval(), unet(3).eval()
    transfer(new, old.state_dict(), head_axes(unet, 3), BEFORE, ("background", "spleen", "tumour"))
    with torch.no_grad():
        before, now = old(IMAGE), new(IMAGE)
    assert torch.allclose(now[:, :2], before[:, [0, 2]], atol=1e-5)


def test_what_does_not_match_is_listed_with_the_reason() -> None:
    old = UNet(3, 2, 3, (4, 8), (2,))
    told = transfer(unet(3), old.state_dict(), head_axes(unet, 3), BEFORE, BEFORE)
    (name,) = [name for name in told.new if name.endswith("unit0.conv.weight") or "weight" in name][:1]
    assert "(4, 1, 3, 3, 3), the other's (4, 2, 3, 3, 3)" in told.new[name]
