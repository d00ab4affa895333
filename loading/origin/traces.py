"""What a file says of itself: its format, its camera, who generated or signed it.

Information beside a verdict, never a part of it: all of it can be forged or removed,
but for the credentials of a signer whom one trusts. It is read by structure
(`metadata.py`; credentials by c2pa-python, an extra, `requirements-credentials.txt`),
and nothing is ever asked of the network.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from loading.image_files import ImageFile, as_file, naming, use_image
from loading.origin.credentials import (
    INVALID,
    NONE,
    NOT_LOOKED_FOR,
    UNTRUSTED,
    VALID,
    Credentials,
    load_anchors,
    read_credentials,
    shorten_source_type,
)
from loading.origin.jpeg_quality import estimate_jpeg_quality
from loading.origin.metadata import (
    COMMENT,
    EXIF,
    ORIENTATION,
    XMP,
    Entry,
    read_entries,
    take_excerpt,
)
from loading.videos.frames import is_video

# Not MPO: what telephones put beside a photograph is not another one.
_WITH_FRAMES = ("GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF")
MOST_LISTED = 8  # generators
ABSENCE = (
    "All of this can be removed, and forged too, but for the credentials of a signer "
    "whom you trust. It is no part of the verdict, and its absence proves nothing."
)

_IN_VIDEO = f"{NOT_LOOKED_FOR}the file is a video"
_LYING = ("5", "6", "7", "8")  # orientations by which width and height are exchanged
_SOURCE_TYPES = {  # of IPTC, cv.iptc.org/newscodes/digitalsourcetype, in words
    "trainedAlgorithmicMedia": "made by a trained model",
    "compositeWithTrainedAlgorithmicMedia": "with parts made by a trained model",
    "algorithmicMedia": "made by an algorithm that was not trained",
    "compositeSynthetic": "a composite with synthetic parts",
    "digitalCapture": "taken by a camera",
    "computationalCapture": "taken by a camera, and computed from several shots",
    "compositeCapture": "a composite of shots",
    "algorithmicallyEnhanced": "enhanced by an algorithm",
    "humanEdits": "edited by a person",
    "digitalCreation": "made by a person with software",
    "screenCapture": "taken from a screen",
}
_GENERATED = "trainedAlgorithmicMedia"
_PARTLY = ("compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
# What generators write: the entry's name, what its text matches, and who writes so.
_NAMED_IN = "Software|CreatorTool|Credit|Source"
_A1111 = "AUTOMATIC1111's web UI or one that writes alike"
_GENERATORS = tuple(
    (re.compile(name), re.compile(text), program)
    for name, text, program in (
        ("parameters|UserComment", r"\bSteps: \d", _A1111),
        ("parameters|UserComment", r'"sui_image_params"', "SwarmUI"),
        ("fooocus_scheme", "", "Fooocus"),
        ("prompt|Make|Model|UserComment|ImageDescription", '"class_type"', "ComfyUI"),
        ("workflow|Make|Model|ImageDescription", '"(last_node_id|nodes)"', "ComfyUI"),
        (r"Dream|sd-metadata|invokeai_\w+", "", "InvokeAI"),
        ("Comment", r'(?s)^\{.*"uc":', "NovelAI"),
        ("(Image)?Description", r"\bJob ID: [0-9a-f]{8}-", "Midjourney"),
        ("Software", "^AI generated", "Black Forest Labs' FLUX"),
        ("Make", "^Black Forest Labs", "Black Forest Labs' FLUX"),
        ("AISystemUsed", "", "the AI system that it names"),
        *(
            (_NAMED_IN, rf"(?i)\b{words}\b", program)
            for words, program in (
                ("NovelAI", "NovelAI"),
                ("InvokeAI", "InvokeAI"),
                ("ComfyUI", "ComfyUI"),
                ("Midjourney", "Midjourney"),
                ("Stable ?Diffusion", "Stable Diffusion"),
                ("DALL.?E", "DALL-E"),
                ("Firefly", "Adobe Firefly"),
                ("(Google AI|Imagen)", "Google's models"),
                ("Draw ?Things", "Draw Things"),
                ("DreamStudio", "DreamStudio"),
                ("Ideogram", "Ideogram"),
                ("Leonardo\\.?Ai", "Leonardo.Ai"),
            )
        ),
    )
)


@dataclass(frozen=True)
class Trace:
    """What a generator writes into its pictures.

    Attributes:
        program: who writes so.
        place: where it was found: `PNG text "parameters"`, `EXIF "Software"`, ...
        text: its beginning.
    """

    program: str
    place: str
    text: str


@dataclass(frozen=True)
class Origin:
    """What a file says of itself. All texts are short and can be printed.

    Attributes:
        format: by its content, as Pillow calls it: JPEG, PNG, ...; None where it
            cannot be opened as a picture.
        width, height: in pixels, upright; None without a format.
        num_bytes: of the file.
        sha256: of the file, in hexadecimal.
        jpeg_quality: from 1 to 100, see `estimate_jpeg_quality`.
        camera: its make and model.
        software: that wrote the file.
        taken: when, as the camera wrote it: 2024:01:31 12:00:00.
        source_type: IPTC's digital source type in XMP: trainedAlgorithmicMedia, ...
        generators: what only generators write.
        address: of credentials kept elsewhere, which is never asked.
        has_frames: whether it holds several pictures, of which only the first is read.
        credentials: "none", "valid", "invalid", "untrusted signer", or "not looked
            for: " and why; this and what follows is of `Credentials`.
    """

    format: str | None
    width: int | None
    height: int | None
    num_bytes: int
    sha256: str
    jpeg_quality: int | None
    camera: str | None
    software: str | None
    taken: str | None
    source_type: str | None
    generators: tuple[Trace, ...]
    address: str | None
    credentials: str
    problems: tuple[str, ...] = ()
    signer: str | None = None
    claim_generator: str | None = None
    claimed_source_types: tuple[str, ...] = ()
    has_frames: bool = False


def read_origin(
    file: ImageFile | str | Path, *, trusted: str | Path | None = None
) -> Origin:
    """Read what a file says of itself, in bounded memory, whatever is in it.

    Args:
        trusted: a PEM file of the certificates of those whose signatures are to be
            trusted (and, for expired ones, of their time stamps' authorities); without
            it no signer is.

    Raises:
        ValueError: the file cannot be read at all, or `trusted` holds no certificates.
        FileNotFoundError: there is no file `trusted`.
    """
    file = as_file(file)
    anchors = None if trusted is None else load_anchors(Path(trusted))
    header = _read_header(file)
    with naming(file, OSError):
        num_bytes, sha256 = _measure(file)
        with file.open() as stream:
            entries = read_entries(stream, header.info)
        credentials = _look_for_credentials(file, header, anchors)
    # Of a TIFF, Pillow says them as they are seen.
    is_lying = header.format != "TIFF" and _find(entries, ORIENTATION, EXIF) in _LYING
    width, height = header.size[::-1] if is_lying else header.size
    return Origin(
        format=header.format,
        width=width,
        height=height,
        num_bytes=num_bytes,
        sha256=sha256,
        jpeg_quality=header.jpeg_quality,
        has_frames=header.has_frames,
        **_find_camera(entries),
        software=_find(entries, "Software") or _find(entries, "CreatorTool"),
        source_type=shorten_source_type(_find(entries, "DigitalSourceType", XMP)),
        generators=tuple(_find_generators(entries)),
        address=_find_address(entries),
        **credentials._asdict(),
    )


class _Header(NamedTuple):
    """What Pillow says of a picture without decoding it."""

    format: str | None
    size: tuple[int | None, int | None]
    jpeg_quality: int | None
    info: Mapping[str, Any]
    has_frames: bool = False


def _read_header(file: ImageFile) -> _Header:
    """Read a picture's header; an empty one where it cannot be opened as a picture."""

    def use(image: Image.Image) -> _Header:
        quality = estimate_jpeg_quality(image)
        info = dict(image.info)  # before another frame is looked for
        return _Header(image.format, image.size, quality, info, _has_frames(image))

    try:
        return use_image(file, use)
    except ValueError:
        return _Header(None, (None, None), None, {})


def _has_frames(image: Image.Image) -> bool:
    """Say whether a picture is animated, or has pages; not what a damaged one is."""
    try:
        return image.format in _WITH_FRAMES and bool(image.is_animated)
    except Exception:  # as many kinds as there are decoders
        return False


def _look_for_credentials(
    file: ImageFile, header: _Header, anchors: str | None
) -> Credentials:
    """Look for credentials in what is a picture."""
    if header.format is None and is_video(Path(file.name)):
        return Credentials(_IN_VIDEO)
    if header.format is None:
        return Credentials(f"{NOT_LOOKED_FOR}the file cannot be opened as a picture")
    return read_credentials(file, anchors)


def _measure(file: ImageFile) -> tuple[int, str]:
    """Return how many bytes a file has, and their SHA-256."""
    digest = hashlib.sha256()
    with file.open() as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
        return stream.tell(), digest.hexdigest()


def _find(entries: Sequence[Entry], name: str, place: str = "") -> str | None:
    """Return the first text of a name, to be shown; None if there is none there."""
    texts = (e.text for e in entries if e.name == name and place in ("", e.place))
    return next(filter(None, map(take_excerpt, texts)), None)


def _find_camera(entries: Sequence[Entry]) -> dict[str, str | None]:
    """Return the camera and when it took the picture.

    ComfyUI writes its graph where a camera's name belongs.
    """
    names = [e for e in entries if e.place in (EXIF, XMP) and not _name_generator(e)]
    make, model = _find(names, "Make"), _find(names, "Model")
    if make and model and not model.lower().startswith(make.lower()):
        model = take_excerpt(f"{make} {model}")
    return {"camera": model or make, "taken": _find(names, "DateTimeOriginal")}


def _find_address(entries: Sequence[Entry]) -> str | None:
    """Return where the credentials of a file without some are (C2PA 2.1, 11.4)."""
    places = [e for e in entries if e.text.startswith(("http://", "https://"))]
    return _find(places, "provenance", XMP)


def _find_generators(entries: Sequence[Entry]) -> list[Trace]:
    """Return the texts that generators write, at most `MOST_LISTED`."""
    traces = []
    for entry in entries:
        if program := _name_generator(entry):
            name = "" if entry.place == COMMENT else f' "{take_excerpt(entry.name)}"'
            traces.append(Trace(program, entry.place + name, take_excerpt(entry.text)))
    return list(dict.fromkeys(traces))[:MOST_LISTED]


def _name_generator(entry: Entry) -> str | None:
    """Return the program that writes such an entry; None where any may."""
    for name, text, program in _GENERATORS:
        if name.fullmatch(entry.name) and text.search(entry.text):
            return program
    return None


def describe_origin(origin: Origin) -> list[str]:
    """Return sentences for a terminal and a page; the last says how little it means.

    The texts in them are the file's own: a page has to escape them.
    """
    sha256 = f"Its SHA-256 is {origin.sha256}."
    return [_describe_file(origin), sha256, *describe_claims(origin)]


def describe_claims(origin: Origin) -> list[str]:
    """Return `describe_origin`'s sentences without those on size and SHA-256."""
    return [
        *_describe_camera(origin),
        *_describe_generators(origin),
        *_describe_credentials(origin),
        ABSENCE,
    ]


def describe_generation(origin: Origin | None) -> str | None:
    """Say in a few words that a file says that it was generated.

    None where it does not say so, or only in credentials that do not hold, or where it
    is not known.
    """
    if origin is None:
        return None
    claims = () if origin.credentials == INVALID else origin.claimed_source_types
    types = {*filter(None, [origin.source_type]), *claims}
    if types == {_GENERATED} or (origin.generators and not types):
        return "its file says that it was generated"
    if origin.generators or types & {_GENERATED, *_PARTLY}:
        return "its file says that it, or a part of it, was generated"
    return None


def describe_frames(origin: Origin | None) -> str | None:
    """Say that a picture has several frames, if it is known to."""
    has_frames = origin is not None and origin.has_frames
    return "several frames: only the first was judged" if has_frames else None


def _describe_file(origin: Origin) -> str:
    size = f"{origin.num_bytes:,} bytes"
    if origin.credentials == _IN_VIDEO:
        return f"The file is named as a video and has {size}."
    if origin.format is None:
        return f"The file has {size} and cannot be opened as a picture."
    quality = origin.jpeg_quality
    saved = "" if quality is None else f", saved at a quality of about {quality}"
    pixels = f"{origin.width} x {origin.height} pixels"
    several = ", which has several frames: only the first was judged"
    more = several if origin.has_frames else ""
    return f"The file is a picture in {origin.format}, {pixels}, {size}{saved}{more}."


def _describe_camera(origin: Origin) -> Iterator[str]:
    if origin.camera:
        yield f"It names the camera {origin.camera}."
    if origin.taken:
        yield f"It says that it was taken at {origin.taken}."
    if origin.software:
        yield f"It names the software {origin.software}."


def _describe_generators(origin: Origin) -> Iterator[str]:
    if origin.source_type:
        yield f"Its XMP gives the source type {_put_in_words(origin.source_type)}."
    for trace in origin.generators:
        yield f"Its {trace.place} is of {trace.program}: {trace.text}"


def _put_in_words(source_type: str) -> str:
    """Return a source type with what it means."""
    words = _SOURCE_TYPES.get(source_type)
    return f"{source_type} ({words})" if words else source_type


def _describe_credentials(origin: Origin) -> Iterator[str]:
    yield _describe_state(origin)
    if origin.address:
        yield f"It says that credentials are at {origin.address}, which was not asked."
    program = origin.claim_generator
    said = [f"made by the program {program}"] if program else []
    said += [f"source type {_put_in_words(x)}" for x in origin.claimed_source_types]
    if said:
        yield f"The credentials say: {'; '.join(said)}."


def _describe_state(origin: Origin) -> str:
    """Return the sentence on the credentials' state."""
    noun, signer = "content credentials (C2PA)", origin.signer or "somebody unnamed"
    if origin.credentials == NONE:
        return f"It holds no {noun}."
    if origin.credentials == VALID:
        return (
            f"Its {noun} are valid: {signer} signed them, whom you trust, and the "
            "file has not changed since."
        )
    if origin.credentials == UNTRUSTED:
        return (
            f"Its {noun} are whole, and the file has not changed since it was signed; "
            f"but nobody whom you trust vouches for the signer, {signer}."
        )
    if origin.credentials == INVALID:
        problems = ", ".join(origin.problems) or "no reason is given"
        return (
            f"Its {noun} are invalid ({problems}): the file or they were changed or "
            "damaged after signing, or the signer's certificate does not hold or has "
            "expired. Do not believe them."
        )
    is_missing = "c2pa-python" in origin.credentials
    advice = ": pip install -r requirements-credentials.txt" if is_missing else ""
    return f"Its {noun} were {origin.credentials}{advice}."
