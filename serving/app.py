"""The page's requests: a picture comes, its verdicts, maps or case report go back."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from explaining.pictures import Drawn, draw_boxes, draw_maps
from files.names import make_printable
from hardware import Precision
from judging.detector import Detector
from judging.headlines import describe_headline, judge_picture
from judging.pictures import Reading, View, collate_pictures, read_picture
from judging.verdicts import INCONCLUSIVE, NONE, Verdict, judge_batches
from judging.words import (
    NOT_PROOF,
    describe_bounds,
    describe_faces,
    describe_knowledge,
    explain_verdict,
)
from loading import ImageFile
from loading.origin import describe_origin
from metrics.meaning import describe_fake_score
from serving.guard import HEADERS, explain_refusal

try:
    import flask
except ImportError:  # an optional extra: requirements-page.txt
    flask = None

MOST_WAITING = 4  # requests, the one that is being judged included
MEGA = 1_000_000
READING = Reading(with_origin=True)
TITLES = {
    "real": "Called real",
    "fake": "Called fake",
    INCONCLUSIVE: "Inconclusive",
    NONE: "Not judged",
}
# From a picture and its verdicts, one a face, to a page.
BuildCase = Callable[[ImageFile, Sequence[Verdict]], str]


@dataclass(frozen=True)
class Judge:
    """A detector, and how it judges the pictures that are sent.

    Attributes:
        detector: who judges.
        precision: arithmetic of its network.
        reading: how pictures are read.
        margin: of found faces' crops; None: as the detector was trained.
    """

    detector: Detector
    precision: Precision
    reading: Reading = READING
    margin: float | None = None

    def judge(
        self, file: ImageFile, *, number: int | None = None, stability: bool = True
    ) -> list[Verdict]:
        """Judge a picture as predict.py does, to the last bit.

        Args:
            file: the picture.
            number: only of this face, from the left, from 1; None: of all.
            stability: also judge harmless versions.

        Returns:
            The verdict on each face from the left, or on the whole picture.
        """
        views = [View.of(self.detector, self.margin)]
        read = read_picture(file, views, self.reading)
        if number is not None:
            read = read[number - 1 : number]
        if not read:
            return []
        batches, detectors = [collate_pictures(read)], [self.detector]
        options = {"margin": self.margin, "stability": stability}
        judged = judge_batches(batches, detectors, self.precision, **options)
        return [verdict for _, (verdict,) in judged]

    def answer(self, file: ImageFile) -> dict[str, Any]:
        """Judge a picture, and explain each face's verdict.

        Returns:
            What the page shows, as JSON takes it: only an `error` if the picture cannot
            be judged. A single face comes with its maps, several are asked for theirs.
        """
        verdicts = self.judge(file)
        judged = [verdict for verdict in verdicts if not verdict.error]
        if not judged:
            return {"error": make_printable(verdicts[0].error)}
        picture = judged[0].picture
        faces = [verdict.picture.face for verdict in verdicts if verdict.picture.face]
        maps = self.draw(judged[0]) if len(verdicts) == 1 else None
        return {
            "name": make_printable(file.name),
            "size": f"{picture.width} x {picture.height}",
            "headline": describe_picture(verdicts),
            "looked": describe_faces(picture),
            "picture": pack_picture(draw_boxes(file, faces)) if faces else None,
            "faces": [{**describe_face(verdict), "maps": maps} for verdict in verdicts],
            "limits": [describe_knowledge(self.detector), NOT_PROOF],
            "origin": describe_origin(picture.origin) if picture.origin else [],
        }

    def answer_maps(self, file: ImageFile, number: int) -> dict[str, Any]:
        """Return a face's maps, or only an `error`."""
        verdicts = self.judge(file, number=number, stability=False)
        if not verdicts:
            return {"error": f"the picture has no face {number}"}
        if verdicts[0].error:
            return {"error": make_printable(verdicts[0].error)}
        return {"maps": self.draw(verdicts[0])}

    def draw(self, verdict: Verdict) -> list[dict[str, Any]]:
        """Return what the detector saw and its maps, as the page takes them."""
        return list(map(pack_picture, draw_maps(verdict, self.precision)))


def build_app(
    judge: Judge,
    build_case: BuildCase,
    *,
    host: str = "127.0.0.1",
    most_megabytes: float = 20,
) -> flask.Flask:
    """Build the page's application. It keeps nothing that is sent to it.

    Args:
        judge: of the pictures.
        build_case: of a picture that was judged, to be downloaded.
        host: the name or address that the server listens at.
        most_megabytes: size of the largest file that is taken.
    """
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = int(most_megabytes * MEGA)
    work = Worker()

    @app.before_request
    def refuse_others() -> Any:
        reason = explain_refusal(flask.request.headers, host)
        return answer_error(reason, 403) if reason else None

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        response.headers.update(HEADERS)
        return response

    @app.errorhandler(404)
    @app.errorhandler(405)
    def say_what_there_is(error: Exception) -> Any:
        return answer_error("there is a page at / and nothing else", error.code)

    @app.errorhandler(413)
    def say_how_large(error: Exception) -> Any:
        return answer_error(f"the file is larger than {most_megabytes:g} MB", 413)

    @app.get("/")
    def show_page() -> str:
        return flask.render_template(
            "page.html",
            title=judge.detector.title,
            checkpoint=judge.detector.path.name,
            looks=judge.reading.looks,
            most_megabytes=f"{most_megabytes:g}",
            most_bytes=app.config["MAX_CONTENT_LENGTH"],
        )

    @app.post("/judge")
    def answer() -> Any:
        return work.do(judge.answer)

    @app.post("/maps")
    def answer_maps() -> Any:
        face = flask.request.args.get("face", "")
        if not re.fullmatch("[1-9][0-9]{0,2}", face):
            return answer_error(f"there is no face {face[:20]!r}", 400)
        return work.do(lambda file: judge.answer_maps(file, int(face)))

    @app.post("/report")
    def answer_report() -> Any:
        return work.do(lambda file: download_case(build_case, file, judge.judge(file)))

    return app


class Worker:
    """Does what requests want with their pictures, one after the other."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        # Each thread that works with large pictures and networks keeps memory for
        # itself.
        self._thread = ThreadPoolExecutor(1)

    def do(self, task: Callable[[ImageFile], Any]) -> Any:
        """Return what a task makes of the request's picture; a 503 if many wait."""
        if not self._places.acquire(blocking=False):
            return answer_error("other pictures are being judged: try again", 503)
        try:
            name = flask.request.args.get("name", "")[:255] or "the file"
            file = ImageFile(name, flask.request.get_data(cache=False))
            return self._thread.submit(task, file).result()
        finally:
            self._places.release()


def answer_error(reason: str, status: int) -> tuple[dict[str, str], int]:
    """Return an error as the page shows it, and the HTTP status."""
    return {"error": make_printable(reason)}, status


def download_case(
    build_case: BuildCase, file: ImageFile, verdicts: Sequence[Verdict]
) -> tuple[bytes, dict[str, str]]:
    """Return a picture's case report, and the headers by which it is saved."""
    page = build_case(file, verdicts).encode(errors="backslashreplace")
    name = quote(f"{make_printable(file.name)}_case.html", safe="")
    return page, {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
    }


def describe_picture(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return what is said of a picture as a whole, and how many looks it took."""
    judged = [verdict for verdict in verdicts if not verdict.error]
    headline = judge_picture(judged)
    said = None
    if len(verdicts) > 1:
        said = f"{describe_headline(headline, len(verdicts))}."
    return {"name": headline.name, "title": TITLES[headline.name], "sentence": said}


def describe_face(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the page shows it; a score only where it means something."""
    error = verdict.error and make_printable(verdict.error)
    is_shown = verdict.fake_score is not None and not verdict.reasons
    real_below, threshold = verdict.zone
    return {
        "number": verdict.picture.number,
        "verdict": verdict.name,
        "title": TITLES[verdict.name],
        "fake_score": verdict.fake_score,
        "score": describe_fake_score(verdict.fake_score) if is_shown else None,
        "real_below": real_below,
        "threshold": threshold,
        "bounds": describe_bounds(verdict) if is_shown else None,
        "llr": verdict.llr,
        "reasons": list(verdict.reasons) if not error else [error],
        "sentences": [error] if error else explain_verdict(verdict),
    }


def pack_picture(drawn: Drawn) -> dict[str, Any]:
    """Return an image and its words as the page takes them, a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(drawn.pixels)).save(buffer, format="PNG")
    height, width, _ = drawn.pixels.shape
    return {
        "caption": drawn.caption,
        "alt": drawn.words,
        "width": width,
        "height": height,
        "png": base64.b64encode(buffer.getvalue()).decode("ascii"),
    }
