"""A model is ready for maps and left as it was; images to show; mean maps."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from map_models import Linear, Normed, make_images
from torch import Tensor, nn

from explaining.cams import compute_grad_cam_maps
from explaining.mean_maps import compute_mean_maps, left_as_it_is, make_displayable
from explaining.methods import compute_gradient_saliency_maps
from files.names import FAKE, REAL
from loading import Preprocessing

MapFunction = Callable[..., Tensor]


@pytest.fixture(params=[compute_gradient_saliency_maps, compute_grad_cam_maps])
def compute_maps(request: pytest.FixtureRequest) -> MapFunction:
    """Both kinds of maps, one after the other."""
    return request.param


def test_maps_of_a_batch_equal_those_of_its_images_alone(compute_maps):
    model, images, labels = Normed().train(), make_images(5), [1, 0, 0, 1, 1]

    together = compute_maps(images, labels, model)

    alone = [compute_maps(images[i, None], labels[i : i + 1], model) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert together.abs().sum() > 0


def test_maps_leave_model_and_samples_as_they_were(compute_maps):
    model, images = Normed(in_place=True).train(), make_images()
    model.norm.eval()
    model.fc.weight.grad = torch.full((2, 2), 7.0)
    model.conv3.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = images.clone()

    with torch.no_grad():
        compute_maps(images, [0, 1, 0], model)

    assert [m.training for m in model.modules()] == [True, True, False, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert torch.equal(model.fc.weight.grad, torch.full((2, 2), 7.0))
    assert model.conv3.weight.grad is None
    assert model.norm.weight.grad is None
    assert model.relu.inplace
    assert not model.conv3._forward_hooks
    assert not images.requires_grad
    assert torch.equal(images, before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_maps_after_an_error_in_the_model_leave_it_as_it_was(compute_maps):
    model = Normed(in_place=True).train()
    model.fc = nn.Linear(3, 2)  # of the wrong size

    with pytest.raises(RuntimeError) as error:  # keeps the call's objects alive
        compute_maps(make_images(), [0, 1, 0], model)

    assert error.traceback
    assert all(module.training for module in model.modules())
    assert model.relu.inplace
    assert not model.conv3._forward_hooks
    assert all(p.requires_grad for p in model.parameters())


def test_left_as_it_is_evaluates_and_adds_to_no_parameters_gradient():
    model, images = Normed(in_place=True).train(), make_images().requires_grad_()
    model(images).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]

    with left_as_it_is(model):
        assert not any(module.training for module in model.modules())
        assert not model.relu.inplace
        model(images).sum().backward()

    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_make_displayable_without_preprocessing_stretches_to_the_full_range():
    sample = torch.tensor([-1.0, 0.0, 3.0]).view(3, 1, 1)

    assert make_displayable(sample, Linear()).flatten().tolist() == [0, 0.25, 1]
    assert make_displayable(sample * 0, Linear()).flatten().tolist() == [0, 0, 0]


def test_compute_mean_maps_sums_each_class_in_float64():
    values = torch.tensor([2.0**24, 1.0, 1.0, 2.0]).view(4, 1, 1, 1)
    batches = [
        (value[None], torch.tensor([label]))
        for value, label in zip(values, [REAL, REAL, REAL, FAKE], strict=True)
    ]

    mean_maps = compute_mean_maps(batches, lambda images, labels: images[:, 0])

    assert mean_maps.dtype == "float32"
    assert mean_maps.flatten().tolist() == [torch.tensor((2**24 + 2) / 3).item(), 2.0]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_compute_mean_maps_gives_each_image_its_target(batch_size):
    labels, targets = torch.tensor([0, 0, 1, 1]), np.array([1, 0, 1, 1])
    images = make_images(4)
    batches = zip(images.split(batch_size), labels.split(batch_size), strict=True)

    def compute_maps(images: Tensor, classes: Tensor) -> Tensor:
        return classes.view(-1, 1, 1).float()

    mean_maps = compute_mean_maps(batches, compute_maps, targets)

    assert mean_maps.flatten().tolist() == [0.5, 1.0]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 0.7), (0, 0)])
def test_maps_of_floats_that_nobody_normalised_are_refused(low, high, compute_maps):
    model = Normed()
    model.preprocessing = Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    images = torch.linspace(low, high, 48).view(1, 3, 4, 4)

    with pytest.raises(ValueError, match="must be normalised"):
        compute_maps(images, [0], model)

    compute_maps(images - low - 0.01, [0], model)
    compute_maps(images - high + 1.01, [0], model)
    model.preprocessing = None  # nobody knows what it expects
    compute_maps(images, [0], model)


def test_compute_mean_maps_without_one_class_raises():
    batches = [(make_images(2), torch.tensor([REAL, REAL]))]

    with pytest.raises(ValueError, match="no fake image"):
        compute_mean_maps(batches, lambda images, labels: images[:, 0])


def test_compute_mean_maps_that_are_not_finite_raises():
    batches = [(make_images(2), torch.tensor([REAL, FAKE]))]

    with pytest.raises(ValueError, match="not finite"):
        compute_mean_maps(batches, lambda images, labels: images[:, 0] * torch.inf)
