"""What describes a proposal."""

import numpy as np
import pytest
import torch

from picie_core import network, views
from picie_core.discovery import descriptors
from picie_core.settings import Settings


def crops(count=3, size=32, seed=0):
    return views.normalise(torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)))


def test_hog_is_of_unit_length_and_sees_no_colour_of_flat_regions():
    found = descriptors.Hog()(crops())
    assert (found.shape, found.dtype) == ((3, descriptors.Hog.width), torch.float32)
    assert torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-6)
    flat = views.normalise(torch.full((1, 3, 32, 32), 0.7))
    assert not descriptors.Hog()(flat).any()


def test_hog_of_a_vertical_edge_is_horizontal_gradient_alone():
    """A step in x has its whole gradient in the orientation bin of 0 degrees (scikit-image's first, 0 to 20)."""
    picture = torch.zeros(1, 3, 32, 32)
    picture[..., 16:] = 1
    found = descriptors.Hog()(views.normalise(picture)).reshape(-1, 9)
    assert found[:, 0].max() > 0.1
    assert not found[:, 1:].any()


def test_hog_keeps_shape_when_colour_changes():
    base = torch.zeros(1, 3, 64, 64)
    base[..., 20:40, 10:50] = 1.0
    colours = [torch.tensor(c)[None, :, None, None] for c in ([0.9, 0.1, 0.1], [0.1, 0.2, 0.8])]
    red, blue = (descriptors.Hog()(views.normalise(base * c)) for c in colours)
    other = descriptors.Hog()(views.normalise(base.transpose(2, 3) * colours[0]))
    assert (red * blue).sum() > 0.95 > (red * other).sum()


def test_a_pooled_feature_is_the_mean_of_the_networks_unit_features():
    settings = Settings(method="pseudomasks", pretext="untrained", image_size=32)
    descriptor = descriptors.build(settings)
    net = network.build(settings.previous.replace(seed=7))  # another network, to see that it is taken over
    descriptor.start_from({f"network.{name}": w for name, w in net.state_dict().items()} | {"other": torch.zeros(1)})
    pictures = crops()
    with torch.no_grad():
        found = descriptor.eval()(pictures).numpy()
        maps = net.eval()(pictures).numpy().astype(np.float64)
    unit = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    mean = unit.mean(axis=(2, 3))
    assert np.allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert found.shape[1] == descriptor.width == settings.feature_dim


@pytest.mark.parametrize(("pretext", "kind"), [("hog", descriptors.Hog), ("untrained", descriptors.Pooled)])
def test_pretext_names_the_descriptor(pretext, kind):
    assert isinstance(descriptors.build(Settings(method="pseudomasks", pretext=pretext)), kind)
