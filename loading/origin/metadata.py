"""What cameras and programs wrote beside a picture's pixels, found by the structure.

JPEG segments, PNG and WebP chunks, TIFF's and EXIF's directories and XMP packets are
walked here, not by Pillow: it holds all texts of a PNG in memory, or refuses the file,
and does not see those behind the pixels. Whatever the bytes are, nothing is raised, and
what is kept has a bound. XMP goes through expat as a stream, without a tree; a document
type, and so every entity, ends the reading. Not read: extended XMP (a JPEG's beyond
64 KB), XMP in UTF-16, IPTC-IIM and makers' notes.
"""

import contextlib
import io
import itertools
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple
from xml.parsers import expat

from files.names import make_printable

MOST_SHOWN = 200  # characters of a text that are shown
MOST_PARTS = 100_000  # segments or chunks of a file that are passed
MOST_READ = 64  # of them that are read for texts
MOST_ENTRIES = 200  # texts that are kept
MOST_BYTES = 1 << 16  # of a text
MOST_PACKET = 1 << 20  # bytes of an XMP packet or a block of EXIF
MOST_TAGS = 1000  # of a directory

ORIENTATION = "Orientation"
EXIF, XMP, PNG_TEXT, COMMENT = "EXIF", "XMP", "PNG text", "comment"
_TAGS = {  # of TIFF and EXIF
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0112: ORIENTATION,
    0x0131: "Software",
    0x013B: "Artist",
    0x02BC: XMP,
    0x9003: "DateTimeOriginal",
    0x9286: "UserComment",
}
_EXIF_DIRECTORY = 0x8769
_SIZES = {1: 1, 2: 1, 3: 2, 7: 1, 129: 1}  # bytes of a value, by its type
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PROPERTIES = {  # of XMP
    f"{_IPTC} DigitalSourceType": "DigitalSourceType",
    f"{_IPTC} AISystemUsed": "AISystemUsed",
    "http://ns.adobe.com/xap/1.0/ CreatorTool": "CreatorTool",
    "http://ns.adobe.com/photoshop/1.0/ Credit": "Credit",
    "http://purl.org/dc/terms/ provenance": "provenance",
    "http://purl.org/dc/elements/1.1/ description": "Description",
    "http://ns.adobe.com/tiff/1.0/ Make": "Make",
    "http://ns.adobe.com/tiff/1.0/ Model": "Model",
    "http://ns.adobe.com/exif/1.0/ UserComment": "UserComment",
}
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXIF = b"Exif\0\0"
_PNG_XMP = "XML:com.adobe.xmp"
_BYTE_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}


class Entry(NamedTuple):
    """A text in a file.

    Attributes:
        place: `EXIF`, `XMP`, `PNG_TEXT` or `COMMENT`.
        name: of the tag, the property or the PNG's keyword.
        text: as it stands there, up to `MOST_BYTES`: not fit to be printed.
    """

    place: str
    name: str
    text: str


def read_entries(file: IO[bytes], info: Mapping[str, Any]) -> list[Entry]:
    """Read what stands beside the pixels, at most `MOST_ENTRIES` texts.

    Args:
        file: a picture's, open for reading, of any content.
        info: what Pillow read of it (`Image.info`), where its format is another than
            JPEG, PNG, WebP and TIFF, the four that are walked here.

    Raises:
        OSError: the disk fails.
    """
    parts = itertools.islice(_walk(file, info), MOST_READ)
    entries = itertools.chain.from_iterable(map(_read_part, parts))
    return list(itertools.islice(entries, MOST_ENTRIES))


def take_excerpt(text: str) -> str:
    """Return up to `MOST_SHOWN` characters of a text on one line, fit to be printed."""
    beginning = text[: 4 * MOST_SHOWN]
    printable = make_printable(" ".join(beginning.split()))
    is_whole = len(printable) <= MOST_SHOWN and len(beginning) == len(text)
    return printable if is_whole else f"{printable[: MOST_SHOWN - 1]}…"


class _Part(NamedTuple):
    """A text, or what holds more of them: a block of EXIF (or TIFF), an XMP packet."""

    place: str
    name: str
    content: bytes | IO[bytes]


def _walk(file: IO[bytes], info: Mapping[str, Any]) -> Iterator[_Part]:
    """Find the parts by the file's first bytes."""
    file.seek(0)
    head = file.read(12)
    if head[:2] == b"\xff\xd8":
        return _walk_jpeg(file)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _walk_png(file)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return _walk_webp(file)
    if head[:4] in _BYTE_ORDERS:
        return iter([_Part(EXIF, "", file)])
    return _list_parts(info)


def _walk_jpeg(file: IO[bytes]) -> Iterator[_Part]:
    """Go over the segments before the pixels."""
    file.seek(2)
    for _ in range(MOST_PARTS):
        marker = file.read(2)
        if marker == b"\xff\xff":  # padding
            file.seek(-1, io.SEEK_CUR)
            continue
        size = int.from_bytes(file.read(2), "big")
        if marker[:1] != b"\xff" or marker[1:] in b"\xd9\xda" or size < 2:
            return
        content = file.read(size - 2)
        if marker == b"\xff\xe1" and content.startswith(_JPEG_EXIF):
            yield _Part(EXIF, "", content)
        elif marker == b"\xff\xe1" and content.startswith(_JPEG_XMP):
            yield _Part(XMP, "", content[len(_JPEG_XMP) :])
        elif marker == b"\xff\xfe":
            yield _Part(COMMENT, "Comment", content)


def _walk_png(file: IO[bytes]) -> Iterator[_Part]:
    """Go over the chunks, those behind the pixels too."""
    for kind, content in _walk_chunks(file, 8, "big"):
        if kind == b"eXIf":
            yield _Part(EXIF, "", content)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, rest = content.partition(b"\0")
            name = keyword[:79].decode("latin-1")
            place = XMP if name == _PNG_XMP else PNG_TEXT
            yield _Part(place, name, _unpack_text(kind, rest))


def _unpack_text(kind: bytes, rest: bytes) -> bytes:
    """Return the text of a PNG's chunk, of what follows its keyword."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflate(rest[1:])
    *_, text = rest[2:].split(b"\0", 2)  # behind a language and the keyword in it
    return _inflate(text) if rest[:1] == b"\1" else text


def _inflate(content: bytes) -> bytes:
    """Unpack up to `MOST_PACKET` bytes, whatever the rest would unpack to."""
    try:
        return zlib.decompressobj().decompress(content, MOST_PACKET)
    except zlib.error:
        return b""


def _walk_webp(file: IO[bytes]) -> Iterator[_Part]:
    places = {b"EXIF": EXIF, b"XMP ": XMP}
    for kind, content in _walk_chunks(file, 12, "little"):
        if kind in places:
            yield _Part(places[kind], "", content)


def _walk_chunks(
    file: IO[bytes], start: int, order: str
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of a PNG's or a WebP's chunks that hold texts.

    Of a content, up to `MOST_PACKET` bytes are read.
    """
    position = start
    for _ in range(MOST_PARTS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        kind = head[4:] if order == "big" else head[:4]
        size = int.from_bytes(head[:4] if order == "big" else head[4:], order)
        if kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"EXIF", b"XMP "):
            yield kind, file.read(min(size, MOST_PACKET))
        # A PNG's check sum; a WebP's chunks begin at even positions.
        position += 8 + size + (4 if order == "big" else size % 2)


def _list_parts(info: Mapping[str, Any]) -> Iterator[_Part]:
    """Take what Pillow found: in HEIC, AVIF, GIF, ..."""
    for name, place in (("exif", EXIF), ("xmp", XMP), ("comment", COMMENT)):
        if isinstance(content := info.get(name), bytes):
            yield _Part(place, "Comment", content[:MOST_PACKET])


def _read_part(part: _Part) -> Iterator[Entry]:
    """Yield the texts in a part."""
    if part.place == EXIF:
        yield from _read_directories(part.content)
    elif part.place == XMP:
        yield from _read_xmp(part.content)
    elif text := _decode(part.content[:MOST_BYTES]):
        yield Entry(part.place, part.name, text)


def _read_directories(content: bytes | IO[bytes]) -> Iterator[Entry]:
    """Read TIFF's first directory and EXIF's own (TIFF 6.0 section 2, EXIF 2.32)."""
    if isinstance(content, bytes):
        content = io.BytesIO(content.removeprefix(_JPEG_EXIF))
    content.seek(0)
    order = _BYTE_ORDERS.get(content.read(4))
    if order is None:
        return
    inner = 0
    for tag, value in _read_tags(content, _read_number(content, order), order):
        if tag == _EXIF_DIRECTORY:
            inner = int.from_bytes(value, order)
        else:
            yield from _read_value(tag, value, order)
    if inner:
        for tag, value in _read_tags(content, inner, order):
            yield from _read_value(tag, value, order)


def _read_tags(
    file: IO[bytes], position: int, order: str
) -> Iterator[tuple[int, bytes]]:
    """Yield the tags of a directory that are wanted, each once, with their bytes."""
    file.seek(position)
    num_tags = min(_read_number(file, order, 2), MOST_TAGS)
    table, seen = file.read(12 * num_tags), set()
    for start in range(0, len(table) - 11, 12):
        tag, kind, count, place = (
            int.from_bytes(table[start + first : start + last], order)
            for first, last in ((0, 2), (2, 4), (4, 8), (8, 12))
        )
        if tag in seen or not (tag in _TAGS or tag == _EXIF_DIRECTORY):
            continue
        seen.add(tag)
        size = count * _SIZES.get(kind, 0)
        value = table[start + 8 : start + 12]
        if tag == _EXIF_DIRECTORY:
            yield tag, value
        elif size <= 4:
            yield tag, value[:size]
        else:
            file.seek(place)
            yield tag, file.read(min(size, MOST_PACKET))


def _read_number(file: IO[bytes], order: str, size: int = 4) -> int:
    return int.from_bytes(file.read(size), order)


def _read_value(tag: int, value: bytes, order: str) -> Iterator[Entry]:
    """Yield a tag's text or number, or the texts in a TIFF's XMP packet."""
    name = _TAGS.get(tag)
    if name == XMP:
        yield from _read_xmp(value)
    elif name == ORIENTATION:
        yield Entry(EXIF, name, str(int.from_bytes(value[:2], order)))
    elif name and (text := _decode_exif(value[:MOST_BYTES])):
        yield Entry(EXIF, name, text)


def _decode_exif(value: bytes) -> str:
    """Decode a text, which in a UserComment begins with the name of its code."""
    code, rest = value[:8], value[8:]
    if code == b"UNICODE\0":  # in either byte order, whatever the rest is in
        is_big = rest[:1] == b"\0"
        return rest.decode("utf-16-be" if is_big else "utf-16-le", "replace").strip()
    return _decode(rest if code in (b"ASCII\0\0\0", bytes(8)) else value)


def _decode(value: bytes) -> str:
    """Decode UTF-8, or else Latin-1, up to the first zero."""
    value = value.partition(b"\0")[0]
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


class _Stop(Exception):  # noqa: N818 - no error: enough was read
    """Ends the reading of a packet, within expat."""


class _XmpReader:
    """What expat calls: it keeps the properties that are wanted."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._current: str | None = None  # element that is read
        self._texts: list[str] = []

    def start(self, element: str, attributes: dict[str, str]) -> None:
        for name, text in attributes.items():
            self._keep(name, text)
        if self._current is None and element in _PROPERTIES:
            self._current, self._texts = element, []
            self._keep(element, attributes.get(f"{_RDF} resource", ""))

    def add(self, text: str) -> None:
        if self._current is not None:
            self._texts.append(text)

    def end(self, element: str) -> None:
        if element == self._current:
            self._keep(element, "".join(self._texts))
            self._current = None

    def stop(self, *_: object) -> None:
        """Refuse a document type: it is where entities are defined."""
        raise _Stop

    def _keep(self, name: str, text: str) -> None:
        if name in _PROPERTIES and (text := text.strip()[:MOST_BYTES]):
            self.entries.append(Entry(XMP, _PROPERTIES[name], text))


def _read_xmp(packet: bytes) -> list[Entry]:
    """Read the properties in a packet, or in what comes before a fault in it."""
    reader = _XmpReader()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.add
    parser.StartDoctypeDeclHandler = reader.stop
    with contextlib.suppress(expat.ExpatError, _Stop):  # what was found counts
        parser.Parse(packet[:MOST_PACKET].strip(b"\0 \t\r\n"), True)
    return reader.entries
