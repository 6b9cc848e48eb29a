"""What heatmaps are worth, which networks can be asked for them, and that these don't notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai import visualize
from monai.data import MetaTensor
from monai.networks import nets
from torch import nn

from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.explain import INDEPENDENT, METHODS, depends_on_weights, heatmap, layers, target_layer
from DeepImagingLib.explain.randomised import FixedWeightsError
from DeepImagingLib.inference.progress import Monitor
from Testing.explain.bright import Bright, blob

CAMS = ("gradcam", "gradcam++")
ZOO: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "DenseNet": (
        lambda: nets.DenseNet(2, 1, 3, init_features=8, growth_rate=4, block_config=(2, 2, 2)), 1, "class_layers.relu"
    ),
    "SEResNet": (lambda: nets.SEResNet50(spatial_dims=2, in_channels=3, num_classes=3), 3, "layer4"),
    "ResNet": (lambda: nets.resnet10(spatial_dims=2, n_input_channels=1, num_classes=3), 1, "layer4"),
    "EfficientNet": (
        lambda: nets.EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, num_classes=3), 3, "_swish"
    ),
    "a head of convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(True), nn.AvgPool2d(48), nn.Conv2d(6, 3, 1)), 1, "1"
    ),
}  # fmt: skip


def picture(channels: int = 1, size: int = 96) -> MetaTensor:
    """Return (C, I, J): a bright blob on noise."""
    noise = torch.rand(channels, size, size, generator=torch.Generator().manual_seed(0))
    return blob((size, size), np.eye(4), (40.0, 60.0, 0.0), channels) + noise / 4


def made(name: str) -> tuple[nn.Module, MetaTensor]:
    """Return a network of the zoo, always with the same random weights, and an image for it."""
    torch.manual_seed(0)
    make, channels, _ = ZOO[name]
    return make().eval(), picture(channels)


def vit() -> nn.Module:
    """Return a small vision transformer."""
    return nets.ViT(1, (32, 32), (8, 8), 24, 24, 2, 2, classification=True, num_classes=2, spatial_dims=2)


class TestTargetLayer:
    """The last layer that knows places is found without help."""

    @pytest.mark.parametrize("name", ZOO)
    def test_it_is_the_last_before_pooling(self, name: str) -> None:
        assert target_layer(*made(name)) == ZOO[name][2]

    def test_there_is_one_choice_for_each_size(self) -> None:
        found = layers(*made("DenseNet"))
        assert list(found.values()) == [(48, 48), (24, 24), (12, 12), (6, 6)]

    def test_a_layer_can_be_chosen(self) -> None:
        network, image = made("DenseNet")
        for layer, cells in layers(network, image).items():
            assert heatmap(network, image, 0, "gradcam", layer).shape == (1, *cells)

    @pytest.mark.parametrize("layer", ["class_layers.out", "nothing"])
    def test_a_layer_without_places_is_refused(self, layer: str) -> None:
        with pytest.raises(InputError, match=repr(layer)):
            heatmap(*made("DenseNet"), 0, "gradcam", layer)

    def test_a_transformer_is_offered_other_methods(self) -> None:
        image = picture(size=32)
        assert layers(vit(), image) == {}
        with pytest.raises(InputError, match="integrated gradients or occlusion"):
            heatmap(vit(), image, 0, "gradcam")
        for method in METHODS[2:]:
            assert heatmap(vit(), image, 1, method).abs().max() > 0


class TestValues:
    """Raw values mean what is said of them."""

    def test_grad_cam_tells_what_each_cell_adds_to_the_logit(self) -> None:
        network, image = Bright(2), picture()
        found = heatmap(network, image, 0, "gradcam")
        assert float(found.sum()) == pytest.approx(network(image.as_tensor()[None])[0, 0].item() - 0.5, rel=1e-5)

    @pytest.mark.parametrize("method", CAMS)
    def test_class_activation_maps_are_monais_own(self, method: str) -> None:
        network, image = Bright(2), blob((16, 12), np.eye(4), (5.0, 7.0, 0.0))
        found = heatmap(network, image, 0, method).as_tensor()
        network.relu.inplace = False  # which MONAI's can't do
        kind = visualize.GradCAM if method == "gradcam" else visualize.GradCAMpp
        batch = image.as_tensor()[None]
        factor = 1.0 if method == "gradcam" else network(batch)[0, 0].exp().item()  # Grad-CAM++'s, left out here
        stock = kind(network, "relu").compute_map(batch, class_idx=0).detach()[0] / factor
        torch.testing.assert_close(found, stock, rtol=1e-4, atol=1e-6)

    def test_occlusion_is_monais_own_but_at_the_edge(self) -> None:
        network, image = made("DenseNet")
        image = image[:, :70, :56]
        found = heatmap(network, image, 2, "occlusion").as_tensor()[0]
        batch, window = image.as_tensor()[None], (10, 8)
        stock = visualize.OcclusionSensitivity(
            network, window, mode=float(batch.mean()), overlap=0.5, activate=False, verbose=False
        )
        with torch.no_grad():
            falls = network(batch)[0, 2] - stock(batch)[0][0, 2]
        torch.testing.assert_close(found[1:-1, 1:-1], falls[7:-5:5, 6:-4:4], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("name", ["DenseNet", "EfficientNet"])
    def test_integrated_gradients_are_complete(self, name: str) -> None:
        network, image = made(name)
        batch = image.as_tensor()[None]
        with torch.no_grad():
            ends = network(torch.cat([batch, batch.mean((2, 3), keepdim=True).expand_as(batch)]))[:, 0]
        found = float(heatmap(network, image, 0, "integrated_gradients").sum())
        assert found == pytest.approx(float(ends[0] - ends[1]), rel=0.02)

    @pytest.mark.parametrize("method", METHODS[2:])
    def test_what_speaks_against_a_class_is_negative(self, method: str) -> None:
        found = heatmap(Bright(2), blob((48, 48), np.eye(4), (20.0, 30.0, 0.0)), 1, method)
        assert -found.min() > 10 * found.max()


class TestUndisturbed:
    """A network doesn't notice that it was asked."""

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("end", ["made", "refused", "cancelled"])
    def test_it_is_as_before(self, method: str, end: str) -> None:
        network, image = Bright(2).train(), picture()
        network.relu.eval()
        network.body.weight.requires_grad_(False)
        network.head.weight.grad = torch.ones(2, 2)
        before = self.state(network)
        asked = iter([False, True, True])
        monitor = Monitor(cancel=lambda: end == "cancelled" and next(asked))
        if end == "made":
            heatmap(network, image, 0, method)
        else:
            with pytest.raises(InputError if end == "refused" else CancelledError):
                heatmap(network, image, 9 if end == "refused" else 0, method, None, monitor)
        assert self.state(network) == before and torch.is_grad_enabled()

    @staticmethod
    def state(network: nn.Module) -> Any:
        """Return all that could be changed."""
        parts = [(part.training, len(part._forward_hooks), len(part._backward_hooks)) for part in network.modules()]
        weights = [
            (w.requires_grad, w.tolist(), None if w.grad is None else w.grad.tolist()) for w in network.parameters()
        ]
        return parts, weights

    @pytest.mark.parametrize("method", METHODS)
    def test_inference_mode_around_it_does_no_harm(self, method: str) -> None:
        network, image = made("DenseNet")
        with torch.inference_mode():
            within = heatmap(network, image + 0, 0, method)
        assert torch.equal(within.as_tensor(), heatmap(network, image, 0, method).as_tensor())

    def test_progress_reaches_the_end(self) -> None:
        told: list[float] = []
        heatmap(Bright(2), picture(), 0, "occlusion", monitor=Monitor(lambda news: told.append(news.fraction)))
        assert told == sorted(told) and len(told) > 3 and told[-1] == 1


class TestTorchScript:
    """TorchScript shows no layers, but answers and has gradients."""

    @pytest.mark.parametrize("method", CAMS)
    def test_class_activation_maps_are_refused(self, method: str) -> None:
        with pytest.raises(InputError, match=r"TorchScript .* integrated gradients or occlusion"):
            heatmap(torch.jit.script(Bright(2)), picture(), 0, method)

    @pytest.mark.parametrize("method", METHODS[2:])
    def test_the_others_are_those_of_the_network_itself(self, method: str) -> None:
        script = torch.jit.script(Bright(2))
        one, other = (heatmap(network, picture(), 0, method).as_tensor() for network in (Bright(2), script))
        torch.testing.assert_close(one, other)

    def test_frozen_weights_are_told(self) -> None:
        frozen = torch.jit.freeze(torch.jit.script(Bright(2).eval()))
        assert heatmap(frozen, picture(), 0, "occlusion").max() > 0
        with pytest.raises(FixedWeightsError, match="frozen"):
            depends_on_weights(frozen, picture(), 0, "occlusion")


class TestRandomisedWeights:
    """A map that stays when the weights go is found out."""

    class Careless(nn.Module):
        """Answers with its input, whatever its weights."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return (B, 1)."""
            return (x**2).flatten(1).mean(1, keepdim=True) + 0 * self.weight

    @pytest.mark.parametrize("method", METHODS[2:])
    def test_a_network_that_ignores_its_weights_is_flagged(self, method: str) -> None:
        assert depends_on_weights(self.Careless(), picture(), 0, method) > 0.99

    @pytest.mark.parametrize("method", METHODS)
    def test_a_network_that_uses_them_is_not(self, method: str) -> None:
        network, image = made("DenseNet")
        assert abs(depends_on_weights(network, image, 0, method)) < INDEPENDENT

    def test_the_network_and_the_answer_are_the_same_each_time(self) -> None:
        network, image = made("DenseNet")
        before = [weight.clone() for weight in network.parameters()]
        answers = {depends_on_weights(network, image, 0, "gradcam") for _ in range(2)}
        assert len(answers) == 1
        assert all(map(torch.equal, before, network.parameters()))

    def test_inference_mode_and_progress_do_no_harm(self) -> None:
        network, image = made("DenseNet")
        told: list[float] = []
        with torch.inference_mode():
            monitor = Monitor(lambda news: told.append(news.fraction))
            within = depends_on_weights(network, image, 0, "gradcam", monitor=monitor)
        assert within == depends_on_weights(network, image, 0, "gradcam")
        assert told == sorted(told) and told[-1] == 1

    def test_torchscript_is_checked_as_well(self) -> None:
        one, other = (
            depends_on_weights(network, picture(), 0, "integrated_gradients")
            for network in (Bright(2), torch.jit.script(Bright(2)))
        )
        assert one == pytest.approx(other, abs=1e-3)


class TestBadInput:
    """What can't be explained is told in one sentence."""

    def test_an_unknown_method_names_the_known(self) -> None:
        with pytest.raises(InputError, match=r"'magic'.*gradcam, gradcam\+\+, integrated_gradients, occlusion"):
            heatmap(Bright(2), picture(), 0, "magic")

    @pytest.mark.parametrize("method", METHODS)
    def test_an_unknown_class_is_told(self, method: str) -> None:
        with pytest.raises(InputError, match="2 classes"):
            heatmap(Bright(2), picture(), 2, method)

    @pytest.mark.parametrize("method", METHODS)
    def test_what_is_no_number_is_told(self, method: str) -> None:
        image = picture()
        image[0, 3, 3] = float("nan")
        with pytest.raises(InputError, match="isn't a number"):
            heatmap(Bright(2), image, 0, method)

    def test_an_answer_without_gradient_is_told(self) -> None:
        class Hard(Bright):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x).detach()

        with pytest.raises(InputError, match="occlusion"):
            heatmap(Hard(2), picture(), 0, "integrated_gradients")
        assert heatmap(Hard(2), picture(), 0, "occlusion").max() > 0

    @pytest.mark.parametrize("method", METHODS)
    def test_a_constant_image_has_a_map(self, method: str) -> None:
        assert heatmap(Bright(2), picture() * 0, 0, method).isfinite().all()
