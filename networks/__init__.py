"""Your own networks: a file each, which every script then takes by name.

`resnet18_160_pixels.py` is one, to copy: `python check_network.py -m ResNet18` says
whether it does all that the scripts need. More: docs/networks.md.
"""
