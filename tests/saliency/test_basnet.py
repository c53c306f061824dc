"""`saliency.basnet`: its forward pass layer by layer, the released files, and the weights of another model."""

import pytest
import torch
from oracles import noise
from torch import nn

from picie_core.saliency import basnet
from picie_core.settings import Settings, SettingsError


@pytest.fixture(scope="module")
def shell() -> basnet.BASNet:
    with torch.device("meta"):
        return basnet.BASNet()


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """A value for each name, of the right shape, that takes no place in a file."""
    shapes = network.state_dict().items()
    return {name: torch.tensor(i % 7 / 100 + 0.01).to(t.dtype).expand(t.shape) for i, (name, t) in enumerate(shapes)}


def load(file) -> basnet.Network:
    return basnet.load(Settings(method="pseudomasks", comus_saliency="basnet", comus_saliency_place=file))


def reference(w: dict[str, torch.Tensor], x: torch.Tensor, borrows: bool) -> list[torch.Tensor]:
    """BASNet's maps from a state dict, layer by layer, without modules."""

    def conv(name, x, **more):
        return torch.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **more)

    def norm(name, x):
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, var, scale, shift = (w[f"{name}.{part}"][:, None, None] for part in parts)
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def block(name, x, stride=1):
        y = norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride=stride, padding=1)).relu()
        y = norm(f"{name}.bn2", conv(f"{name}.conv2", y, padding=1))
        if stride == 2:
            x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride=2))
        return (x + y).relu()

    def layer(prefix, name, x, d=1, bn=None):
        return norm(f"{prefix}bn{bn or name}", conv(f"{prefix}conv{name}", x, padding=d, dilation=d)).relu()

    def up(x, factor):
        return nn.functional.interpolate(x, scale_factor=factor, mode="bilinear")

    pool = nn.MaxPool2d(2, 2, ceil_mode=True)
    x, h = norm("inbn", conv("inconv", x, padding=1)).relu(), {}
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for number in range(blocks):
            x = block(f"encoder{stage}.{number}", x, 2 if stage > 1 and number == 0 else 1)
        h[stage] = x
    for stage in (5, 6):
        x = pool(x)
        for number in (1, 2, 3):
            x = block(f"resb{stage}_{number}", x)
        h[stage] = x
    for name in ("bg_1", "bg_m", "bg_2"):
        x = layer("", name, x, 2)
    out = [up(conv("outconvb", x, padding=1), 32)]
    x = layer("", "6d_1", torch.cat([x, h[6]], 1))
    x = layer("", "6d_2", layer("", "6d_m", x, 2), 2, "5d_2" if borrows else None)
    out.append(up(conv("outconv6", x, padding=1), 32))
    for stage, factor in ((5, 16), (4, 8), (3, 4), (2, 2), (1, 1)):
        x = torch.cat([up(x, 2), h[stage]], 1)
        for name in ("1", "m", "2"):
            x = layer("", f"{stage}d_{name}", x)
        scores = conv(f"outconv{stage}", x, padding=1)
        out.append(scores if factor == 1 else up(scores, factor))
    x, levels = conv("refunet.conv0", out[-1], padding=1), []
    for number in "1234":
        levels.append(layer("refunet.", number, x))
        x = pool(levels[-1])
    x = layer("refunet.", "5", x)
    for number in "4321":
        x = layer("refunet.", f"_d{number}", torch.cat([up(x, 2), levels[int(number) - 1]], 1))
    out.append(out[-1] + conv("refunet.conv_d0", x, padding=1))
    return [each.sigmoid()[:, 0] for each in reversed(out)]


@torch.no_grad()
@pytest.mark.slow
def test_basnet_against_its_layers_one_by_one():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = basnet.BASNet().eval().double()
    for number, module in enumerate(net.modules()):  # batch norms that do something, and differ
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(number % 5 / 50)
            module.running_var.fill_(0.5 + number % 3 / 10)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(87.06, abs=0.005)  # as published
    state, images, firsts = net.state_dict(), noise(1, 3, 64, 64).double(), []
    for borrows in (False, True):
        net.borrows = borrows
        found = net(images)
        assert len(found) == 8
        for one, expected in zip(found, reference(state, images, borrows), strict=True):
            assert one.shape == (1, 64, 64)
            assert torch.allclose(one, expected, rtol=1e-6, atol=1e-9)
        firsts.append(found[6])  # stage 6's own map
    assert not torch.allclose(firsts[0], firsts[1], atol=1e-4)


@pytest.mark.parametrize("wrapped", ["plain", "net", "parallel"])
def test_the_weights_are_read_as_they_are_released(shell, tmp_path, wrapped):
    state = state_of(shell)
    held = {"plain": state, "net": {"net": state, "epoch": 3}, "parallel": {f"module.{n}": t for n, t in state.items()}}
    torch.save(held[wrapped], tmp_path / "basnet.pth")
    network = load(tmp_path / "basnet.pth").network
    assert not network.borrows
    found = network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_a_file_tells_which_batch_norm_it_was_trained_with(shell, tmp_path):
    state = {name: t for name, t in state_of(shell).items() if not name.endswith("num_batches_tracked")}  # PyTorch 0.4
    state["bn6d_2.running_mean"] = torch.zeros(512)
    torch.save(state, tmp_path / "basnet.pth")
    assert load(tmp_path / "basnet.pth").network.borrows


def test_the_weights_of_another_model_are_refused(shell, tmp_path):
    file, state = tmp_path / "basnet.pth", state_of(shell)

    def refused(held, match):
        torch.save(held, file)
        with pytest.raises(SettingsError, match=match) as error:
            load(file)
        assert "comus_saliency_place" in str(error.value)
        assert str(file) in str(error.value)

    refused({"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(1)}, "another model.*inconv.weight.*conv1.weight")
    refused(state | {"surplus": torch.zeros(1)}, "has unknown surplus$")
    refused({n: t for n, t in state.items() if n != "outconvb.bias"}, "lacks outconvb.bias$")
    refused(state | {"inconv.weight": torch.zeros(64, 4, 3, 3)}, r"inconv.weight \(64, 4, 3, 3\) for \(64, 3, 3, 3\)")
    refused({"epoch": 3}, "holds a dictionary of epoch, not tensors by name")
    refused([torch.zeros(1)], "holds a list, not tensors")
    refused({"a": Settings}, "cannot be read as weights")  # a class of ours: not without running code
    for content in (b"", b"hello", b"PK\3\4 cut short"):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=r"basnet\.pth cannot be read as weights"):
            load(file)
    with pytest.raises(SettingsError, match="there is no such file; expected BASNet's state dict"):
        load(tmp_path / "nowhere.pth")


def test_basnet_sees_256_pixels_and_answers_at_the_images_size():
    class Seen(nn.Module):
        def forward(self, images):
            assert images.shape[-2:] == (256, 256)
            return [images[:, 0], None]

    flat = torch.full((2, 3, 96, 96), 0.3)
    maps = basnet.Network(Seen())(flat, ["a", "b"])  # type: ignore[arg-type]
    assert maps.shape == (2, 96, 96)
    assert torch.allclose(maps, flat[:, 0])
    slope = torch.linspace(0, 1, 128)[:, None].expand(1, 3, 128, 256)  # higher than wide would be as wrong
    maps = basnet.Network(Seen())(slope, ["c"])  # type: ignore[arg-type]
    assert maps.shape == (1, 128, 256)
    assert torch.allclose(maps, slope[:, 0], atol=0.01)
