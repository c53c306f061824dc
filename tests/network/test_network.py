"""`network`: shapes, the pyramid's formula, seeds, and ImageNet weights that cannot be had or are not what they say."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
import torchvision

from picie_core import network, views
from picie_core.network import Network, resnet
from picie_core.settings import Settings, SettingsError


def settings(**values) -> Settings:
    return Settings(**({"image_size": 32, "pretrained": False} | values))


@pytest.fixture(scope="module")
def built() -> Network:
    return network.build(settings(recipe="paper")).eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((128, 128), (32, 32)), ((160, 160), (40, 40)), ((90, 121), (23, 31)), ((32, 32), (8, 8)), ((33, 65), (9, 17))],
)
@pytest.mark.parametrize("fpn", ["direct", "cascade"])
@torch.no_grad()
def test_the_features_lie_at_a_quarter_of_the_size_rounded_up(built, size, expected, fpn, monkeypatch):
    monkeypatch.setattr(built, "fpn", fpn)
    assert built(noise(1, 3, *size)).shape == (1, 128, *expected)


@pytest.mark.parametrize(
    ("backbone", "channels"), [("resnet18", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))]
)
def test_the_pyramid_taps_four_levels(backbone, channels):
    with torch.device("meta"):  # shapes alone
        net = network.build(settings(backbone=backbone, feature_dim=10))
        assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 10, 16, 16)
    assert tuple(lateral.in_channels for lateral in net.lateral) == channels


@pytest.mark.parametrize(("trunk", "channels", "parameters"), [("res12", 64, 157_504), ("res12_layer2", 128, 683_072)])
def test_a_shallow_trunk(trunk, channels, parameters):
    net = network.build(settings(method="iic", trunk=trunk, iic_displacement=3)).eval()
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net.channels == channels
    images = noise(1, 3, 64, 64)
    with torch.no_grad():
        found = net(images)
        x = net.backbone.maxpool(net.backbone.relu(net.backbone.bn1(net.backbone.conv1(images))))
        expected = net.backbone.layer1(x)
        if trunk == "res12_layer2":
            expected = F.interpolate(net.backbone.layer2(expected), scale_factor=2, mode="bilinear")
    assert found.shape == (1, channels, 16, 16)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_shallow_trunk_takes_its_part_of_the_imagenet_weights(monkeypatch):
    whole = torchvision.models.resnet18(weights=None).state_dict()
    monkeypatch.setattr(network.resnet, "imagenet_weights", lambda *a: whole)
    net = network.build(settings(method="iic", trunk="res12", iic_displacement=3, pretrained=True))
    assert torch.equal(net.backbone.layer1[1].conv2.weight, whole["layer1.1.conv2.weight"])


def test_image_gradients_counted_by_hand():
    """A white right half: dx is left minus right, weighted 1 2 1, so -4 on either side of the edge."""
    grey = torch.zeros(1, 3, 6, 6)
    grey[..., 3:] = 1
    dx, dy = network.gradients(views.normalise(grey))[0]
    assert dx[2].tolist() == pytest.approx([0, 0, -4, -4, 0, 4], abs=2e-3)  # and zeros beyond the picture
    assert dx[0].tolist() == pytest.approx([0, 0, -3, -3, 0, 3], abs=2e-3)
    assert dy[1:5].abs().max() < 2e-3
    across, down = network.gradients(views.normalise(grey.mT))[0]
    torch.testing.assert_close(down, dx.T, atol=1e-4, rtol=0)
    torch.testing.assert_close(across, dy.T, atol=1e-4, rtol=0)


def test_the_network_may_see_image_gradients_beside_the_colours():
    net = network.build(settings(sobel=True)).eval()
    assert net.backbone.conv1.in_channels == 5
    same = network.build(settings(sobel=True)).eval()
    images = noise(1, 3, 32, 32)
    with torch.no_grad():
        found = net(images)
        assert torch.equal(found, same(images))
        net.backbone.conv1.weight[:, 3:] = 0
        assert not torch.allclose(net(images), found, atol=1e-3)


def test_parameters_as_counted_for_the_paper(built):
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(built.lateral) == 123_392  # (64 + 128 + 256 + 512 + 4) * 128
    assert count(built) == 11_299_904  # 11.3 M: torchvision's resnet18 without its classifier, and the above
    assert count(torchvision.models.resnet18()) - 513 * 1000 + 123_392 == count(built)


@torch.no_grad()
def levels_of(net: Network, images: torch.Tensor) -> list[torch.Tensor]:
    """The four laterals' outputs, from torchvision's own feature extraction and matrix products."""
    x, found = images, []
    for name, module in net.backbone.named_children():
        x = module(x)
        if name.startswith("layer"):
            lateral = net.lateral[len(found)]
            product = torch.einsum("bchw,dc->bdhw", x, lateral.weight[:, :, 0, 0])
            found.append(product + lateral.bias[:, None, None])
    return found


@torch.no_grad()
def test_direct_and_cascade_are_their_formulas_and_differ(built, monkeypatch):
    images = noise(1, 3, 128, 128)
    one, two, three, four = levels_of(built, images)

    def up(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return F.interpolate(maps, like.shape[-2:], mode="bilinear", align_corners=False)

    direct = one + up(two, one) + up(three, one) + up(four, one)
    cascade = one + up(two + up(three + up(four, three), two), one)
    found = {}
    for fpn, expected in (("direct", direct), ("cascade", cascade)):
        monkeypatch.setattr(built, "fpn", fpn)
        found[fpn] = built(images)
        torch.testing.assert_close(found[fpn], expected, atol=1e-4, rtol=1e-4)
    apart = (found["direct"] - found["cascade"]).norm() / found["direct"].norm()
    assert 0.03 < apart < 0.2  # about 10 %


def test_the_settings_choose_pyramid_and_width():
    with torch.device("meta"):
        assert network.build(settings(fpn="direct")).fpn == "direct"
        net = network.build(settings(fpn="cascade", feature_dim=7)).eval()
        assert net.fpn == "cascade"
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 7, 8, 8)


@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "resnet34", "resnet50", "efficientnet_lite0"]
    + [f"timm/test_{name}" for name in ("vit", "convnext", "efficientnet")],
)
def test_in_training_nothing_is_drawn(backbone):
    """With a layer that draws (dropout, stochastic depth) PiCIE would not learn the features that it clusters."""
    net, images = network.build(settings(backbone=backbone)).train(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(images), net(images))


@pytest.mark.parametrize(("padding", "knows_the_edge"), [("zeros", True), ("replicate", False)])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@torch.no_grad()
def test_by_zero_padding_a_network_knows_where_the_edge_is(padding, knows_the_edge, backbone):
    net = network.build(settings(padding=padding, backbone=backbone)).eval()
    features = net(torch.full((1, 3, 64, 64), 0.7))[0].flatten(1)  # an image without anything in it
    spread = (features - features.mean(dim=1, keepdim=True)).abs().max() / features.abs().max()
    assert (spread > 0.01) == knows_the_edge
    assert spread > 0.01 or spread < 1e-5


def test_embed_gives_unit_vectors_along_the_channels():
    raw = torch.tensor([[3.0, 0.0], [4.0, 2.0]])[None, :, :, None]  # pixels (3, 4) and (0, 2)
    torch.testing.assert_close(network.embed(raw)[0, :, :, 0], torch.tensor([[0.6, 0.0], [0.8, 1.0]]))


def test_weights_are_a_function_of_the_seed_alone(built):
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    again, other = network.build(settings(recipe="paper")), network.build(settings(recipe="paper", seed=2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, weight in built.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert not torch.equal(built.backbone.conv1.weight, other.backbone.conv1.weight)
    assert not torch.equal(built.lateral[0].weight, other.lateral[0].weight)


def test_random_weights_have_torchvisions_distribution(built):
    spread = built.backbone.layer3[1].conv1.weight.detach().std()
    assert float(spread) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)  # kaiming normal, fan out
    assert float(built.lateral[3].weight.detach().abs().max()) <= 512**-0.5 + 1e-7  # torch's default: 1 / sqrt(fan in)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub cache on a machine without a network."""

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    return tmp_path / "hub" / "checkpoints"


def test_no_network_says_where_the_weights_can_be_put(cache):
    with pytest.raises(SettingsError) as error:
        network.build(settings(pretrained=True))
    message = str(error.value)
    for part in (
        "pretrained = True",
        "no route to host",
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        str(cache / "resnet18-f37072fd.pth"),
        "weights_file",
        "pretrained=False (-p pretrained=false)",
    ):
        assert part in message


def test_a_weights_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"there is no such file; expected torchvision's resnet18-f37072fd\.pth"):
        network.build(settings(pretrained=True, weights_file=tmp_path / "weights.pth"))


def test_a_weights_file_of_the_wrong_hash_is_refused_unread(tmp_path, monkeypatch):
    file = tmp_path / "resnet18-f37072fd.pth"
    file.write_bytes(b"not these")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the file was read"))
    with pytest.raises(SettingsError) as error:
        network.build(settings(pretrained=True, weights_file=file))
    for part in (str(file), hashlib.sha256(b"not these").hexdigest()[:8], "f37072fd"):
        assert part in str(error.value)


def test_a_broken_file_in_the_cache_is_refused_too(cache):
    cache.mkdir(parents=True)
    (cache / "resnet18-f37072fd.pth").write_bytes(b"cut off")
    with pytest.raises(SettingsError, match="sha256 begins with"):
        network.build(settings(pretrained=True))


@pytest.mark.parametrize("where", ["weights_file", "cache"])
def test_imagenet_weights_are_put_into_the_backbone(where, cache, tmp_path, monkeypatch):
    with torch.random.fork_rng(devices=[]):
        donor = torchvision.models.resnet18().state_dict()  # with fc, as torchvision's file has it
    file = tmp_path / "weights.pth"
    torch.save(donor, file)
    name = f"resnet18-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth"
    described = SimpleNamespace(url=f"https://download.pytorch.org/models/{name}")
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda _: {"IMAGENET1K_V1": described})
    if where == "cache":
        cache.mkdir(parents=True)
        file = file.rename(cache / name)
    net = network.build(settings(pretrained=True, weights_file=file if where == "weights_file" else None))
    for key, weight in net.backbone.state_dict().items():
        assert torch.equal(weight, donor[key]), key
    assert torch.equal(net.lateral[0].weight, network.build(settings()).lateral[0].weight)  # drawn, as ever


@pytest.mark.parametrize("fpn", ["direct", "cascade"])
def test_gradients_are_to_the_bit_those_of_levels_mixed_as_they_come(fpn):
    """The order of the operations decides in which order autograd adds up what a level's readers send back: were all
    levels made before the first is mixed, every trained number would move in its last bits."""
    images = noise(2, 3, 64, 64)

    def gradient(features):
        net = network.build(settings(fpn=fpn, image_size=64)).train()
        features(net, images).square().sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    def by_hand(net, images):
        body, mixed = net.backbone, []
        x = body.maxpool(body.relu(body.bn1(body.conv1(images.contiguous(memory_format=torch.channels_last)))))
        for number, name in enumerate(resnet.LEVELS):
            x = getattr(body, name)(x)
            mixed.append(net.lateral[number](x))
        if fpn == "direct":
            return sum((F.interpolate(m, mixed[0].shape[2:], mode="bilinear") for m in mixed[1:]), start=mixed[0])
        top = mixed.pop()
        while mixed:
            finer = mixed.pop()
            top = finer + F.interpolate(top, finer.shape[2:], mode="bilinear")
        return top

    assert torch.equal(gradient(lambda net, images: net(images)), gradient(by_hand))
