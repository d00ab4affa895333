"""A detector as one graph: bytes in, P(fake) out, and what its guard compares."""

import torch
from torch import Tensor, nn

from judging.detector import Detector
from tuning.probe import Probe, hooked, pool


class Graph(nn.Module):
    """From pixels to what `judging.exported.OUTPUTS` names, in plain PyTorch.

    The suite's own kernels, and the tricks by which a CPU gives the same bits for any
    batch, stay out of what is exported.

    Args:
        detector: on the CPU, in float32; its network is shared, not copied.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        spec, network = detector.preprocessing, detector.network
        self.network = network.eval()
        self.is_probe = isinstance(network, Probe)
        self.layout = network.layout if self.is_probe else detector.layout
        self.layers = network.layers if self.is_probe else (detector.layer,)
        self.temperature = detector.record.temperature
        self.bias = detector.record.logit_bias
        std, mean = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.std, spec.mean))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge pixels uint8 (N, S, S, 3), RGB.

        Returns:
            P(fake) (N,), the logit difference (N,), and the features (N, F); float32.
        """
        images = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        network = self.network.backbone if self.is_probe else self.network
        found: dict[str, Tensor] = {}
        with hooked(network, self.layers, found.setdefault):
            logits = network(images)
        features = torch.cat([pool(found[n], self.layout) for n in self.layers], dim=1)
        if self.is_probe:
            logits = self.network.head(features)
        difference = logits[:, 1] - logits[:, 0]
        fake_score = torch.sigmoid(difference / self.temperature + self.bias)
        return fake_score, difference, features
