"""Fold batch normalisation into the convolutions before it, for evaluation."""

from __future__ import annotations

import copy
from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Copy a model with its batch normalisation folded into its convolutions.

    In evaluation mode the copy computes the same but for rounding, and so do its
    gradients with respect to the images. Not for training, and not for Grad-CAM at a
    folded layer: its activations are then the normalised ones.

    Args:
        model: traceable by `torch.fx`; stays as it is.

    Returns:
        A copy of the same class, with the same attributes, in evaluation mode. A
        folded normalisation has become `nn.Identity`; one that follows no convolution
        of its own is kept.

    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, CVPR 2018, eq. 14.
    """
    folded = copy.deepcopy(model).eval()
    for conv_name, norm_name in find_pairs(folded):
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        _replace(folded, conv_name, fuse_conv_bn_eval(conv, norm))
        _replace(folded, norm_name, nn.Identity())
    return folded


def find_pairs(model: nn.Module) -> list[tuple[str, str]]:
    """List the names of the convolutions whose output goes to one batch norm alone.

    The pairs are found by following the data, not by the order of definition.
    """
    nodes = _Tracer().trace(model).nodes
    num_calls = Counter(node.target for node in nodes if node.op == "call_module")
    modules = dict(model.named_modules())
    pairs = []
    for norm in nodes:
        if norm.op != "call_module" or type(modules[norm.target]) is not nn.BatchNorm2d:
            continue
        (conv,) = norm.args
        if (
            conv.op == "call_module"
            and type(modules[conv.target]) is nn.Conv2d
            and len(conv.users) == 1
            and num_calls[conv.target] == num_calls[norm.target] == 1
            and modules[norm.target].track_running_stats
        ):
            pairs.append((conv.target, norm.target))
    return pairs


class _Tracer(fx.Tracer):
    """Follow the data down to the modules that hold no others."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return next(module.children(), None) is None


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one called `name`."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
