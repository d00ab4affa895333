"""What can be measured of a picture itself: its detail, block by block and by colour.

A detector knows pictures of certain sizes, sharpness, noise and compression. How a
picture's power is spread over spatial frequencies tells all four: a face that was made
larger lacks the highest, noise fills them, JPEG leaves its grid. How much of all change
lies in few strong edges tells a photograph from a drawing.
"""

from functools import lru_cache

import numpy as np

# Ends of the bands, in cycles a pixel; half a cycle is the finest that there is.
EDGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # Rec. ITU-R BT.601
_LEAST_POWER = 0.01  # added, so that an even picture has a logarithm
_BLOCK = 8  # pixels, of JPEG's grid
_SCALES = (4, 8)  # pixels, at which edges are measured; finer ones the bands tell
_LEAST_STEP = 0.05  # of 255, added, so that an even picture has a ratio
# What low and high values of the traits mean, for those who are told.
_EDGES = "fewer distinct edges (as in noise)", "fewer soft transitions (as in drawings)"
DETAIL = (
    *(("less contrast in large shapes", "more contrast in large shapes"),) * 3,
    *(("less fine detail", "more fine detail"),) * 3,
    *(("a weaker block pattern of JPEG", "a stronger block pattern of JPEG"),) * 2,
    *(_EDGES,) * (2 * len(_SCALES)),
)
_CONTRASTS = "weaker contrasts of colour", "stronger contrasts of colour"
_DETAIL = "less detail in colour", "more detail in colour"
_NOISE = "less colour noise", "more colour noise"
COLOUR = (_CONTRASTS, _DETAIL, _NOISE) * 2
GROUPS = {"detail": DETAIL, "colour": COLOUR}


def measure_traits(samples: np.ndarray) -> dict[str, np.ndarray]:
    """Measure pictures, uint8 (n, S, S, 3), as the network sees them.

    Returns:
        `detail`, float64 (n, 12): the logarithms (base 10) of the luminance's power in
        six bands of spatial frequency; how much larger steps are across an 8-pixel
        grid than elsewhere, along rows and columns; how uneven steps are, by two ratios
        of their moments at each of two scales. `colour`, float64 (n, 6): the power in
        every other band of both colour differences.
    """
    rows = [_measure(image) for image in samples]
    detail, colour = (np.array(part) for part in zip(*rows, strict=True))
    return {"detail": detail, "colour": colour}


def _measure(image: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the traits of a picture uint8 (S, S, 3)."""
    pixels = image.astype(np.float32)
    luminance = pixels @ _LUMINANCE
    planes = [luminance, pixels[..., 2] - luminance, pixels[..., 0] - luminance]
    bands = [_measure_bands(plane) for plane in planes]
    steps = (np.abs(np.diff(luminance, axis=a)).mean(axis=1 - a) for a in (1, 0))
    grid = [_compare_steps(along) for along in steps]
    edges = _measure_edges(luminance)
    return [*bands[0], *grid, *edges], [*bands[1][::2], *bands[2][::2]]


def _measure_bands(plane: np.ndarray) -> list[float]:
    """Return the logarithm of the mean power in each band of a plane (S, S)."""
    window, numbers, counts = _make_bands(len(plane))
    spectrum = np.fft.rfft2((plane - plane.mean()) * window)
    power = spectrum.real**2 + spectrum.imag**2
    sums = np.bincount(numbers, power.ravel(), minlength=len(EDGES) + 1)[1:-1]
    return np.log10(sums / counts + _LEAST_POWER).tolist()


@lru_cache(maxsize=8)
def _make_bands(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a window of power 1, each frequency's band, and the bands' sizes."""
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    window /= np.sqrt((window**2).sum())
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    numbers = np.digitize(frequencies.ravel(), EDGES)
    counts = np.bincount(numbers, minlength=len(EDGES) + 1)[1:-1]
    return window, numbers, np.maximum(counts, 1)


def _compare_steps(steps: np.ndarray) -> float:
    """Return the logarithm of the mean step across the grid over that elsewhere."""
    across = np.arange(len(steps)) % _BLOCK == _BLOCK - 1
    if not across.any():
        return 0.0
    return float(np.log((steps[across].mean() + 0.05) / (steps[~across].mean() + 0.05)))


def _measure_edges(luminance: np.ndarray) -> list[float]:
    """Return at each scale how much of all change lies in few strong steps.

    Two logarithms of ratios between the steps' moments: of root mean square to mean,
    and of the fourth to that. They are large in photographs at every scale (Huang &
    Mumford, CVPR 1999), larger in drawings and small in noise.
    """
    ratios = []
    for side in _SCALES:
        height, width = (size // side for size in luminance.shape)
        parts = luminance[: side * height, : side * width]
        plane = parts.reshape(height, side, width, side).mean(axis=(1, 3))
        squares = [np.diff(plane, axis=axis).ravel() ** 2 for axis in (0, 1)]
        ratios += _compare_moments(np.concatenate(squares))
    return ratios


def _compare_moments(squares: np.ndarray) -> list[float]:
    if not squares.size:  # a picture of a few pixels, at a coarse scale
        return [0.0, 0.0]
    first = np.sqrt(squares).mean() + _LEAST_STEP
    second = np.sqrt(squares.mean()) + _LEAST_STEP
    fourth = (squares**2).mean() ** 0.25 + _LEAST_STEP
    return [float(np.log(second / first)), float(np.log(fourth / second))]
