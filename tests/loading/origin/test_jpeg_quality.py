"""The quality of a JPEG, against libjpeg's own."""

import io

import pytest
from origin_files import encode, read
from PIL import Image

from loading.origin.jpeg_quality import estimate_jpeg_quality


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_estimate_jpeg_quality_is_that_of_libjpeg(mode):
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.new(mode, (16, 16)).save(buffer, "JPEG", quality=quality)
        assert estimate_jpeg_quality(Image.open(buffer)) == quality


def test_estimate_jpeg_quality_of_another_table_is_the_one_as_coarse():
    with Image.open(io.BytesIO(encode("JPEG", quality=80))) as image:
        table = list(image.quantization[0])
    table[3], table[10] = table[10], table[3]
    table[63] += 1
    assert read(encode("JPEG", qtables=[table, table])).jpeg_quality == 80
    assert read(encode("JPEG", qtables=[[1] * 63 + [2]])).jpeg_quality == 100
    assert read(encode("JPEG", qtables=[[255] * 64])).jpeg_quality == 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_estimate_jpeg_quality_of_no_jpeg_is_none(kind):
    assert read(encode(kind)).jpeg_quality is None
