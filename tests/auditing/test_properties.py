"""Tests of what is measured of each file."""

from pathlib import Path

import numpy as np
import pytest
from drawn_photos import EDGE, draw_photo, inspect_folder, write_dataset
from PIL import Image

from auditing import properties
from auditing.properties import COLUMNS, Traits, measure
from loading import ImageFile


def save_and_measure(image: Image.Image, path: Path, **options: object) -> Traits:
    image.save(path, **options)
    return measure(ImageFile(path))


def get(traits: Traits, name: str) -> float:
    return float(traits.numbers[COLUMNS.index(name)])


@pytest.mark.parametrize("size", [(80, 60), (1200, 600)])  # one is decoded smaller
def test_measure_reads_the_header_of_a_jpeg(tmp_path, size):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    options = {"quality": 75, "subsampling": 0, "progressive": True, "dpi": (72, 72)}
    options |= {"comment": b"made by", "icc_profile": b"p" * 200, "exif": exif}
    path = tmp_path / "a.jpg"

    traits = save_and_measure(draw_photo(0).resize(size), path, **options)

    assert (traits.format, traits.tells_encoding) == ("JPEG RGB", True)
    expected = {"width": size[0], "height": size[1], "aspect": size[0] / size[1]}
    expected |= {"bytes": path.stat().st_size, "quality": 75, "chroma_quality": 75}
    expected |= {"subsampling": 0, "progressive": 1, "dots_per_inch": 72}
    expected |= {"orientation": 6, "other_bytes": 7, "profile_bytes": 200}
    for name, value in expected.items():
        assert get(traits, name) == pytest.approx(value, abs=0.5), name
    assert get(traits, "exif_bytes") > 20


@pytest.mark.parametrize(
    ("suffix", "name", "tells"),
    [(".png", "PNG RGB", True), (".webp", "WEBP RGB", False)],
)
def test_measure_knows_which_formats_tell_their_compression(
    tmp_path, suffix, name, tells
):
    traits = save_and_measure(draw_photo(0), tmp_path / f"a{suffix}")

    assert (traits.format, traits.tells_encoding) == (name, tells)
    assert (get(traits, "quality"), get(traits, "subsampling")) == (0, -1)


def test_measure_does_not_take_a_heic_by_its_thumbnail(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / "a.heic"
    draw_photo(0).save(path)
    with Image.open(path) as image:
        kind = type(image)
    drafts = []
    monkeypatch.setattr(kind, "draft", lambda *given: drafts.append(given))
    assert get(measure(ImageFile(path)), "width") == EDGE
    assert not drafts


def test_measure_of_a_grey_square_on_black_has_known_content(tmp_path):
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[2:-2, 2:-2] = (200, 100, 100)

    traits = save_and_measure(Image.fromarray(pixels), tmp_path / "a.png")

    share, grey = (252 / 256) ** 2, round(0.299 * 200 + 0.701 * 100)
    expected = {"red_less_green": 100 * share, "blue_less_green": 0}
    expected |= {"brightness": grey * share, "border_clipped": 1}
    for name, value in expected.items():
        assert get(traits, name) == pytest.approx(value, abs=0.5), name
    assert get(traits, "border_jump") == pytest.approx(grey, abs=5)


def test_measure_finds_noise_in_the_finest_waves_and_in_the_sharpness(tmp_path):
    image = draw_photo(0, edge=256)
    noise = np.random.default_rng(0).normal(0, 20, (256, 256, 3))
    pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)

    soft = save_and_measure(image, tmp_path / "soft.png")
    noisy = save_and_measure(Image.fromarray(pixels), tmp_path / "noisy.png")

    for name in ("log_power_in_band_8", "sharpness"):
        assert get(noisy, name) > get(soft, name) + 1
    name = "log_power_in_band_1"
    assert get(noisy, name) == pytest.approx(get(soft, name), abs=0.1)


def test_inspect_leaves_unreadable_files_out_and_keeps_the_order(tmp_path):
    root = write_dataset(tmp_path, {"train": 3}, suffixes=(".png", ".jpg"))
    (root / "train/fake/p3_000.jpg").write_bytes(b"nothing")
    broken = root / "train/fake/p4_001.jpg"
    broken.write_bytes(broken.read_bytes()[:600])

    inspection = inspect_folder(root)

    assert [Path(file.name).name for file in inspection.files] == [
        *("p5_002.jpg", "p0_000.png", "p1_001.png", "p2_002.png")
    ]
    assert inspection.labels.tolist() == [1, 0, 0, 0]
    assert inspection.get_columns(["format"])[:, 0].tolist() == [0, 1, 1, 1]
    assert np.isfinite(inspection.numbers).all()
    (first, why), (second, how) = inspection.unreadable
    assert (first.name, second.name) == (
        str(root / "train/fake/p3_000.jpg"),
        str(broken),
    )
    assert why == "not an image file that Pillow knows"
    assert how.startswith("the file is cut off")


def test_inspect_without_a_readable_file_is_empty(tmp_path):
    (tmp_path / "train" / "real").mkdir(parents=True)
    (tmp_path / "train" / "real" / "a.jpg").write_bytes(b"nothing")

    inspection = inspect_folder(tmp_path)

    assert len(inspection.files) == len(inspection.labels) == 0
    assert len(inspection.unreadable) == 1


@pytest.mark.slow
def test_map_files_in_processes_gives_the_same_in_order(tmp_path, monkeypatch):
    root = write_dataset(tmp_path, {"train": 20})
    files = list(map(ImageFile, sorted(root.glob("*/*/*"))))
    alone = properties.map_files(measure, files, "alone")

    monkeypatch.setattr(properties, "FEWEST_FOR_A_POOL", 1)
    monkeypatch.setattr(properties.processes, "count_cores", lambda: 2)
    together = properties.map_files(measure, files, "together")

    for first, second in zip(alone, together, strict=True):
        assert first.file_hash == second.file_hash
        assert (first.numbers == second.numbers).all()
