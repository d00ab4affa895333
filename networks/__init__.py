"""Your own networks: a file each, which every script then takes by name.

`networks/resnet.py`, for example:

    from dataclasses import replace

    from torch import nn
    from torchvision.models import resnet18

    from loading import IMAGENET
    from models import register

    INPUT = replace(IMAGENET, size=160)  # pixels; without it 224
    WEIGHTS = "https://download.pytorch.org/models/resnet18-f37072fd.pth"


    @register("ResNet18", INPUT, layer="layer4", head="fc", weights=WEIGHTS)
    def build():
        network = resnet18()
        network.fc = nn.Linear(512, 2)
        return network

`python check_network.py -m ResNet18` says whether it does all that the scripts need.
More: docs/networks.md.
"""
