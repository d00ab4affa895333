"""Pictures, what was said of them and why, as one page to be filed and checked."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from explaining.pictures import Drawn, draw_boxes, draw_maps
from files.names import make_printable
from files.provenance import describe_call
from hardware import Precision
from judging.detector import Detector
from judging.headlines import judge_picture, judge_several
from judging.verdicts import INCONCLUSIVE, NONE, Verdict
from judging.words import (
    NOT_PROOF,
    describe_bounds,
    describe_faces,
    describe_kind,
    describe_knowledge,
    describe_lack,
    describe_neighbours,
    describe_qualification,
    describe_rates,
    describe_ratio,
    describe_threshold,
)
from loading import ImageFile
from loading.origin import describe_claims
from plots.pages import Picture, embed_image, render_page, save_page
from scores import describe_fake_score

TEMPLATE = Path(__file__).with_name("case.html")
MOST_PICTURES = 100  # of a case
MOST_MAPS = 200  # faces of a case whose maps are shown
_UNKNOWN = "not known"

Fact = tuple[str, str]  # what it is, and what is known


class Figure(NamedTuple):
    """A picture on the page, and what it is called."""

    picture: Picture
    caption: str


class Look(NamedTuple):
    """What a detector says of a face, or of a whole picture."""

    detector: str
    verdict: str
    facts: list[Fact]
    maps: list[Figure]


class Face(NamedTuple):
    """A face, or a whole picture, and what each detector says of it."""

    title: str
    looks: list[Look]


class Entry(NamedTuple):
    """A picture of the case."""

    name: str
    facts: list[Fact]
    verdicts: list[str]  # of the picture, in a word, each detector's
    headlines: list[str]  # on several faces, each detector's
    shown: Figure | None
    faces: list[Face]
    claims: list[str]
    errors: list[str]


class Case:
    """The pictures of a page, and what is refused; bounded, so that it fits in memory.

    Args:
        detectors: who judges.
        precision: of the maps.
        call: the script that was called and its words, for the page to say.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        precision: Precision,
        call: tuple[str, Sequence[str]],
    ) -> None:
        self._detectors = detectors
        self._precision = precision
        self._call = call
        self._entries: list[Entry] = []
        self._refused: list[Fact] = []
        self._num_maps = 0

    def add(self, file: ImageFile, faces: Sequence[Sequence[Verdict]]) -> None:
        """Add a picture, and draw what is to be seen of it.

        Args:
            file: from which it is read again, to be shown.
            faces: of it, each with every detector's verdict.

        Raises:
            ValueError: the case is full.
        """
        check_number(len(self._entries) + 1)
        verdicts = [verdict for face in faces for verdict in face]
        picture, name = verdicts[0].picture, make_printable(file.name)
        of_detectors = list(zip(*faces, strict=True))
        self._refused += _list_refused(name, verdicts)
        entry = Entry(
            name,
            _list_file_facts(verdicts[0]),
            [_name_picture(of_detector) for of_detector in of_detectors],
            list(self._list_headlines(of_detectors)),
            _show_picture(file, faces),
            [self._build_face(face) for face in faces if face[0].picture.error is None],
            describe_claims(picture.origin) if picture.origin else [],
            list(dict.fromkeys(make_printable(v.error) for v in verdicts if v.error)),
        )
        self._entries.append(entry)

    def refuse(self, reason: str) -> None:
        """Add what never became a picture: a folder without any, for instance."""
        self._refused.append(("what was named", make_printable(reason)))

    def render(self) -> str:
        """Return the page."""
        return render_page(
            TEMPLATE,
            title=f"Case report: {count(len(self._entries), 'picture')}",
            entries=self._entries,
            refused=self._refused,
            detectors=[
                (detector.title, _list_detector_facts(detector))
                for detector in self._detectors
            ],
            limits=list(dict.fromkeys(map(describe_knowledge, self._detectors))),
            not_proof=NOT_PROOF,
            call=describe_call(*self._call),
        )

    def _list_headlines(
        self, of_detectors: Iterable[Sequence[Verdict]]
    ) -> Iterator[str]:
        """Yield what each detector says of several faces, or persons."""
        for verdicts in of_detectors:
            if said := judge_several(verdicts):
                several = len(self._detectors) > 1
                whose = f" (by {verdicts[0].detector.title})" if several else ""
                yield f"{said}{whose}."

    def _build_face(self, verdicts: Sequence[Verdict]) -> Face:
        picture = verdicts[0].picture
        number = picture.number
        title = "The whole picture" if number is None else f"Face {number}"
        return Face(title, [self._build_look(verdict) for verdict in verdicts])

    def _build_look(self, verdict: Verdict) -> Look:
        maps: list[Figure] = []
        if not verdict.error and self._num_maps < MOST_MAPS:
            self._num_maps += 1
            maps = list(map(_embed, draw_maps(verdict, self._precision)))
        facts = [("verdict", "none"), ("why", make_printable(verdict.error or ""))]
        facts = facts if verdict.error else list(list_facts(verdict))
        return Look(verdict.detector.title, verdict.name, facts, maps)


@contextmanager
def open_case(
    path: Path,
    detectors: Sequence[Detector],
    precision: Precision,
    call: tuple[str, Sequence[str]],
) -> Iterator[Case]:
    """Collect pictures, and write the page, whole, if no error comes.

    Args:
        path: of the page.
        detectors, precision, call: as for `Case`.

    Raises:
        OSError: the page cannot be written.
    """
    case = Case(detectors, precision, call)
    yield case
    save_page(case.render(), path)


def check_number(num_pictures: int) -> None:
    """Raise ValueError if a case has no room for so many pictures."""
    if num_pictures > MOST_PICTURES:
        raise ValueError(
            f"a case report takes at most {MOST_PICTURES} pictures, and there are "
            f"{num_pictures} or more: make several, or leave --report out"
        )


def count(number: int, what: str) -> str:
    """Return '1 picture' or '2 pictures'."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def list_facts(verdict: Verdict) -> Iterator[Fact]:
    """Yield what is known of a verdict.

    Args:
        verdict: one that has a score.
    """
    yield "verdict", verdict.name
    if verdict.reasons:
        yield "why", make_printable("; ".join(verdict.reasons))
    yield "what was judged", _describe_place(verdict)
    yield "kind of picture", describe_kind(verdict)
    rates = describe_rates(verdict)
    if verdict.is_withheld:
        yield "P(fake)", "not given: the detector was not tried on such pictures"
        rates = []
    else:
        yield "P(fake)", _describe_score(verdict)
        counted = " ".join(describe_neighbours(verdict))
        yield "images with such a score", counted or f"{_UNKNOWN} for such pictures"
    yield "likelihood ratio", describe_ratio(verdict)
    yield "errors on this kind", " ".join(rates) or f"{_UNKNOWN} for such pictures"


def _describe_place(verdict: Verdict) -> str:
    """Say what of a picture was judged, and how large it is."""
    picture, face = verdict.picture, verdict.picture.face
    if face is None:
        return f"all of it: {picture.width} x {picture.height} pixels"
    left, top, right, bottom = face.box
    turned = f", turned by {90 * face.quarter_turns} degrees"
    return (
        f"the crop around the face at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}"
        f", about {picture.side} pixels a side{turned if face.quarter_turns else ''}"
    )


def _describe_score(verdict: Verdict) -> str:
    score = describe_fake_score(verdict.fake_score)
    score = score.removeprefix("P(fake)").lstrip("=")
    zone = describe_bounds(verdict)
    if verdict.lowest is None:
        return f"{score}; {zone}"
    ends = f"{verdict.lowest:.3f} to {verdict.highest:.3f}"
    return f"{score}; from {ends} for it and its harmless versions; {zone}"


def _list_file_facts(verdict: Verdict) -> list[Fact]:
    """Return what is known of a picture's file."""
    picture, origin = verdict.picture, verdict.picture.origin
    examined = ("examined (UTC)", picture.examined or _UNKNOWN)
    if origin is None:
        return [examined]
    quality = "it is not a JPEG" if origin.format not in (None, "JPEG") else _UNKNOWN
    size = _UNKNOWN if origin.format is None else f"{origin.width} x {origin.height}"
    facts = [
        ("SHA-256 of its bytes", origin.sha256),
        ("format, by its content", origin.format or _UNKNOWN),
        ("width x height, upright", size),
        ("bytes", f"{origin.num_bytes:,}"),
        ("JPEG quality, estimated", str(origin.jpeg_quality or quality)),
        examined,
    ]
    found = ("faces", describe_faces(picture))
    return facts if picture.error else [*facts, found]


def _list_detector_facts(detector: Detector) -> list[Fact]:
    """Return who judged, and what was found of it when it was trained."""
    file, record = detector.provenance, detector.record
    return [
        ("checkpoint", file["path"]),
        ("SHA-256 of the checkpoint", file["sha256"]),
        ("trained on", record.dataset or _UNKNOWN),
        ("trained with version", str(record.versions.get("suite", _UNKNOWN))),
        ("how it calls", describe_threshold(detector)),
        *(("how it was qualified", line) for line in describe_qualification(record)),
        *(("what it lacks", lack) for lack in [describe_lack(detector)] if lack),
    ]


def _list_refused(name: str, verdicts: Iterable[Verdict]) -> Iterator[Fact]:
    """Yield why a picture, or a face of it, got no verdict, each reason once."""
    reasons: dict[Fact, None] = {}
    for verdict in verdicts:
        number = verdict.picture.number
        what = name if number is None else f"{name}, face {number}"
        for reason in [verdict.error] if verdict.error else verdict.reasons:
            reasons[what, make_printable(reason)] = None
    return iter(reasons)


def _name_picture(verdicts: Sequence[Verdict]) -> str:
    """Return what a detector calls a picture as a whole."""
    judged = [verdict for verdict in verdicts if not verdict.error]
    if not judged:
        return NONE
    name = judge_picture(judged).name
    return name if len(judged) == len(verdicts) else INCONCLUSIVE


def _show_picture(file: ImageFile, faces: Sequence[Sequence[Verdict]]) -> Figure | None:
    """Return a picture with its faces marked; None where it cannot be read."""
    pictures = [face[0].picture for face in faces]
    try:
        return _embed(draw_boxes(file, [p.face for p in pictures if p.face]))
    except ValueError:  # the verdict says why
        return None


def _embed(drawn: Drawn) -> Figure:
    picture = embed_image(Image.fromarray(drawn.pixels), drawn.words)
    return Figure(picture, drawn.caption)
