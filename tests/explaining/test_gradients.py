"""Every method leaves the network as it was and refuses bad input; known answers."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from map_models import SMALL, Linear, Normed, make_images
from torch import Tensor, nn

from explaining.cams import compute_grad_cam_maps
from explaining.gradients import (
    METHODS,
    NUM_NOISY_COPIES,
    compute_attribution_maps,
    compute_input_gradients,
    compute_magnitudes,
    integrate_gradients,
    multiply_by_gradient,
    smooth_gradients,
)
from saliency_map import compute_gradient_saliency_maps

LABELS = [1, 0, 1]
KINDS = {"gradient": compute_gradient_saliency_maps, "cam": compute_grad_cam_maps}
FUNCTIONS = {m: partial(compute_attribution_maps, method=m) for m in METHODS} | KINDS
EITHER_KIND = pytest.mark.parametrize("compute_maps", KINDS.values(), ids=KINDS)


class Bent(nn.Module):
    """A small network that is far from linear."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.fc = nn.Sequential(nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.flatten(1))


@pytest.mark.parametrize("compute_maps", FUNCTIONS.values(), ids=FUNCTIONS)
def test_maps_of_a_batch_equal_those_of_its_images_alone(compute_maps):
    model, images, labels = Normed().train(), make_images(5), [1, 0, 0, 1, 1]

    together = compute_maps(images, labels, model)

    alone = [compute_maps(images[i, None], [labels[i]], model) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert (together.shape, together.dtype) == ((5, 4, 4), torch.float32)
    assert 0 <= together.min() < together.max()
    assert not together.requires_grad


@EITHER_KIND
@pytest.mark.parametrize("num_inputs", [2, 3], ids=["works", "fails"])
def test_maps_leave_network_and_samples_as_they_were(compute_maps, num_inputs):
    model, images = Normed(in_place=True).train(), make_images()
    model.fc = nn.Linear(num_inputs, 2)  # of three it fails
    model.norm.eval()
    model.fc.weight.grad = torch.full((2, num_inputs), 7.0)
    model.conv3.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = images.clone()

    fails = pytest.raises(RuntimeError) if num_inputs == 3 else nullcontext()
    with torch.no_grad(), fails as error:  # which keeps the call's objects alive
        compute_maps(images, LABELS, model)

    assert (error is None) == (num_inputs == 2)
    assert [m.training for m in model.modules()] == [True, True, False, True, True]
    is_trained = [p.requires_grad for p in model.parameters()]
    assert is_trained == [False, True, True, True, True]
    assert torch.equal(model.fc.weight.grad, torch.full((2, num_inputs), 7.0))
    assert model.conv3.weight.grad is model.norm.weight.grad is None
    assert model.relu.inplace
    assert not model.conv3._forward_hooks
    assert not images.requires_grad
    assert torch.equal(images, before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


@EITHER_KIND
@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2], [0, -1, 1], torch.zeros(3, 2)])
def test_maps_need_a_class_for_each_sample(compute_maps, labels):
    with pytest.raises(ValueError, match=r"a label for each of 3 samples, 0 \(real\)"):
        compute_maps(make_images(), labels, Normed())


@EITHER_KIND
def test_maps_need_samples_whose_normalisation_is_known(compute_maps):
    model, samples = Normed(), torch.arange(96).view(2, 3, 4, 4).byte()
    with pytest.raises(ValueError, match="uint8 samples need a model"):
        compute_maps(samples, [1, 0], model)

    model.preprocessing = SMALL
    maps = compute_maps(samples, torch.tensor([1, 0]), model)

    images = SMALL.normalise(samples)
    assert torch.equal(maps, compute_maps(images, [1, 0], model))
    for low, high in ((0, 1), (0.2, 0.7), (0, 0)):
        floats = torch.linspace(low, high, 96).view(2, 3, 4, 4)
        with pytest.raises(ValueError, match="must be normalised"):
            compute_maps(floats, [0, 1], model)
        compute_maps(floats - low - 0.01, [0, 1], model)
        compute_maps(floats - high + 1.01, [0, 1], model)


def test_smooth_gradients_are_a_linear_networks_gradient_and_near_anothers():
    images, found = make_images(), {}
    for model in (Linear(), Bent()):
        differentiate = partial(
            compute_input_gradients, target_classes=LABELS, model=model
        )
        plain = compute_magnitudes(differentiate(images))
        found[type(model)] = smooth_gradients(images, differentiate), plain

    torch.testing.assert_close(*found[Linear])
    assert not torch.allclose(*found[Bent], rtol=0.01)
    assert np.corrcoef(*(maps.flatten() for maps in found[Bent]))[0, 1] > 0.5


def test_smooth_gradients_are_averaged_before_their_magnitudes():
    noisy = []
    maps = smooth_gradients(
        make_images(), lambda images: noisy.append(images) or images
    )
    assert len(noisy) == NUM_NOISY_COPIES
    torch.testing.assert_close(maps, compute_magnitudes(torch.stack(noisy).mean(0)))


def test_integrated_gradients_add_up_to_the_score_less_the_baselines():
    model, images, labels = Bent(), make_images(), torch.tensor(LABELS)
    differentiate = partial(compute_input_gradients, target_classes=labels, model=model)

    shares = integrate_gradients(images, differentiate)

    with torch.no_grad():
        gains = model(images) - model(torch.zeros_like(images))
    expected = gains.gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(shares.sum((1, 2, 3)), expected, rtol=0, atol=1e-3)
    plain = multiply_by_gradient(images, differentiate)
    assert (plain.sum((1, 2, 3)) - expected).abs().max() > 0.05


@pytest.mark.parametrize("method", ["integrated-gradients", "input-x-gradient"])
def test_shares_of_a_linear_network_add_up_over_channels_by_hand(method):
    model = Linear(size=1)
    model.fc.weight.data = torch.tensor([[1.0, 1.0, 1.0], [2.0, -3.0, 0.5]])
    image = torch.tensor([-1.0, 1.0, 2.0]).view(1, 3, 1, 1)  # shares -2, -3, 1

    maps = compute_attribution_maps(image, [1], model, method=method)

    assert maps.flatten().tolist() == pytest.approx([4])
