"""From a picture's bytes to batches on the device; start at `batches.py`.

`image_files.py`: list, open and check pictures (`rgb.py`: in RGB, whatever they were;
`jpeg_xl.py`: that format, in safety; `foreign_files.py`: what a file is that is not a
picture). `preprocessing.py`: what a network expects of them. `kept_pixels.py`: what was
made of them, in files that outlive the run. `augmentation.py`: how training images are
changed. `self_blending.py`: fakes made of real ones. `disturbances.py`: what happens to
a picture on its way to a detector; `disturbed_faces.py`: a split after it.
`face_finding.py`: where faces are.

`sources/`: what a split consists of, wherever it lies. `layouts/`: from data that lie
otherwise to a table. `videos/`: their frames, and who is who in them. `origin/`: what a
file says of itself.
"""

from hardware.lazy import attach
from loading.image_files import (
    ImageFile,
    check_images,
    describe_bad_images,
    list_images,
    naming,
    read_image,
    read_samples,
)
from loading.preprocessing import (
    CROP_MARGIN,
    IMAGE_SIZE,
    IMAGENET,
    PUBLISHED,
    SYMMETRIC,
    Preprocessing,
    Resize,
    find_preprocessing,
)

# Those that need PyTorch.
__getattr__ = attach(
    __name__, {"augmentation": "Augmentation", "batches": "BatchLoader ResizeToTensor"}
)
