"""From image files to batches on the device; start at `batches.py`.

`image_files.py`: list, read and check images. `augmentation.py`: how training images
are changed. `self_blending.py`: fakes made of real ones. `disturbances.py`: what
happens to a picture on its way to a detector. `preprocessing.py`: what a model expects.
"""

from loading.augmentation import Augmentation
from loading.batches import BatchLoader
from loading.image_files import (
    check_images,
    describe_bad_images,
    list_images,
    read_image,
    read_samples,
)
from loading.preprocessing import IMAGE_SIZE, PUBLISHED, SYMMETRIC, Preprocessing

__all__ = [
    "IMAGE_SIZE",
    "PUBLISHED",
    "SYMMETRIC",
    "Augmentation",
    "BatchLoader",
    "Preprocessing",
    "check_images",
    "describe_bad_images",
    "list_images",
    "read_image",
    "read_samples",
]
