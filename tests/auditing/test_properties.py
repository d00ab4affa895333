"""Tests of what is measured of each file."""

import numpy as np
import pytest
from drawn_photos import draw_photo, inspect_folder, write_dataset
from PIL import Image

from auditing import properties
from auditing.properties import COLUMNS, Traits, Unreadable, measure


def get(traits: Traits, name: str) -> float:
    return float(traits.numbers[COLUMNS.index(name)])


def test_measure_reads_the_header_of_a_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image = draw_photo(0).resize((80, 60))
    image.save(
        path, quality=75, subsampling=0, progressive=True, exif=exif, dpi=(72, 72)
    )

    traits = measure(path)

    assert traits.format == "JPEG RGB"
    assert traits.tells_encoding
    expected = {"width": 80, "height": 60, "aspect": 4 / 3, "bytes": len_of(path)}
    expected |= {"quality": 75, "chroma_quality": 75, "subsampling": 0}
    expected |= {"progressive": 1, "dots_per_inch": 72, "orientation": 6}
    for name, value in expected.items():
        assert get(traits, name) == pytest.approx(value, abs=0.5), name
    assert get(traits, "exif_bytes") > 20
    assert get(traits, "profile_bytes") == 0


def len_of(path) -> int:
    return path.stat().st_size


def test_measure_tells_a_comment_and_a_profile(tmp_path):
    path = tmp_path / "a.jpg"
    draw_photo(0).save(path, comment=b"made by", icc_profile=b"p" * 200)

    traits = measure(path)

    assert get(traits, "other_bytes") == len(b"made by")
    assert get(traits, "profile_bytes") == 200


@pytest.mark.parametrize(
    ("suffix", "name", "tells"),
    [(".png", "PNG RGB", True), (".webp", "WEBP RGB", False)],
)
def test_measure_knows_which_formats_tell_their_compression(
    tmp_path, suffix, name, tells
):
    path = tmp_path / f"a{suffix}"
    draw_photo(0).save(path)

    traits = measure(path)

    assert (traits.format, traits.tells_encoding) == (name, tells)
    assert get(traits, "quality") == 0
    assert get(traits, "subsampling") == -1


def test_measure_of_a_grey_square_on_black_has_known_content(tmp_path):
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[2:-2, 2:-2] = (200, 100, 100)
    Image.fromarray(pixels).save(tmp_path / "a.png")

    traits = measure(tmp_path / "a.png")

    share = (252 / 256) ** 2
    assert get(traits, "red_less_green") == pytest.approx(100 * share, abs=0.5)
    assert get(traits, "blue_less_green") == pytest.approx(0, abs=0.1)
    grey = round(0.299 * 200 + 0.701 * 100)
    assert get(traits, "brightness") == pytest.approx(grey * share, abs=0.5)
    assert get(traits, "border_clipped") == 1
    assert get(traits, "border_jump") == pytest.approx(grey, abs=5)


def test_measure_finds_noise_in_the_finest_waves_and_in_the_sharpness(tmp_path):
    noise = np.random.default_rng(0).normal(0, 20, (256, 256, 3))
    image = draw_photo(0, edge=256)
    image.save(tmp_path / "soft.png")
    noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "noisy.png")

    soft, noisy = measure(tmp_path / "soft.png"), measure(tmp_path / "noisy.png")

    for name, gap in (("log_power_in_band_8", 1), ("sharpness", 1)):
        assert get(noisy, name) > get(soft, name) + gap
    name = "log_power_in_band_1"
    assert get(noisy, name) == pytest.approx(get(soft, name), abs=0.1)


def test_measure_of_equal_pixels_gives_equal_hashes(tmp_path):
    image = draw_photo(0)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    draw_photo(1).save(tmp_path / "c.png")

    first, same, other = (measure(p) for p in sorted(tmp_path.iterdir()))

    assert first.pixel_hash == same.pixel_hash != other.pixel_hash
    assert first.file_hash != same.file_hash


def test_measure_of_a_broken_file_says_why(tmp_path):
    path = tmp_path / "a.jpg"
    draw_photo(0).save(path)
    path.write_bytes(path.read_bytes()[:600])

    found = measure(path)

    assert isinstance(found, Unreadable)
    assert found.path == path
    assert "truncated" in found.reason.lower()


def test_inspect_leaves_unreadable_files_out_and_keeps_the_order(tmp_path):
    root = write_dataset(tmp_path, {"train": 3}, suffixes=(".png", ".jpg"))
    (root / "train" / "fake" / "p3_000.jpg").write_bytes(b"nothing")

    inspection = inspect_folder(root)

    assert [p.name for p in inspection.paths] == [
        *("p4_001.jpg", "p5_002.jpg", "p0_000.png", "p1_001.png", "p2_002.png")
    ]
    assert inspection.labels.tolist() == [1, 1, 0, 0, 0]
    assert inspection.get_columns(["format"])[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert [bad.path.name for bad in inspection.unreadable] == ["p3_000.jpg"]
    assert np.isfinite(inspection.numbers).all()


def test_inspect_of_unreadable_files_alone_is_empty(tmp_path):
    (tmp_path / "train" / "real").mkdir(parents=True)
    (tmp_path / "train" / "real" / "a.jpg").write_bytes(b"nothing")

    inspection = inspect_folder(tmp_path)

    assert len(inspection.paths) == len(inspection.labels) == 0
    assert len(inspection.unreadable) == 1


@pytest.mark.slow
def test_map_files_in_processes_gives_the_same_in_order(tmp_path, monkeypatch):
    root = write_dataset(tmp_path, {"train": 20})
    paths = sorted(root.glob("*/*/*"))
    alone = properties.map_files(measure, paths, "alone")

    monkeypatch.setattr(properties, "FEWEST_FOR_A_POOL", 1)
    monkeypatch.setattr(properties, "_count_cores", lambda: 2)
    together = properties.map_files(measure, paths, "together")

    for first, second in zip(alone, together, strict=True):
        assert first.file_hash == second.file_hash
        assert (first.numbers == second.numbers).all()
