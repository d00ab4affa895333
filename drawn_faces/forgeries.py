"""Forgeries of drawn faces, and the camera for real and forged pictures alike."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from drawn_faces.portraits import Portrait

# Stride and kernel size of the imitated transposed convolutions: if the stride does not
# divide the size, windows overlap unevenly, which makes the periodic pattern.
UPSAMPLINGS = ((2, 3), (4, 6))

# A share of the swaps is so good that a small network misses them: with sloppy swaps
# alone SimpleNet reached 98 to 100 % in five epochs, which teaches nothing.
CAREFUL_SHARE = 0.3

TRACES = 1.3  # standard deviation of a generator's traces, in grey levels of 255


class Swap(NamedTuple):
    """A picture with a planted face.

    image: float32 (S, S, 3), about 0 to 1; mask: float32 (S, S), the donor's share in
    each pixel.
    """

    image: np.ndarray
    mask: np.ndarray


def swap_face(host: Portrait, donor: Portrait, rng: np.random.Generator) -> Swap:
    """Plant the donor's inner face into the host's picture.

    Args:
        host: gives hair, outline of the head and surroundings.
        donor: gives brows, eyes, nose and mouth; as large as the host.
        rng: decides resolution, registration error, colour match and border.
    Returns:
        The forged picture, and where it is forged.
    Source: the steps of FaceSwap as in Roessler et al., FaceForensics++ (ICCV 2019),
        with an affine map instead of a 3-D model.
    """
    size = len(host.image)
    careful = rng.random() < CAREFUL_SHARE
    coarseness = rng.uniform(1.1, 1.6) if careful else rng.uniform(2.6, 5.2)
    colour_match = rng.uniform(0.9, 1.0) if careful else rng.uniform(0.0, 0.7)
    sharp_border = not careful and rng.random() < 0.5
    feather = rng.uniform(0.002, 0.006) if sharp_border else rng.uniform(0.012, 0.03)
    slip = rng.normal(0, 0.004 * size, host.landmarks.shape)
    matrix = _fit_affine(host.landmarks + slip, donor.landmarks)
    patch = resample(_warp(donor.image, matrix), coarseness)
    shared = host.inner_mask * _warp(donor.inner_mask, matrix)
    patch = _match_colours(patch, host.image, shared, colour_match)
    # It reaches 0 before the mask's old border.
    soft = np.clip(2 * ndimage.gaussian_filter(shared, feather * size) - 1, 0, 1)
    return Swap(host.image + soft[..., None] * (patch - host.image), soft)


def _fit_affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit the (2, 3) matrix that maps points (K, 2) to their targets."""
    ones = np.ones((len(source), 1))
    return np.linalg.lstsq(np.hstack([source, ones]), target, rcond=None)[0].T


def _warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Sample an image (H, W[, C]) at matrix @ (x, y, 1) for each pixel (x, y)."""
    if image.ndim == 3:
        channels = np.moveaxis(image, 2, 0)
        return np.stack([_warp(channel, matrix) for channel in channels], axis=2)
    linear, offset = matrix[::-1, 1::-1], matrix[::-1, 2]
    return ndimage.affine_transform(image, linear, offset, order=1, mode="nearest")


def _match_colours(
    patch: np.ndarray, target: np.ndarray, mask: np.ndarray, strength: float
) -> np.ndarray:
    """Move the patch's mean and deviation in the mask, per channel, to the target's."""
    inside = mask > 0.5
    if not inside.any():
        return patch
    mean, deviation = patch[inside].mean(0), patch[inside].std(0) + 1e-3
    gain = target[inside].std(0) / deviation
    matched = (patch - mean) * np.clip(gain, 0.5, 2.0) + target[inside].mean(0)
    return patch + strength * (matched - patch)


def add_generator_traces(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the faint periodic pattern that a GAN's up-sampling layers leave.

    Args:
        image: float32 (S, S, 3), 0 to 1.
        rng: decides the phase of the pattern.
    Returns:
        float32 (S, S, 3).
    Source: Odena et al., Deconvolution and Checkerboard Artifacts (Distill 2016). A
        GAN draws with such layers; here only their traces are added to a drawing.
    """
    traces = np.zeros_like(image)
    for stride, kernel in UPSAMPLINGS:
        phase = rng.integers(0, stride, 2)
        traces += _upsample_unevenly(image, stride, kernel, phase)
    return image + traces * (TRACES / 255 / (traces.std() + 1e-6))


def _upsample_unevenly(
    image: np.ndarray, stride: int, kernel: int, phase: np.ndarray
) -> np.ndarray:
    """Compute what a strided transposed convolution adds to a smooth up-sampling."""
    grid = np.s_[phase[0] :: stride, phase[1] :: stride]
    sparse = np.zeros_like(image)
    sparse[grid] = ndimage.uniform_filter(image, (stride, stride, 0))[grid]
    dense = ndimage.uniform_filter(sparse, (kernel, kernel, 0)) * stride**2
    residual = dense - ndimage.uniform_filter(dense, (2 * stride, 2 * stride, 0))
    return residual / (residual.std() + 1e-6)


def resample(image: np.ndarray, factor: float) -> np.ndarray:
    """Soften an image (S, S, 3): shrink it by a factor and enlarge it again."""
    size = image.shape[1], image.shape[0]
    small = tuple(max(2, round(side / factor)) for side in size)
    picture = Image.fromarray(_to_levels(image)).resize(small, Image.LANCZOS)
    return np.asarray(picture.resize(size, Image.BICUBIC), np.float32) / 255


def photograph(image: np.ndarray, rng: np.random.Generator) -> bytes:
    """Take a picture: exposure, sensor noise and JPEG, the same for both classes.

    Args:
        image: float32 (S, S, 3), 0 to 1.
        rng: decides exposure, noise and compression.
    Returns:
        A JPEG file.
    """
    exposed = image * rng.uniform(0.85, 1.1)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    level = rng.uniform(0.5, 3.0) / 255
    exposed = exposed + level * np.sqrt(np.clip(exposed, 0.05, 1) * 2) * noise
    quality = int(rng.integers(72, 96))
    buffer = io.BytesIO()
    picture = Image.fromarray(_to_levels(exposed))
    picture.save(buffer, "JPEG", quality=quality, subsampling=int(rng.choice([0, 2])))
    return buffer.getvalue()


def encode_mask(mask: np.ndarray) -> bytes:
    """Return a mask (S, S), 0 to 1, as a grey PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(_to_levels(mask)).save(buffer, "PNG")
    return buffer.getvalue()


def _to_levels(image: np.ndarray) -> np.ndarray:
    """Round 0..1 to whole grey levels."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
