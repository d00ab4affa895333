"""Pictures and videos, what was said of them and why: one page, to be filed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from explaining.pictures import Drawn, draw_boxes, draw_maps
from explaining.time_lines import draw_time_line, name_shown
from files.atomic import save_text, set_aside
from files.names import make_printable
from files.provenance import describe_call
from hardware import Precision, show_progress
from judging import words
from judging.detector import Detector
from judging.headlines import describe_several, judge_several, name_picture
from judging.pictures import Picture
from judging.tracks import STRETCH
from judging.verdicts import NONE, Faces, Verdict
from loading import ImageFile
from loading.origin.traces import describe_claims, describe_frames, describe_generation
from metrics.meaning import format_fake_score
from plots.pages import EmbeddedImage, embed_figure, embed_image, render_page
from reporting.card import list_errors

TEMPLATE = Path(__file__).with_name("case.html")
MOST_PICTURES = 100  # of a case
MOST_MAPS = 200  # faces of a case whose maps are shown
MOST_KINDS = 10  # of files passed over, that are told apart
_ALIKE = {"MPO": "JPEG", "DIB": "BMP"}  # formats that have another's endings
_UNKNOWN, _UNJUDGED = "not known", "not judged"

Fact = tuple[str, str]  # what it is, and what is known


class Figure(NamedTuple):
    """A picture on the page, and what it is called."""

    picture: EmbeddedImage
    caption: str


class Case:
    """The pictures of a page, and what is refused; bounded, so that it fits in memory.

    The precision is that of the maps; `call` is for the page to say, as `describe_call`
    takes it.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        precision: Precision,
        call: tuple[str, Sequence[str] | None],
    ) -> None:
        self._detectors = detectors
        self._precision = precision
        self._call = call
        self._entries: list[dict[str, Any]] = []  # as the template shows them
        self._refused: list[Fact] = []
        self._passed_over: Counter[str] = Counter()  # files, by their names' endings
        self._numbers: dict[str, int] = {}  # of the first pictures with such bytes
        self._num_folders = 0  # not entered
        self._num_maps = 0

    def add(self, file: ImageFile, faces: Faces) -> None:
        """Add a picture by its faces, and read it again to draw what is to be seen.

        Raises ValueError if the case is full.
        """
        check_number(len(self._entries) + 1)
        verdicts = [verdict for face in faces for verdict in face]
        picture, name = verdicts[0].picture, make_printable(file.name)
        of_detectors = list(zip(*faces, strict=True))
        self._refused += _list_refused(name, verdicts)
        errors = [make_printable(v.error) for v in verdicts if v.error]
        entry = {
            "name": name,
            "kind": "video" if picture.clip else "picture",
            "num_faces": _count_faces([face[0].picture for face in faces]),
            "notes": list(self._list_notes(picture)),
            "facts": _list_file_facts(verdicts[0]),
            "said": [(_name(name_picture(of)), _say_why(of)) for of in of_detectors],
            "headlines": list(self._list_headlines(of_detectors)),
            "shown": _show_clip(of_detectors)
            if picture.clip
            else _show_picture(file, faces),
            "faces": list(self._build_faces(faces)),
            "claims": describe_claims(picture.origin) if picture.origin else [],
            "errors": list(dict.fromkeys(errors)),
        }
        self._entries.append(entry)

    def refuse(self, reason: str) -> None:
        """Add what never became a picture: a folder without any, for instance."""
        self._refused.append(("what was named", make_printable(reason)))

    def pass_over(self, path: Path) -> None:
        """Count what a named folder holds that is not judged: a file or a subfolder."""
        if path.is_dir():
            self._num_folders += 1
        else:
            self._passed_over[path.suffix.lower() or "without an ending"] += 1

    def render(self) -> str:
        """Return the page."""
        return render_page(
            TEMPLATE,
            title=f"Case report: {self._count_entries()}",
            entries=self._entries,
            most_maps=MOST_MAPS,
            refused=[*self._refused, *self._list_passed_over()],
            detectors=list(map(self._describe_detector, self._detectors)),
            limits=list(dict.fromkeys(self._list_limits())),
            inconclusive=words.INCONCLUSIVE_MEANS,
            not_proof=words.NOT_PROOF,
            call=describe_call(*self._call),
            folder=make_printable(str(Path.cwd())),
        )

    def _list_passed_over(self) -> Iterator[Fact]:
        """Yield how much in the folders was not judged, and what it is."""
        if kinds := self._passed_over:
            shown = kinds.most_common(MOST_KINDS)
            said = [f"{num} {make_printable(kind)}" for kind, num in shown]
            said += ["others"] if len(kinds) > MOST_KINDS else []
            why = f"their names are not those of pictures: {', '.join(said)}"
            yield "passed over", f"{words.count(kinds.total(), 'file')}, as {why}"
        if self._num_folders:
            subfolders = words.count(self._num_folders, "subfolder")
            yield "passed over", f"{subfolders}, not entered"

    def _list_limits(self) -> Iterator[str]:
        """Yield what the detectors do not know."""
        yield from map(words.describe_knowledge, self._detectors)
        if any(entry["kind"] == "video" for entry in self._entries):
            for said in map(words.describe_counting, self._detectors):
                yield f"{words.capitalise(said)}."

    def _describe_detector(self, detector: Detector) -> dict[str, Any]:
        """Return who judged, and what was found of it when it was trained."""
        file, record, precision = detector.provenance, detector.record, self._precision
        facts = [
            ("checkpoint", file["path"]),
            ("SHA-256 of the checkpoint", file["sha256"]),
            ("trained on", record.dataset or _UNKNOWN),
            ("trained with version", str(record.versions.get("suite", _UNKNOWN))),
            ("how it calls", words.describe_threshold(detector)),
            *(("how it was qualified", one) for one in words.describe_choices(record)),
            *(("its limits", limit) for limit in words.describe_limits(detector)),
            ("computed in", f"{precision.name}, on the device {precision.device}"),
        ]
        errors = list_errors(record)
        return {"name": detector.title, "facts": facts, "errors": errors}

    def _count_entries(self) -> str:
        kinds = Counter(
            entry["kind"]
            for entry in self._entries
            if any(name != _UNJUDGED for name, _ in entry["said"])
        )
        num, num_videos = kinds["picture"], kinds["video"]
        num_others = len(self._entries) - kinds.total()
        said = [words.count(num, "picture")] if num or not num_videos else []
        said += [words.count(num_videos, "video")] if num_videos else []
        said += [f"{num_others} {_UNJUDGED}"] if num_others else []
        return ", ".join(said)

    def _list_notes(self, picture: Picture) -> Iterator[str]:
        """Yield what is to be known of a file before its verdict is read."""
        origin, number = picture.origin, len(self._entries) + 1
        if origin is None:
            return
        first = self._numbers.setdefault(origin.sha256, number)
        if first != number:
            yield f"the same bytes as {self._entries[first - 1]['kind']} {first}"
        if frames := describe_frames(origin):
            yield frames
        if said := describe_generation(origin):
            yield f"{said}: see below"

    def _list_headlines(
        self, of_detectors: Iterable[Sequence[Verdict]]
    ) -> Iterator[str]:
        """Yield what each detector says of several faces, or persons."""
        for verdicts in of_detectors:
            if said := judge_several(verdicts):
                several = len(self._detectors) > 1
                whose = f" (by {verdicts[0].detector.title})" if several else ""
                yield f"{said}{whose}."

    def _build_faces(self, faces: Faces) -> Iterator[dict[str, Any]]:
        """Yield what is known of each face, or person; of many, maps take a minute."""
        shown = [
            face
            for face in faces
            if not (picture := face[0].picture).error
            and (picture.clip is None or picture.person)
        ]
        yield from map(self._build_face, show_progress(shown, "maps"))

    def _build_face(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        number, person = verdicts[0].picture.number, verdicts[0].picture.person
        title = "The whole picture" if number is None else f"Face {number}"
        title = title if person is None else f"Person {person}"
        return {"title": title, "looks": list(map(self._build_look, verdicts))}

    def _build_look(self, verdict: Verdict) -> dict[str, Any]:
        maps: list[Figure] = []
        if verdict.track:
            maps = list(map(_embed, name_shown(verdict.track)))
        elif not verdict.error and self._num_maps < MOST_MAPS:
            self._num_maps += 1
            maps = list(map(_embed, draw_maps(verdict, self._precision)))
        facts = [("verdict", _UNJUDGED), ("why", make_printable(verdict.error or ""))]
        facts = facts if verdict.error else list(list_facts(verdict))
        names = {"detector": verdict.detector.title, "verdict": _name(verdict.name)}
        return {**names, "facts": facts, "maps": maps}


@contextmanager
def open_case(
    path: Path,
    detectors: Sequence[Detector],
    precision: Precision,
    call: tuple[str, Sequence[str] | None],
    *,
    tell: Callable[[str], object] = lambda line: None,
) -> Iterator[Case]:
    """Collect pictures, and write the page, whole, if no error comes.

    An earlier page is evidence, and is kept under a number, which `tell` is told.

    Raises:
        OSError: the page cannot be written.
    """
    case = Case(detectors, precision, call)
    yield case
    page = case.render()
    for kept in set_aside([path] if path.is_file() else []).values():
        tell(f"kept an earlier report as {kept}")
    save_text(page, path)


def check_number(num_pictures: int) -> None:
    """Raise ValueError if a case has no room for so many pictures."""
    if num_pictures > MOST_PICTURES:
        raise ValueError(
            f"a case report takes at most {MOST_PICTURES} pictures, and there are "
            f"{num_pictures} or more: make several, or leave --report out"
        )


def list_facts(verdict: Verdict) -> Iterator[Fact]:
    """Yield what is known of a verdict that has a score."""
    yield "verdict", verdict.name
    if verdict.reasons:
        yield "why", make_printable("; ".join(verdict.reasons))
    if verdict.track:
        yield from _list_person_facts(verdict)
        return
    yield "what was judged", _describe_place(verdict)
    yield "kind of picture", words.describe_kind(verdict)
    rates = words.describe_rates(verdict)
    if verdict.is_withheld:
        yield "P(fake)", "not given: the detector was not tried on such pictures"
        rates = []
    else:
        yield "P(fake)", _describe_score(verdict)
        counted = " ".join(words.describe_neighbours(verdict))
        yield "images with such a score", counted or f"{_UNKNOWN} for such pictures"
    yield "likelihood ratio", words.describe_ratio(verdict)
    yield "errors on this kind", " ".join(rates) or f"{_UNKNOWN} for such pictures"


def _name(verdict: str) -> str:
    """Return what the page calls a verdict, or that there is none."""
    return _UNJUDGED if verdict == NONE else verdict


def _list_person_facts(verdict: Verdict) -> Iterator[Fact]:
    track = verdict.track
    yield "when seen", words.describe_time(track)
    yield "frames, each alone", words.describe_moments(track)
    spread = f"standard deviation of the logits {track.spread:.2f}"
    score = "not given" if verdict.is_withheld else _describe_score(verdict)
    yield "P(fake), of the mean logit", f"{score}; {spread}"
    if extremes := words.describe_extremes(track):
        yield f"mean logit, in {STRETCH:g} s", extremes
    yield "likelihood ratio", words.describe_ratio(verdict)


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
    score = format_fake_score(verdict.fake_score)
    zone = words.describe_bounds(verdict)
    if verdict.lowest is None:
        return f"{score}; {zone}"
    ends = f"{verdict.lowest:.3f} to {verdict.highest:.3f}"
    turned = f"{len(verdict.flips) or 'none'} with the opposite verdict"
    subject = f"it and its harmless versions, {turned}"
    subject = "single frames" if verdict.track else subject
    return f"{score}; from {ends} for {subject}; {zone}"


def _list_file_facts(verdict: Verdict) -> list[Fact]:
    picture, origin = verdict.picture, verdict.picture.origin
    if picture.clip is not None:
        return _list_clip_facts(picture)
    examined = ("examined (UTC)", picture.examined or _UNKNOWN)
    if origin is None:
        return [examined]
    quality = "it is not a JPEG" if origin.format not in (None, "JPEG") else _UNKNOWN
    size = _UNKNOWN if origin.format is None else f"{origin.width} x {origin.height}"
    facts = [
        ("SHA-256 of its bytes", origin.sha256),
        ("format, by its content", _describe_format(picture)),
        ("width x height, upright", size),
        ("bytes", f"{origin.num_bytes:,}"),
        ("JPEG quality, estimated", str(origin.jpeg_quality or quality)),
        examined,
    ]
    found = ("faces", words.describe_faces(picture))
    return facts if picture.error else [*facts, found]


def _describe_format(picture: Picture) -> str:
    """Say what a picture is by its content, and by its name where that is another."""
    found = picture.origin.format
    named = Image.registered_extensions().get(Path(picture.name).suffix.lower())
    if found is None or named is None or _ALIKE.get(found, found) == named:
        return found or _UNKNOWN
    return f"{found}; its name says {named}"


def _count_faces(pictures: Sequence[Picture]) -> str:
    first = pictures[0]
    if first.clip is not None:
        return words.count(sum(p.person is not None for p in pictures), "person")
    if first.error:
        return "-"
    return "not looked for" if first.num_faces is None else str(first.num_faces)


def _say_why(verdicts: Sequence[Verdict]) -> str:
    """Say in short why a file is called what it is; '' where its score says so."""
    if clauses := describe_several(verdicts):
        return clauses[0]
    reasons = [r for v in verdicts for r in ([v.error] if v.error else v.reasons)]
    return make_printable("; ".join(dict.fromkeys(reasons)))


def _list_clip_facts(picture: Picture) -> list[Fact]:
    """Return what is known of a video's file, and which frames were looked at."""
    clip, origin = picture.clip, picture.origin
    facts = [("examined (UTC)", picture.examined or _UNKNOWN)]
    if origin is not None:
        size = f"{origin.num_bytes:,}"
        facts = [("SHA-256 of its bytes", origin.sha256), ("bytes", size), *facts]
    if clip.seconds:
        size = f"{picture.width} x {picture.height}"
        facts += [("width x height", size), ("looked at", words.describe_looked(clip))]
        facts.append(("cuts", words.describe_cuts(clip)))
    return facts


def _list_refused(name: str, verdicts: Iterable[Verdict]) -> Iterator[Fact]:
    """Yield why a picture, or a face of it, got no verdict, each reason once."""
    reasons: dict[Fact, None] = {}
    for verdict in verdicts:
        number, person = verdict.picture.number, verdict.picture.person
        subject = name if number is None else f"{name}, face {number}"
        subject = subject if person is None else f"{name}, person {person}"
        for reason in [verdict.error] if verdict.error else verdict.reasons:
            reasons[subject, make_printable(reason)] = None
    return iter(reasons)


def _show_clip(of_detectors: Iterable[Sequence[Verdict]]) -> list[Figure]:
    """Return a video's time line for each detector that has one."""
    figures = []
    for verdicts in of_detectors:
        if any(verdict.track for verdict in verdicts):
            alt = "P(fake) of each person, frame by frame."
            drawn = embed_figure(draw_time_line(verdicts), alt, "png")
            figures.append(Figure(drawn, f"Time line, by {verdicts[0].detector.title}"))
    return figures


def _show_picture(file: ImageFile, faces: Faces) -> list[Figure]:
    """Return a picture with its faces marked; nothing where it cannot be read."""
    pictures = [face[0].picture for face in faces]
    try:
        return [_embed(draw_boxes(file, [p.face for p in pictures if p.face]))]
    except ValueError:  # the verdict says why
        return []


def _embed(drawn: Drawn) -> Figure:
    picture = embed_image(Image.fromarray(drawn.pixels), drawn.words)
    return Figure(picture, drawn.caption)
