"""Maps from gradients against known answers."""

import pytest
import torch
from map_models import Linear, Normed, make_images
from torch import Tensor, nn

from explaining.methods import (
    METHODS,
    compute_gradient_saliency_maps,
    compute_input_gradients,
    compute_input_x_gradient_maps,
    compute_integrated_gradients,
    compute_integrated_gradients_maps,
    compute_smoothgrad_maps,
)

LABELS = [1, 0, 1]


class Bent(nn.Module):
    """A small network that is far from linear."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.fc = nn.Sequential(nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.flatten(1))


def test_smoothgrad_of_linear_model_equals_the_gradient():
    model, images = Linear(), make_images()

    maps = compute_smoothgrad_maps(images, LABELS, model)

    expected = compute_gradient_saliency_maps(images, LABELS, model)
    torch.testing.assert_close(maps, expected)


def test_smoothgrad_of_bent_model_is_not_the_gradient_but_near_it():
    model, images = Bent(), make_images()

    maps = compute_smoothgrad_maps(images, LABELS, model)

    gradient = compute_gradient_saliency_maps(images, LABELS, model)
    assert not torch.allclose(maps, gradient, rtol=0.01)
    assert torch.corrcoef(torch.stack([maps.flatten(), gradient.flatten()]))[0, 1] > 0.5


def test_integrated_gradients_add_up_to_the_score_less_the_baselines():
    model, images, labels = Bent(), make_images(), torch.tensor(LABELS)

    shares = compute_integrated_gradients(images, labels, model)

    with torch.no_grad():
        gains = model(images) - model(torch.zeros_like(images))
    expected = gains.gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(shares.sum((1, 2, 3)), expected, rtol=0, atol=1e-3)
    plain = images * compute_input_gradients(images, labels, model)
    assert (plain.sum((1, 2, 3)) - expected).abs().max() > 0.05


def test_integrated_gradients_and_input_x_gradient_of_linear_model_by_hand():
    model = Linear(size=1)
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[1.0, 1.0, 1.0], [2.0, -3.0, 0.5]]))
    images = torch.tensor([[1.0, -1.0, 2.0]]).view(1, 3, 1, 1)

    shares = compute_integrated_gradients(images, [1], model)
    maps = compute_integrated_gradients_maps(images, [1], model)

    assert shares.flatten().tolist() == pytest.approx([2, 3, 1])
    assert maps.flatten().tolist() == pytest.approx([6])
    product = compute_input_x_gradient_maps(-images, [1], model)
    assert product.flatten().tolist() == pytest.approx([6])


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_a_batch_equal_those_of_its_images_alone(method):
    model, images, labels = Normed().train(), make_images(5), [1, 0, 0, 1, 1]

    together = METHODS[method](images, labels, model)

    alone = [METHODS[method](images[i, None], [labels[i]], model) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert together.shape == (5, 4, 4)
    assert together.min() >= 0 < together.max()
    assert not together.requires_grad
    assert model.training
