"""At which quality a JPEG was saved, by its quantisation."""

import functools

import numpy as np
from PIL import Image

# Quantisation for luminance at quality 50 (ITU-T T.81, table K.1), row by row.
_LUMINANCE = np.array(
    (
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    )
)


def estimate_jpeg_quality(image: Image.Image) -> int | None:
    """Estimate at which quality a JPEG was saved, by its luminance's quantisation.

    The image must be opened and not yet changed.

    Returns:
        The quality of libjpeg, from 1 to 100: exact where the table is one of its own,
        else the one whose table is as coarse in the mean (Photoshop and telephones
        have tables of their own). None where the image is not a JPEG.

    Source: Independent JPEG Group's libjpeg, `jpeg_quality_scaling` and
        `jpeg_add_quant_table`; the standard table is ITU-T T.81's, K.1.
    """
    tables = getattr(image, "quantization", None)
    layers = getattr(image, "layer", None)
    if not tables or not layers:
        return None
    table = np.array(tables.get(layers[0][3], ()))
    if table.shape != _LUMINANCE.shape:
        return None
    difference = np.abs(_compute_coarseness() - (table / _LUMINANCE).mean())
    return int(difference.argmin()) + 1


@functools.cache
def _compute_coarseness() -> np.ndarray:
    """Return how coarse libjpeg's tables are: (100,), all different, from quality 1."""
    quality = np.arange(1, 101)[:, None]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables = ((_LUMINANCE * percent + 50) // 100).clip(1, 255)  # (100, 64)
    return (tables / _LUMINANCE).mean(axis=1)
