"""Files that ask for too much where they speak of themselves: cheap, and no error."""

import io
import random
import struct
import time
import tracemalloc
import zlib

import pytest
from origin_files import (
    IPTC,
    PARAMETERS,
    TRAINED,
    encode,
    encode_texts,
    encode_xmp,
    make_chunk,
    make_exif,
    make_signer,
    make_xmp,
    put_before,
    read,
)

from loading.image_files import ImageFile
from loading.origin import metadata
from loading.origin.metadata import read_entries
from loading.origin.traces import describe_origin, read_origin


def pack(byte: bytes, size: int = 60_000_000) -> bytes:
    """Pack bytes into a thousandth of them."""
    return zlib.compress(byte * size, 9)


def hide_bomb(kind: bytes, head: bytes) -> bytes:
    """Hide a bomb behind the pixels, where Pillow does not look."""
    return put_before(make_chunk(kind, head + pack(b"\0")), b"IEND")


def hide_bombs() -> bytes:
    """Hide many XMP packets of nothing."""
    head = b"XML:com.adobe.xmp\0\1\0\0\0"
    return hide(make_chunk(b"iTXt", head + pack(b" ", 1 << 20)), 10_000)


def hide(chunk: bytes, times: int = 1) -> bytes:
    """Hide a chunk behind the pixels, many times."""
    return put_before(chunk * times, b"IEND")


def laugh() -> bytes:
    """An XMP packet whose entity stands for a million million laughs."""
    entities = "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12)
    )
    source = f"<i:DigitalSourceType>{TRAINED}&a11;</i:DigitalSourceType>"
    return make_xmp("", source, head=f"<!DOCTYPE x [{entities}]>")


def name_many() -> bytes:
    """An XMP packet with one element, and 30,000 attributes in it."""
    return make_xmp(
        "".join(f'xmlns:n{n}="urn:{n}" n{n}:a="" ' for n in range(30_000)),
        f"<i:DigitalSourceType>{TRAINED}</i:DigitalSourceType>",
    )


def fill_directory() -> bytes:
    """EXIF with all the tags that there can be, of four gigabytes each."""
    tag = struct.pack("<HHII", 0x0131, 2, 2**32 - 1, 8)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + tag * 65_535


# EXIF whose inner directory is the outer one.
ITSELF = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHII", 0x8769, 4, 1, 8)
HEX = b'<?xml version="1.0" encoding="hex"?>'
HOSTILE = {
    "bomb in zTXt": lambda: hide_bomb(b"zTXt", b"parameters\0\0"),
    "bomb in iTXt": lambda: hide_bomb(b"iTXt", b"prompt\0\1\0\0\0"),
    "many bombs": hide_bombs,
    "broken zTXt": lambda: hide(make_chunk(b"zTXt", b"prompt\0\0nothing")),
    "cut iTXt": lambda: hide(make_chunk(b"iTXt", b"prompt\0\1")),
    "huge text": lambda: hide(make_chunk(b"tEXt", b"Title\0" + b"y" * 20_000_000)),
    "many chunks": lambda: hide(make_chunk(b"aaAa", b""), 50_000),
    "entities": lambda: encode_xmp("WEBP", laugh()),
    "deep XMP": lambda: encode_xmp("WEBP", make_xmp("", "<xmp:Label>" * 90_000)),
    "many names": lambda: encode_xmp("WEBP", name_many()),
    "huge XMP": lambda: encode_xmp("WEBP", make_xmp("", "z" * 30_000_000)),
    "XMP in UTF-16": lambda: encode("JPEG", xmp="<a>".encode("utf-16")),
    "XMP in no code": lambda: encode("JPEG", xmp=b'<?xml version="1.0" encoding="?"?>'),
    "XMP in hex": lambda: encode("JPEG", xmp=HEX + b"<a/>"),
    "huge EXIF": lambda: hide(make_chunk(b"eXIf", fill_directory())),
    "EXIF in itself": lambda: encode("JPEG", exif=b"Exif\0\0" + ITSELF),
    "huge TIFF": fill_directory,
    "padding": lambda: b"\xff\xd8" + b"\xff" * 200_000,
    "empty segments": lambda: b"\xff\xd8" + b"\xff\xe1\0\2" * 30_000,
    "huge comment": lambda: encode("GIF", comment=b"c" * 10**6),
    "nothing": bytes,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_read_origin_of_a_hostile_file_is_cheap(name):
    file = ImageFile(name, HOSTILE[name]())
    start = time.perf_counter()
    read_origin(file)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    origin = read_origin(file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 5  # one is usual; others may work on the machine
    assert most < 64_000_000
    assert origin.source_type is None
    assert all(len(line) < 2000 for line in describe_origin(origin))


def test_read_entries_reads_a_tag_once():
    assert len(read_entries(io.BytesIO(fill_directory()), {})) == 1


@pytest.mark.parametrize(
    ("bound", "value", "expected"),
    [
        ("MOST_PARTS", 3, ["Canon", "R5", "some words"]),  # IHDR, eXIf, tEXt
        ("MOST_PARTS", 2, ["Canon", "R5"]),
        ("MOST_READ", 1, ["Canon", "R5"]),
        ("MOST_ENTRIES", 2, ["Canon", "R5"]),
        ("MOST_BYTES", 2, ["Ca", "R5", "so"]),
        ("MOST_PACKET", 2, []),
        ("MOST_TAGS", 1, ["Canon", "some words"]),
    ],
)
def test_read_entries_ends_at_each_bound(bound, value, expected, monkeypatch):
    exif = make_chunk(b"eXIf", make_exif(Make="Canon", Model="R5"))
    text = make_chunk(b"tEXt", b"Title\0some words")
    monkeypatch.setattr(metadata, bound, value)
    entries = read_entries(io.BytesIO(put_before(exif + text, b"IDAT")), {})
    assert [entry.text for entry in entries] == expected


@pytest.mark.slow
def test_read_origin_of_damaged_files_never_fails():
    signer = make_signer("Ann")
    rng = random.Random(0)
    exif = make_exif(Make="Canon", Model="R5", UserComment=b"ASCII\0\0\0hello")
    packet = make_xmp(f'i:DigitalSourceType="{IPTC}{TRAINED}"')
    files = [
        signer.sign(encode("JPEG", exif=exif, xmp=packet), "JPEG"),
        signer.sign(encode_texts({"parameters": PARAMETERS}, zip=True), "PNG"),
        encode("WEBP", exif=exif, xmp=packet),
        encode("TIFF", exif=exif),
    ]
    states = set()
    for _ in range(400):
        data = bytearray(rng.choice(files))
        for _ in range(rng.choice((1, 5, 50))):
            place = rng.randrange(min(len(data), 4000))
            data[place : place + rng.choice((1, 4))] = rng.randbytes(rng.choice((1, 4)))
        origin = read(bytes(data))
        states.add(origin.credentials.partition(":")[0])
        assert all(line.isprintable() for line in describe_origin(origin))
    assert {"none", "invalid"} <= states
