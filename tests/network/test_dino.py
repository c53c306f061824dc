"""`dino`: what the last block sees, against its own attention, and weights that cannot be had or are another's."""

import argparse
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from oracles import noise

from picie_core import saliency
from picie_core.network import dino
from picie_core.settings import Settings, SettingsError

timm = pytest.importorskip("timm")
KINDS = ("dino", "lost")


def settings(**values) -> Settings:
    return Settings(method="pseudomasks", **values)


@pytest.fixture(scope="module")
def tiny():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=0, dynamic_img_size=True
        )
    return net.eval().requires_grad_(False)


def before_last(net, images: torch.Tensor) -> torch.Tensor:
    """The tokens that the last block's attention is given, (B, 1 + hw, D)."""
    tokens = net._pos_embed(net.patch_embed(images))
    for block in net.blocks[:-1]:
        tokens = block(tokens)
    return net.blocks[-1].norm1(tokens)


@pytest.mark.parametrize("size", [(32, 32), (64, 40)])
def test_attention_and_keys_token_by_token(tiny, size):
    images, (h, w) = noise(2, 3, *size), (size[0] // 8, size[1] // 8)
    tokens, layer = before_last(tiny, images), tiny.blocks[-1].attn
    shares, keys = dino.attention(tiny, images), dino.keys(tiny, images)
    assert shares.shape == (2, 3, h, w)
    assert keys.shape == (2, 24, h, w)
    weight, bias = layer.qkv.weight, layer.qkv.bias
    key = tokens @ weight[24:48].T + bias[24:48]
    query = tokens[:, 0] @ weight[:24].T + bias[:24]
    for y in range(h):
        for x in range(w):
            assert torch.allclose(keys[:, :, y, x], key[:, 1 + y * w + x], atol=1e-5)
    for head in range(3):
        part = slice(8 * head, 8 * head + 8)
        scores = torch.stack([(query[:, part] * key[:, n, part]).sum(1) / 8**0.5 for n in range(1 + h * w)], dim=1)
        expected = scores.exp() / scores.exp().sum(1, keepdim=True)
        assert torch.allclose(shares[:, head].flatten(1), expected[:, 1:], atol=1e-6)
        assert torch.allclose(shares[:, head].sum((1, 2)) + expected[:, 0], torch.ones(2), atol=1e-5)


def test_the_attention_is_what_the_block_itself_uses(tiny):
    images = noise(1, 3, 32, 32)
    tokens, layer = before_last(tiny, images), tiny.blocks[-1].attn
    held = []
    handle = layer.proj.register_forward_hook(lambda _module, inputs, _output: held.append(inputs[0]))
    tiny.forward_features(images)
    handle.remove()
    value = (tokens @ layer.qkv.weight[48:].T + layer.qkv.bias[48:]).unflatten(2, (3, 8))  # (1, 17, heads, 8)
    shares = dino.attention(tiny, images).flatten(2)  # (1, heads, 16), without the share of the CLS token itself
    own = 1 - shares.sum(2, keepdim=True)
    mixed = torch.einsum("bhn,bnhd->bhd", torch.cat([own, shares], dim=2), value)
    assert torch.allclose(held[0][:, 0], mixed.flatten(1), atol=1e-5)


def test_the_cls_token_is_the_networks_output(tiny):
    images = noise(2, 3, 48, 32)
    assert torch.equal(dino.cls_tokens(tiny, images), tiny(images))
    assert not tiny.blocks[-1].attn.qkv._forward_hooks


@pytest.mark.parametrize("what", [dino.cls_tokens, dino.attention, dino.keys])
def test_sides_that_no_patch_fits_are_refused(tiny, what):
    with pytest.raises(ValueError, match="36 x 32 pixels, but this network sees patches of 8 x 8"):
        what(tiny, torch.zeros(1, 3, 36, 32))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A state dict as DINO's file holds it, of random numbers, in both formats."""
    folder = tmp_path_factory.mktemp("dino")
    model = timm.create_model("vit_small_patch8_224", num_classes=0)
    torch.save(model.state_dict(), folder / dino.FILE)
    safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors")
    return SimpleNamespace(folder=folder, state=model.state_dict())


@pytest.mark.parametrize("name", [dino.FILE, "model.safetensors"])
def test_the_released_file_is_loaded(released, name):
    given = settings(comus_saliency="lost", comus_dino_place=released.folder / name)
    model = dino.load(given)
    assert not model.training
    assert all(torch.equal(t, released.state[n]) for n, t in model.state_dict().items())
    assert not any(p.requires_grad for p in model.parameters())
    images = noise(1, 3, 96, 64)
    assert dino.cls_tokens(model, images).shape == (1, 384)
    assert dino.attention(model, images).shape == (1, 6, 12, 8)
    assert dino.keys(model, images).shape == (1, 384, 12, 8)
    for kind in KINDS:
        assert saliency.build(given.replace(comus_saliency=kind))(noise(1, 3, 64, 64), ["a"]).shape == (1, 64, 64)


def test_the_weights_of_another_model_are_refused(released, tmp_path):
    file = tmp_path / "other.pth"
    torch.save(timm.create_model("vit_small_patch16_224", num_classes=0).state_dict(), file)
    with pytest.raises(SettingsError, match=r"another model.*pos_embed \(1, 197, 384\) for \(1, 785, 384\)") as error:
        dino.load(settings(comus_dino_place=file))
    assert dino.FILE in str(error.value)
    torch.save({"teacher": released.state["norm.weight"], "epoch": 1}, file)
    with pytest.raises(SettingsError, match="not tensors by name"):
        dino.load(settings(comus_dino_place=file))
    torch.save({"teacher": {f"module.backbone.{n}": t for n, t in released.state.items()}}, file)
    with pytest.raises(SettingsError, match=f"dictionary of teacher.*{dino.FILE}.*alone and no full checkpoint"):
        dino.load(settings(comus_dino_place=file))
    torch.save({"teacher": {"norm.weight": released.state["norm.weight"]}, "args": argparse.Namespace(lr=1)}, file)
    said = r"cannot be read as weights \(it holds more than tensors, as a full checkpoint does\)"
    with pytest.raises(SettingsError, match=f"{said}.*{dino.FILE}"):
        dino.load(settings(comus_dino_place=file))
    with pytest.raises(SettingsError, match=f"no such file; expected.*{dino.FILE}"):
        dino.load(settings(comus_dino_place=tmp_path / "gone.pth"))


def test_without_a_network_the_message_names_file_and_place(monkeypatch):
    def offline(*_, **values):
        assert values["pretrained"]
        raise FileNotFoundError("cannot reach the hub\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(SettingsError, match=r"fetched by timm \(cannot reach the hub\)") as error:
        dino.load(settings())
    for part in (dino.FILE, "https://dl.fbaipublicfiles.com/dino/dino_deitsmall8_pretrain/", "comus_dino_place"):
        assert part in str(error.value)
