"""The networks that can be trained by name, each with what it expects of a picture."""

import difflib
import functools
import importlib
import logging
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from files.bounds import RUN_NAME
from files.imagenet_weights import find_packaged_weights, find_weights, load_backbone
from hardware.fused_layers import are_hooked, conv_pool_relu, fit
from loading import IMAGENET, PUBLISHED, SYMMETRIC, Preprocessing

OWN_NETWORKS = Path(__file__).parent / "networks"  # files of the user's own
TIMM = "timm:"  # before the name of one of the package's networks


@dataclass(frozen=True)
class Layout:
    """How a network's layers arrange their activations.

    Attributes:
        num_prefix: a transformer's tokens before those of the image's squares.
        channels_last: of four dimensions the channels are the last.
    """

    num_prefix: int = 0
    channels_last: bool = False

    def to_maps(self, activations: Tensor) -> Tensor:
        """Return as (N, C, H, W) what a layer gives.

        Args:
            activations: (N, C, H, W), (N, H, W, C) or tokens (N, T, C), of which an
                early layer may have those of the squares alone.

        Raises:
            ValueError: there are no places in it.
        """
        shape = tuple(getattr(activations, "shape", ()))
        if len(shape) == 4:
            order = (0, 3, 1, 2) if self.channels_last else (0, 1, 2, 3)
            return activations.permute(order)
        if len(shape) == 3:
            for first in (self.num_prefix, 0):
                side = math.isqrt(max(shape[1] - first, 0))
                if side and first + side**2 == shape[1]:
                    squares = activations[:, first:]
                    return squares.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        what = f"a tensor {shape}" if shape else f"a {type(activations).__name__}"
        raise ValueError(
            f"it gives {what}, which is neither a map (N, C, H, W) nor a square of "
            f"tokens (N, T, C) after {self.num_prefix} others"
        )


@dataclass(frozen=True)
class Network:
    """A network that can be trained by name.

    Attributes:
        build: builds it with random weights, on the CPU, in training mode: from float32
            images (N, 3, size, size) to logits (N, 2), real first.
        preprocessing: what it expects of a picture.
        layer: whose activations class activation maps weigh.
        load_weights: loads the weights to start from into it, from the file that the
            user named, or from where it finds them (None), and says what it loaded;
            None if the network always starts from random weights.
        licence: of these weights; '' if unknown.
        heads: names of its last layers, which are new in every detector.
        layout: how its layers arrange their activations.
    """

    build: Callable[[], nn.Module]
    preprocessing: Preprocessing
    layer: str
    load_weights: Callable[[nn.Module, Path | None], str] | None = None
    licence: str = ""
    heads: tuple[str, ...] = ()
    layout: Layout = Layout()


def register(
    name: str,
    preprocessing: Preprocessing = IMAGENET,
    *,
    layer: str,
    head: str = "",
    weights: str = "",
    licence: str = "",
    layout: Layout = Layout(),
) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Make the decorated function's network known by a name, as -m takes it.

    Args:
        name: of the network; it stands in the names of files.
        preprocessing: what it expects of a picture; by default 224 pixels with
            ImageNet's mean and deviation.
        layer, licence, layout: as `Network` has them.
        head: name of its last layer, which is new in every detector; '' if the network
            always starts from random weights.
        weights: address of the weights to start from, a state dict whose name ends in
            the first digits of its SHA-256, as torchvision's do; '' if only --weights
            can name some.

    Raises:
        ValueError: the name cannot be used.
    """
    if name not in RUN_NAME or name in NETWORKS:
        taken = "is taken" if name in NETWORKS else f"must be {RUN_NAME}"
        raise ValueError(f"a network's name {taken}, got {name!r:.60}")

    def load(model: nn.Module, path: Path | None) -> str:
        found = find_weights(path, url=weights)
        load_backbone(model, found, head, name=name)
        return str(found)

    def add(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        how = load if head else None
        heads = (head,) if head else ()
        NETWORKS[name] = Network(
            build, preprocessing, layer, how, licence, heads, layout
        )
        return build

    return add


def get_network(name: str) -> Network:
    """Return the network of this name.

    Args:
        name: one of `NETWORKS`, of the user's own in the folder `networks`, or timm:
            and a name of the package timm, such as timm:resnet50.a1_in1k.

    Raises:
        ValueError: there is none, or a file of `networks` fails; the message lists
            those there are.
    """
    if name.startswith(TIMM):
        return _get_timm_network(name.removeprefix(TIMM))
    if name not in NETWORKS:
        _import_own_networks()
    if name not in NETWORKS:
        raise ValueError(
            f"unknown model {name!r:.60}: choose from {', '.join(NETWORKS)}, or "
            f"{TIMM}NAME for one of the package timm; if it is your own, its file in "
            f"{OWN_NETWORKS.name}/ is missing"
        )
    return NETWORKS[name]


def _import_own_networks() -> None:
    for path in sorted(OWN_NETWORKS.glob("[!_]*.py")):
        try:
            importlib.import_module(f"{OWN_NETWORKS.name}.{path.stem}")
        except Exception as error:  # whatever the user's code raises
            reason = " ".join(str(error).split())[:300]
            raise ValueError(
                f"{OWN_NETWORKS.name}/{path.name} fails: {type(error).__name__}: "
                f"{reason}"
            ) from error


def build_model(
    name: str, *, weights_path: str | Path | None = None, from_scratch: bool = False
) -> nn.Module:
    """Build a network by name.

    Args:
        name: as `get_network` takes it.
        weights_path: weights to start from; None: the network's own search for them.
        from_scratch: random weights; use it too before loading a checkpoint.

    Returns:
        The network with its `preprocessing`, on the CPU, in training mode.

    Raises:
        ValueError: there is no such network, weights and a random start are both asked
            for, or the file does not hold weights of this network.
        OSError: no weights can be found.
    """
    network = get_network(name)
    if weights_path is not None and (from_scratch or network.load_weights is None):
        raise ValueError(
            f"{name} cannot start from {weights_path}: --weights goes with a network "
            "that has weights to start from, and without --from-scratch"
        )
    model = network.build()
    model.preprocessing = network.preprocessing
    if network.load_weights is not None and not from_scratch:
        network.load_weights(model, weights_path and Path(weights_path))
    return model


def _is_inference_on_cpu(features: Tensor) -> bool:
    """Say whether it is: what is exported runs elsewhere."""
    is_on_cpu = features.device.type == "cpu" and not torch.compiler.is_exporting()
    return is_on_cpu and not torch.is_grad_enabled()


class MaxPool2x2(nn.MaxPool2d):
    """Max-pooling by 2 x 2, faster on a CPU if no gradient is needed.

    PyTorch's kernel records where each maximum came from, and with few channels works
    on one pixel at a time: with it SimpleNet's evaluation takes 2.3 ms an image, with
    this 1.6 (two cores, bf16, batch 32, `benchmarks/speed.py`). The values are equal.
    """

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return the maxima (N, C, H // 2, W // 2) of features (N, C, H, W)."""
        if not _is_inference_on_cpu(features):
            return super().forward(features)
        bottom, right = (size // 2 * 2 for size in features.shape[-2:])
        rows = torch.maximum(features[..., 0:bottom:2, :], features[..., 1:bottom:2, :])
        return torch.maximum(rows[..., 0:right:2], rows[..., 1:right:2])


STEADY_ROWS = 32


def steady_linear(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Multiply features (N, in); on a CPU no output (N, out) depends on the others.

    The matrix product chooses its order of summation by the number of rows: in float32
    the logits of an image alone and among others differed by up to 2.4e-7. If no
    gradient is needed, rows are multiplied in blocks of 32, the last one filled up with
    zeros. At the default batch size that is free; a single image takes up to 16 ms
    longer (SimpleNet, one core), because its row is multiplied as 32.
    """
    if not _is_inference_on_cpu(features):
        return F.linear(features, weight, bias)
    filled = F.pad(features, (0, 0, 0, -len(features) % STEADY_ROWS))
    blocks = [F.linear(block, weight, bias) for block in filled.split(STEADY_ROWS)]
    return torch.cat(blocks)[: len(features)]


class SteadyLinear(nn.Linear):
    """A linear layer that is a `steady_linear`."""

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, out) of features (N, in)."""
        return steady_linear(features, self.weight, self.bias)


class SimpleNet(nn.Module):
    """A small network: three convolutions, three linear layers, 16.9 M parameters.

    It pools before the ReLU: the same values and gradients, a quarter of the numbers.

    Attributes:
        fuse: whether to run the suite's own kernels, where they fit and no hook needs a
            layer's output.
    """

    preprocessing = PUBLISHED
    fuse = True

    def __init__(self) -> None:
        super().__init__()
        self.pool = MaxPool2x2()
        self.conv1 = nn.Conv2d(3, 6, 7)
        self.conv2 = nn.Conv2d(6, 16, 7)
        self.conv3 = nn.Conv2d(16, 24, 7)
        self.fc1 = SteadyLinear(24 * 26 * 26, 1024)
        self.fc2 = SteadyLinear(1024, 256)
        self.fc3 = SteadyLinear(256, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, 2), real first, of float32 images (N, 3, 256, 256)."""
        is_fused = self.fuse and fit(images) and not are_hooked(self.modules())
        step = conv_pool_relu if is_fused else self._conv_pool_relu
        features = step(images, self.conv1)  # (N, 6, 125, 125)
        features = step(features, self.conv2)  # (N, 16, 59, 59)
        features = step(features, self.conv3)  # (N, 24, 26, 26)
        features = features.flatten(1)  # (N, 16224), channels first in any format
        features = F.relu(self.fc1(features))
        features = F.relu(self.fc2(features))
        return self.fc3(features)

    def _conv_pool_relu(self, features: Tensor, conv: nn.Conv2d) -> Tensor:
        """Compute a step by PyTorch's layers."""
        return F.relu(self.pool(conv(features)))


def get_xception_based_model(
    weights_path: str | Path | None = None, *, from_scratch: bool = False
) -> nn.Module:
    """Build Xception with ImageNet weights and a new head for real or fake.

    Args:
        weights_path: file of ImageNet weights; None: the cache, then a download.
        from_scratch: start from random weights.

    Returns:
        A module from float32 (N, 3, 256, 256) to logits (N, 2), real first, with its
        `preprocessing`.

    Raises:
        ValueError, OSError: as `build_model`.

    Source: F. Chollet, Xception, CVPR 2017. Deviations: the 1000-way last layer is
        replaced by an MLP 2048-1000-256-64-2; no ReLU works in place.
    """
    options = {"weights_path": weights_path, "from_scratch": from_scratch}
    return build_model("XceptionBased", **options)


def _build_xception_based() -> nn.Module:
    model = build_plain_xception()
    model.last_linear = nn.Sequential(
        SteadyLinear(2048, 1000),
        nn.ReLU(),
        SteadyLinear(1000, 256),
        nn.ReLU(),
        SteadyLinear(256, 64),
        nn.ReLU(),
        SteadyLinear(64, 2),
    )
    return model


def build_plain_xception() -> nn.Module:
    """Build Xception with its 1000-way last layer and random weights."""
    from hardware.fast_xception import FastXception  # takes a second to import

    model = FastXception(num_classes=1000)
    model.last_linear = model.fc  # as `pretrainedmodels.xception` does
    del model.fc
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            # In place it would overwrite the activations of the layer before it, which
            # a hook there (Grad-CAM) reads.
            module.inplace = False
    return model


def _load_xception(model: nn.Module, path: Path | None) -> str:
    found = find_weights(path)
    load_backbone(model, found)
    return str(found)


# By name; `register` adds to them.
NETWORKS = {
    "SimpleNet": Network(SimpleNet, PUBLISHED, "conv3"),
    "XceptionBased": Network(
        *(_build_xception_based, SYMMETRIC, "conv3", _load_xception),
        heads=("last_linear",),
    ),
}
BUILT_IN = tuple(NETWORKS)


@functools.cache
def _get_timm_network(name: str) -> Network:
    """Describe one of timm's networks, after the package's own record of it.

    Source: R. Wightman, PyTorch Image Models, https://github.com/huggingface/
        pytorch-image-models.
    """
    timm = _import_timm()
    if not re.fullmatch(r"[\w.]+", name):  # a folder, or a site to ask, to timm
        unknown = f"timm knows no network {name!r:.60}"
        raise ValueError(f"{unknown}: it lists none of that name")
    try:
        with torch.device("meta"):  # its shape alone
            model = timm.create_model(name, num_classes=2)
    # RuntimeError: there is no such network, or no such weights of it.
    except (RuntimeError, ValueError) as error:
        names = timm.list_models(pretrained="." in name)
        like = difflib.get_close_matches(name, names, n=5)
        hint = f"; timm has {', '.join(like)}" if like else ""
        raise ValueError(
            f"timm knows no network {name!r:.60} ({error}){hint}"
        ) from error
    config = model.pretrained_cfg
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ValueError(
            f"{TIMM}{name} takes images of {config['input_size']}, not squares in RGB"
        )
    heads = config["classifier"]
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    preprocessing = Preprocessing(config["mean"], config["std"], height)
    return Network(
        functools.partial(timm.create_model, name, num_classes=2),
        preprocessing,
        _find_last_layer(model),
        functools.partial(_load_timm_weights, name=name, heads=heads),
        config.get("license") or "",
        heads,
        Layout(
            getattr(model, "num_prefix_tokens", 0),
            getattr(model, "output_fmt", "NCHW") == "NHWC",
        ),
    )


def _find_last_layer(model: nn.Module) -> str:
    """Return whose activations class activation maps weigh.

    In a transformer's last block only the token that is read has a gradient, after its
    first norm all have: there, as the package grad-cam says.
    """
    last = model.feature_info[-1]["module"]
    norm = f"{last}.norm1"
    return norm if norm in dict(model.named_modules()) else last


def _import_timm() -> Any:
    try:
        with warnings.catch_warnings():  # its own, about itself
            warnings.simplefilter("ignore")
            import timm
    except ImportError as error:
        raise ValueError(
            f"{TIMM} needs the package timm: pip install -r requirements-networks.txt"
        ) from error
    return timm


def _load_timm_weights(
    model: nn.Module, path: Path | None, *, name: str, heads: tuple[str, ...]
) -> str:
    """Load a file in timm's own names, a package's, or what timm finds or downloads."""
    if path is not None:
        load_backbone(model, find_weights(path), *heads, name=f"{TIMM}{name}")
        return str(path)
    if packaged := find_packaged_weights(name):
        load_backbone(model, packaged, *heads, name=f"{TIMM}{name}", by_order=True)
        return str(packaged)
    timm = _import_timm()
    # Offline it tries five times, and warns each time: HF_HUB_OFFLINE=1 is quicker.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        found = timm.create_model(name, pretrained=True, num_classes=2)
    # Whatever the hub's client, its connection or the file raises.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OSError(
            f"no weights of {TIMM}{name} were found ({reason}): give --weights FILE, "
            "a .pth or .safetensors in timm's names, or --from-scratch"
        ) from error
    model.load_state_dict(found.state_dict())
    where = model.pretrained_cfg.get("hf_hub_id") or "its address"
    return f"timm's of {name}, from {where}"
