"""Tests of saliency and Grad-CAM on models whose maps are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explaining.maps import compute_mean_maps, make_displayable
from files.layout import FAKE, REAL
from grad_cam_analysis import compute_grad_cam_maps, get_grad_cam_visualization
from hardware.device import Precision
from loading.preprocessing import Preprocessing
from saliency_map import compute_gradient_saliency_maps, compute_mean_saliency_maps


class Linear(nn.Module):
    """logits = W image: the gradient of a logit is a row of W."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * size * size, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.flatten(1))


class OneConvolution(nn.Module):
    """A convolution, its mean over places, and weights for two classes."""

    def __init__(self, *, in_place: bool = False) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=in_place)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv3.weight.copy_(torch.eye(2, 3).view(2, 3, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 2.0]]))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv3(images)).mean(dim=(2, 3)))


class Normed(OneConvolution):
    """The same with batch normalisation, which mixes samples in training mode."""

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.norm(self.conv3(images))).mean(dim=(2, 3)))


def make_images(num: int = 3, size: int = 4) -> Tensor:
    return torch.randn(num, 3, size, size, generator=torch.manual_seed(0))


def test_saliency_of_linear_model_is_largest_weight_over_channels():
    model, labels = Linear(), torch.tensor([FAKE, REAL, FAKE])

    maps = compute_gradient_saliency_maps(make_images(), labels, model)

    weights = model.fc.weight.detach().view(2, 3, 4, 4).abs().amax(dim=1)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    torch.testing.assert_close(maps, weights[labels])


def test_saliency_takes_the_largest_magnitude_not_the_largest_value():
    model = Linear(size=1)
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[-3.0, 1.0, 2.0], [0.0, 0.5, -0.25]]))

    maps = compute_gradient_saliency_maps(make_images(2, size=1), [REAL, FAKE], model)

    assert maps.flatten().tolist() == [3.0, 0.5]


def test_saliency_uses_the_logit_which_a_confident_softmax_would_flatten():
    model = Linear(size=1)
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
        model.fc.bias.copy_(torch.tensor([0.0, 1000.0]))

    (saliency,) = compute_gradient_saliency_maps(make_images(1, size=1), [FAKE], model)

    assert saliency.item() == 2.0


@pytest.mark.parametrize(
    "compute_maps", [compute_gradient_saliency_maps, compute_grad_cam_maps]
)
def test_maps_of_a_batch_equal_those_of_its_images_alone(compute_maps):
    model, images, labels = Normed().train(), make_images(5), [1, 0, 0, 1, 1]

    together = compute_maps(images, labels, model)

    alone = [compute_maps(images[i, None], labels[i : i + 1], model) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert together.abs().sum() > 0


@pytest.mark.parametrize(
    "compute_maps", [compute_gradient_saliency_maps, compute_grad_cam_maps]
)
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


def test_maps_after_an_error_in_the_model_leave_it_as_it_was():
    model = Normed(in_place=True).train()
    model.fc = nn.Linear(3, 2)  # of the wrong size

    with pytest.raises(RuntimeError) as error:  # keeps the call's objects alive
        compute_grad_cam_maps(make_images(), [0, 1, 0], model)

    assert error.traceback
    assert model.training
    assert model.relu.inplace
    assert not model.conv3._forward_hooks
    assert all(p.requires_grad for p in model.parameters())


def test_grad_cam_for_a_class_that_is_not_there_raises():
    with pytest.raises(IndexError):
        compute_grad_cam_maps(make_images(), [0, 5, 0], OneConvolution())


def test_saliency_in_bfloat16_is_close_to_float32():
    model, images, labels = Linear(size=16), make_images(size=16), [0, 1, 1]

    maps = compute_gradient_saliency_maps(
        images, labels, model, precision=Precision("bf16")
    )

    exact = compute_gradient_saliency_maps(images, labels, model)
    assert maps.dtype == torch.float32
    assert not torch.equal(maps, exact)
    torch.testing.assert_close(maps, exact, rtol=2**-7, atol=1e-6)


def test_saliency_of_uint8_samples_equals_that_of_normalised_ones():
    model = OneConvolution()
    model.preprocessing = Preprocessing(4, (0.5, 0.5, 0.5), (0.25, 0.5, 1.0))
    samples = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)

    maps = compute_gradient_saliency_maps(samples, [1, 0], model)

    images = model.preprocessing.normalise(samples)
    assert torch.equal(maps, compute_gradient_saliency_maps(images, [1, 0], model))


def test_saliency_of_uint8_samples_without_preprocessing_raises():
    with pytest.raises(ValueError, match="preprocessing"):
        compute_gradient_saliency_maps(
            torch.zeros(1, 3, 4, 4, dtype=torch.uint8), [0], Linear()
        )


def make_image_for_cam() -> Tensor:
    """Two feature maps, [[1, 2], [3, 4]] and [[0, 4], [0, 0]], and an idle channel."""
    first, second = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 4.0], [0.0, 0.0]]
    return torch.tensor([[first, second, [[9.0, 9.0], [9.0, 9.0]]]])


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # alpha = (1, 0) / 4: the first feature map, its range stretched to [0, 1]
        (REAL, [[0, 1 / 3], [2 / 3, 1]]),
        # alpha = (-1, 2) / 4: -1, -2 + 8, -3, -4, of which only the 6 is positive
        (FAKE, [[0.0, 1.0], [0.0, 0.0]]),
    ],
)
def test_grad_cam_of_one_convolution_equals_the_sum_by_hand(
    target, expected, frozen, in_place
):
    model = OneConvolution(in_place=in_place).requires_grad_(not frozen)
    # where the ReLU cuts, its gradient is 0: here it cuts nowhere that matters
    images = make_image_for_cam() + torch.tensor([1e-6, 1e-6, 0]).view(3, 1, 1)

    maps = compute_grad_cam_maps(images, [target], model)

    torch.testing.assert_close(maps, torch.tensor([expected]), rtol=0, atol=1e-5)


def test_grad_cam_with_an_in_place_relu_reads_the_activations_before_it():
    images = make_images(4)  # negative activations, which the ReLU overwrites

    maps = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution(in_place=True))

    expected = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution())
    assert torch.equal(maps, expected)


def test_grad_cam_of_another_layer_is_of_the_images_size():
    maps = compute_grad_cam_maps(make_images(2, 6), [0, 1], Normed(), layer="relu")

    assert maps.shape == (2, 6, 6)
    assert maps.min() >= 0
    assert maps.max() <= 1


def make_samples(kind: str) -> list[tuple[Tensor, int]]:
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.manual_seed(1))
    images = images.to(torch.uint8)
    if kind == "float":
        images = make_model().preprocessing.normalise(images)
    return list(zip(images, [0, 0, 0, 1, 1, 1], strict=True))


def make_model() -> nn.Module:
    model = OneConvolution()
    model.preprocessing = Preprocessing(8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    return model


def test_grad_cam_visualization_of_uint8_and_float_datasets_is_the_same():
    first, label = get_grad_cam_visualization(
        make_samples("uint8"), make_model(), generator=torch.manual_seed(3)
    )

    again = get_grad_cam_visualization(
        make_samples("float"), make_model(), generator=torch.manual_seed(3)
    )

    assert first.shape == (8, 8, 3)
    assert first.dtype == np.uint8
    assert label == again[1]
    assert np.abs(first.astype(int) - again[0]).max() <= 1


def test_grad_cam_visualization_follows_the_seed_and_reaches_both_classes():
    samples, model = make_samples("uint8"), make_model()

    def draw(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return [get_grad_cam_visualization(samples, model)[1] for _ in range(12)]

    assert draw(5) == draw(5)
    assert set(draw(5)) == {REAL, FAKE}


def test_make_displayable_without_preprocessing_stretches_to_the_full_range():
    sample = torch.tensor([-1.0, 0.0, 3.0]).view(3, 1, 1)

    assert make_displayable(sample, Linear()).flatten().tolist() == [0, 0.25, 1]
    assert make_displayable(sample * 0, Linear()).flatten().tolist() == [0, 0, 0]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_mean_saliency_maps_are_the_means_of_each_class(batch_size):
    model, images, labels = Normed(), make_images(5), torch.tensor([0, 0, 1, 0, 1])
    batches = list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    mean_maps = compute_mean_saliency_maps(batches, model)

    maps = compute_gradient_saliency_maps(images, labels, model)
    assert list(mean_maps) == [REAL, FAKE]
    torch.testing.assert_close(mean_maps[REAL], maps[labels == 0].mean(dim=0))
    torch.testing.assert_close(mean_maps[FAKE], maps[labels == 1].mean(dim=0))


def test_compute_mean_maps_sums_in_float64():
    values = torch.tensor([2.0**24, 1.0, 1.0, 2.0]).view(4, 1, 1, 1)
    batches = [
        (value[None], torch.tensor([label]))
        for value, label in zip(values, [0, 0, 0, 1], strict=True)
    ]

    mean_maps = compute_mean_maps(batches, lambda images, labels: images[:, 0])

    assert mean_maps[REAL].item() == torch.tensor((2**24 + 2) / 3).item()


def test_compute_mean_maps_without_one_class_raises():
    batches = [(make_images(2), torch.tensor([REAL, REAL]))]

    with pytest.raises(ValueError, match="no fake image"):
        compute_mean_saliency_maps(batches, Linear())
