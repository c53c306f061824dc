"""`zoo`: timm's models as backbones: their levels, what they see, and how their weights are drawn."""

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from oracles import noise, pictures
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn
from torchvision.transforms.v2 import functional as TF

from picie_core import network, views
from picie_core.network import zoo
from picie_core.settings import Settings, SettingsError

TINY = ("test_vit", "test_convnext", "test_efficientnet")


def settings(name: str = "timm/test_vit", **values) -> Settings:
    return Settings(**{"image_size": 32, "pretrained": False, "feature_dim": 8, "backbone": name} | values)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def nets():
    return {name: network.build(settings(f"timm/{name}")).eval() for name in TINY}


@pytest.fixture
def altered(monkeypatch):
    """Have timm make models with further arguments, or otherwise changed by a function."""
    real = timm.create_model

    def alter(change=lambda model: model, **more):
        monkeypatch.setattr(timm, "create_model", lambda name, **values: change(real(name, **values | more)))

    return alter


def seen_by(layer: nn.Module, net: network.Network, images: torch.Tensor) -> torch.Tensor:
    """What a layer is given when the network sees these images."""
    held = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0]))
    with torch.no_grad():
        net(images)
    handle.remove()
    return held[0]


# -- the levels


@pytest.mark.parametrize("name", TINY)
@given(height=st.integers(32, 90), width=st.integers(32, 90))
@profile(max_examples=12)
def test_the_features_lie_at_a_quarter_of_the_size_rounded_up(nets, name, height, width):
    with torch.no_grad():
        found = nets[name](noise(1, 3, height, width))
    assert found.shape == (1, 8, math.ceil(height / 4), math.ceil(width / 4))
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("name", "channels", "strides"),
    [
        ("test_vit", [64], [16]),
        ("test_convnext", [24, 32, 48, 64], [4, 8, 16, 32]),
        ("test_efficientnet", [24, 32, 48, 64], [4, 8, 16, 32]),  # and a level of stride 2, which is too fine
    ],
)
def test_the_last_level_of_each_stride_from_4_on(nets, name, channels, strides):
    net = nets[name]
    assert [lateral.in_channels for lateral in net.lateral] == channels
    with torch.no_grad():
        found = net.levels(noise(2, 3, 64, 96))
    assert [level.shape for level in found] == [
        (2, c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)
    ]
    last = network.build(settings(f"timm/{name}", trunk="last")).eval()
    assert last.channels == channels[-1]
    assert not list(last.lateral.parameters())
    images = noise(1, 3, 64, 64)
    with torch.no_grad():
        level = last.levels(last.normalised(images))[-1]
        expected = TF.resize(level, [16, 16], TF.InterpolationMode.BILINEAR, antialias=False)
        torch.testing.assert_close(last(images), expected, atol=1e-5, rtol=1e-4)


def test_levels_are_chosen_by_their_stride():
    strides = (2, 4, 4, 8, 16, 16, 16, 32)
    assert zoo._levels([{"reduction": stride} for stride in strides]) == [2, 3, 6, 7]
    assert zoo._levels([{"reduction": 14}] * 12) == [11]


@torch.no_grad()
def test_a_transformers_level_is_its_patches_behind_the_last_norm(nets):
    net = nets["test_vit"]
    whole = timm.create_model("test_vit", num_classes=0, dynamic_img_size=True).eval()
    whole.load_state_dict(net.backbone.state_dict())
    whole.norm.weight.copy_(noise(64, seed=1))
    net.backbone.load_state_dict(whole.state_dict())  # a norm that does something
    images = noise(2, 3, 32, 80)
    tokens = whole.forward_features(images)[:, whole.num_prefix_tokens :]
    (found,) = net.levels(images)
    for y in range(2):
        for x in range(5):
            torch.testing.assert_close(found[:, :, y, x], tokens[:, 5 * y + x])


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "efficientnet_lite0"])
@torch.no_grad()
def test_a_convolutional_networks_levels_are_its_stages(name):
    net = network.build(settings(name)).eval()
    x = images = noise(1, 3, 64, 64)
    x, last = net.backbone.bn1(net.backbone.conv_stem(x)), {}
    for stage in net.backbone.blocks:
        x = stage(x)
        last[x.shape[-1]] = x
    expected = [last[side] for side in (16, 8, 4, 2)]
    for found, level in zip(net.levels(images), expected, strict=True):
        torch.testing.assert_close(found, level, atol=1e-5, rtol=1e-4)


def test_what_lies_behind_the_last_level_is_gone():
    whole = timm.create_model("tf_efficientnet_lite0")
    head = 320 * 1280 + 2 * 1280 + 1281 * 1000  # a convolution, its batch norm, the classifier
    net = network.build(settings("efficientnet_lite0", feature_dim=128))
    assert count(net.backbone) == count(whole) - head == 2_958_848
    assert count(net.lateral) == (24 + 40 + 112 + 320 + 4) * 128


@pytest.mark.parametrize(("size", "seen"), [((64, 90), (70, 84)), ((28, 30), (28, 28)), ((5, 42), (14, 42))])
def test_patches_that_do_not_divide_the_image_see_it_resized_to_the_nearest_size(altered, size, seen):
    altered(patch_size=14)
    net, images = network.build(settings()).eval(), noise(1, 3, *size)
    expected = TF.resize(net.normalised(images), list(seen), TF.InterpolationMode.BILINEAR, antialias=True)
    torch.testing.assert_close(seen_by(net.backbone.patch_embed, net, images), expected, atol=1e-5, rtol=0)
    with torch.no_grad():
        assert net(images).shape == (1, 8, math.ceil(size[0] / 4), math.ceil(size[1] / 4))


def test_an_image_of_whole_patches_is_seen_as_it_is(nets):
    net, images = nets["test_vit"], noise(1, 3, 32, 48)
    assert torch.equal(seen_by(net.backbone.patch_embed, net, images), net.normalised(images))


# -- what it sees


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({}, ((0.5,) * 3, (0.5,) * 3)),  # test_vit's own
        ({"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}, ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))),
        ({"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, None),
        ({"mean": (0.485, 0.456, 0.406), "std": (0.5, 0.5, 0.5)}, ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))),
    ],
)
def test_images_are_normalised_as_the_model_was_trained_to_see_them(altered, given, numbers):
    altered(pretrained_cfg_overlay=given)
    net, pixels = network.build(settings()).eval(), pictures(2, 32)
    plain = views.plain(pixels, 32)
    found = seen_by(net.backbone.patch_embed, net, plain)
    if numbers is None:
        assert torch.equal(found, plain)
        return
    mean, std = numbers
    for c in range(3):
        expected = (pixels[..., c].double() / 255 - mean[c]) / std[c]
        torch.testing.assert_close(found[:, c].double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pretrained", [True, False])
def test_efficientnet_lite0_sees_minus_1_to_1(pretrained):
    net, pixels = network.build(settings("efficientnet_lite0", pretrained=pretrained)).eval(), pictures(1, 32)
    found = seen_by(net.backbone.conv_stem, net, views.plain(pixels, 32))
    torch.testing.assert_close(found, pixels.permute(0, 3, 1, 2) / 127.5 - 1, atol=1e-5, rtol=0)


def test_image_gradients_stand_beside_the_colours():
    net, images = network.build(settings(sobel=True)).eval(), views.plain(pictures(1, 32), 32)
    found = seen_by(net.backbone.patch_embed, net, images)
    assert found.shape == (1, 5, 32, 32)
    assert torch.equal(found[:, :3], net.normalised(images))
    assert torch.equal(found[:, 3:], network.gradients(images))
    assert net.backbone.patch_embed.proj.in_channels == 5


# -- drawn weights


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_efficientnet", "efficientnet_lite0"])
def test_weights_are_a_function_of_the_seed_alone(name):
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    one, again, other = (network.build(settings(name, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for key, weight in one.state_dict().items():
        assert torch.equal(weight, again.state_dict()[key]), key
    layers = [key for key, weight in one.state_dict().items() if weight.ndim > 1 and weight.any()]
    assert len(layers) > 10
    assert not [key for key in layers if torch.equal(one.state_dict()[key], other.state_dict()[key])]


def test_to_be_tried_moves_nothing():
    net = network.build(settings("timm/test_efficientnet"))
    assert all(layer.training for layer in net.modules())
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) > 5
    assert all(n.num_batches_tracked == 0 and not n.running_mean.any() and (n.running_var == 1).all() for n in norms)


@pytest.mark.parametrize("name", ["resnet18", "timm/test_efficientnet"])
def test_a_frozen_backbone_is_in_evaluation_mode_and_without_gradients(name):
    net, images = network.build(settings(name, frozen=True)), noise(2, 3, 64, 64)
    for mode in (True, False, True):
        assert net.train(mode) is net
        assert net.training == net.lateral[0].training == mode
        assert not any(layer.training for layer in net.backbone.modules())
    net(images).sum().backward()
    assert {key.partition(".")[0] for key, p in net.named_parameters() if p.grad is not None} == {"lateral"}
    before = F.normalize(net(images), dim=1)
    assert torch.equal(F.normalize(net.eval()(images), dim=1), before)


# -- what is refused


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_vitt", "timm has no such model; did you mean 'timm/test_vit'?"),
        ("vit_small_patch8_224.dinno", "timm has no such model; did you mean 'timm/vit_small_patch8_224.dino'?"),
        ("q", "timm has no such model; timm.list_models() lists those that it has"),
        ("hiera_tiny_224.mae", "takes images of one size alone"),
    ],
)
def test_names_and_models_that_cannot_be_a_backbone(name, said):
    with pytest.raises(SettingsError) as error:
        network.build(settings(f"timm/{name}"))
    assert str(error.value).startswith(f"backbone = 'timm/{name}'")
    assert said in str(error.value)


def refuse(_images, **_options):
    raise AssertionError("Input height (64) doesn't match model (160)")


def lie(model: nn.Module) -> nn.Module:
    model.feature_info[0]["reduction"] = 6
    return model


def shut(model: nn.Module) -> nn.Module:
    model.forward_intermediates = refuse
    return model


def widen(model: nn.Module) -> nn.Module:
    model.feature_info[3]["num_chs"] += 1
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lie, r"gives features of \(24, 16, 16\) for an image of 64 x 64, where it says 24 channels and a stride of 6"),
        (
            widen,
            r"gives features of \(64, 2, 2\) for an image of 64 x 64, where it says 65 channels and a stride of 32",
        ),
        (shut, r"takes no image of 64 x 64 \(Input height \(64\) doesn't match model \(160\)\)"),
        (lambda model: nn.Identity(), "gives no intermediate features: take another of timm's"),
    ],
)
def test_a_model_is_tried_before_it_is_used(altered, change, said):
    altered(change)
    with pytest.raises(SettingsError, match=f"^backbone = 'timm/test_convnext' {said}"):
        network.build(settings("timm/test_convnext"))


def test_batch_norms_that_are_synchronised_keep_their_activations():
    """torch's own conversion takes timm's norms for bare ones, and the activations behind them are gone."""
    net = network.build(settings(backbone="timm/test_efficientnet")).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net(images)
        assert torch.equal(convert_sync_batchnorm(net).eval()(images), before)
        assert any(isinstance(layer, torch.nn.SyncBatchNorm) for layer in net.modules())


def test_nothing_is_drawn_where_timm_would_draw():
    net = network.build(settings(backbone="timm/swin_tiny_patch4_window7_224", image_size=64)).train()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(images), net(images))
