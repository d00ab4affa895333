"""What the page is told of verdicts, as JSON takes it."""

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from explaining.pictures import Drawn
from explaining.time_lines import draw_time_line, name_shown
from files.names import make_printable
from judging.headlines import describe_several, name_picture
from judging.verdicts import INCONCLUSIVE, NONE, Verdict
from judging.words import capitalise, describe_bounds, describe_kind, explain_verdict
from metrics.meaning import describe_fake_score
from plots.pages import embed_figure

TITLES = {
    "real": "Called real",
    "fake": "Called fake",
    INCONCLUSIVE: "Inconclusive",
    NONE: "Not judged",
}


def describe_whole(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return what is said of a picture or a video as a whole, and of how many looks."""
    name, clauses = name_picture(verdicts), describe_several(verdicts)
    sentence = f"{'; '.join(clauses)}." if clauses else None
    return {"name": name, "title": TITLES[name], "sentence": sentence}


def _call_face(number: int | None) -> str:
    return "Face" if number is None else f"Face {number}"


def describe_face(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the page shows it; a score only where it means something."""
    error = verdict.error and make_printable(verdict.error)
    is_shown = verdict.fake_score is not None and not verdict.reasons
    real_below, threshold = verdict.zone
    picture, track = verdict.picture, verdict.track
    return {
        "number": picture.number,
        "label": f"Person {picture.person}" if track else _call_face(picture.number),
        "verdict": verdict.name,
        "title": TITLES[verdict.name],
        "fake_score": verdict.fake_score,
        "score": describe_fake_score(verdict.fake_score) if is_shown else None,
        "real_below": real_below,
        "threshold": threshold,
        "bounds": describe_bounds(verdict) if is_shown else None,
        "notes": [] if error else list(_list_notes(verdict)),
        "llr": verdict.llr,
        "reasons": list(verdict.reasons) if not error else [error],
        "sentences": [error] if error else _explain(verdict),
        "shown": list(map(pack_picture, name_shown(track) if track else ())),
    }


def _list_notes(verdict: Verdict) -> Iterator[str]:
    """Yield in what range a score lies, and which images the picture is like."""
    if verdict.lowest is not None and not verdict.is_withheld:
        subject = "single frames" if verdict.track else "it and its harmless versions"
        ends = f"{verdict.lowest:.3f} to {verdict.highest:.3f}"
        yield f"P(fake) is from {ends} for {subject}."
    if verdict.condition and not verdict.track:
        yield f"{capitalise(describe_kind(verdict))}."


def _explain(verdict: Verdict) -> list[str]:
    """Say what a verdict is worth, without what is said of the whole picture."""
    picture, face = verdict.picture, verdict.picture.face
    turned = []
    if face is not None and face.quarter_turns and picture.clip is None:
        degrees = 90 * face.quarter_turns
        turned.append(
            f"The face was turned upright, by {degrees} degrees, to be judged."
        )
    said = explain_verdict(verdict)
    if picture.num_faces == 0 and (more := verdict.reasons[1:]):
        said[0] = f"{capitalise('; '.join(more))}."
    elif picture.num_faces == 0:
        del said[0]
    return said + turned


def pack_time_line(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return a video's time line as the page takes it."""
    words = "P(fake) of each person, frame by frame; the cards below say it in words."
    drawn = embed_figure(draw_time_line(verdicts), words, "png")
    return _pack("Time line", drawn.alt, drawn[2:], drawn.source.partition(",")[2])


def pack_picture(drawn: Drawn) -> dict[str, Any]:
    """Return an image and its words as the page takes them, a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(drawn.pixels)).save(buffer, format="PNG")
    height, width, _ = drawn.pixels.shape
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    return _pack(drawn.caption, drawn.words, (width, height), png)


def _pack(caption: str, alt: str, size: tuple[int, int], png: str) -> dict[str, Any]:
    width, height = size
    words = {"caption": caption, "alt": alt}
    return {**words, "width": width, "height": height, "png": png}
