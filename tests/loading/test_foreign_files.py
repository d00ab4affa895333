"""What is not a picture, or one that cannot be read here, is called what it is."""

from types import SimpleNamespace

import pytest

from loading import ImageFile, foreign_files, read_image

KINDS = {
    b"\0\0\0\x1cftypheic\0\0\0\0mif1": "a HEIC .HEIF. picture: pip install pillow-heif",
    b"\0\0\0\x1cftypmif1\0\0\0\0heic": "a HEIC .HEIF. picture: pip install pillow-heif",
    b"\0\0\0\x1cftypavif\0\0\0\0mif1": "an AVIF picture: pip install",
    b"\xff\x0a\x7f\x06": "a JPEG XL picture: pip install pillow-jxl-plugin",
    b"\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL picture",
    b"\0\0\0\x18ftypcrx \0\0\0\1": "a camera's raw file: develop it",
    b"FUJIFILMCCD-RAW 0201": "a camera's raw file",
    b"II*\0\x10\0\0\0CR\2\0": "a camera's raw file",
    b"IIU\0\x18\0\0\0": "a camera's raw file",
    b"\0\0\0\x20ftypisom\0\0\2\0": "a video: save its frames as images first",
    b"RIFF\1\2\3\4AVI LIST": "a video",
    b"\x1aE\xdf\xa3\1\0\0\0": "a video",
    (b"G" + b"\n" * 187) * 3: "a video",
    (b"\0\0\0\0G" + b"\n" * 187) * 3: "a video",
    b"%PDF-1.7\n": "a PDF: take the images out",
    b"<!DOCTYPE html>\n<html>": "a web page: download the file",
    b'\n<?xml version="1.0"?>\n<svg xmlns="': "an SVG drawing",
    b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer: fetch",
    b"PK\3\4\x14\0": "a ZIP archive: unpack it",
    b"a.png".ljust(257, b"\0") + b"ustar\x0000": "a tar archive: unpack it first, or",
}


@pytest.mark.parametrize("head", KINDS)
@pytest.mark.parametrize("on_disk", [True, False])
def test_read_image_says_what_another_file_is(
    head, on_disk, tmp_path, monkeypatch, refused
):
    monkeypatch.setattr(foreign_files, "Image", SimpleNamespace(OPEN={}))
    path = tmp_path / "photo.jpg"  # whatever the name
    path.write_bytes(head)
    with refused(f"photo.jpg: it is {KINDS[head]}") as error:
        read_image(path if on_disk else ImageFile(path, head))
    assert "replace or remove it" not in str(error.value)


def test_read_image_damaged_file_of_a_format_that_is_read_is_called_so(monkeypatch):
    monkeypatch.setattr(foreign_files, "Image", SimpleNamespace(OPEN={"AVIF": None}))
    with pytest.raises(ValueError, match="it is a damaged AVIF file: replace it"):
        read_image(ImageFile("a.jpg", b"\0\0\0\x1cftypavif\0\0\0\0mif1"))
