"""The page's requests: a picture comes, its verdict and maps go back."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from explaining.explanation import to_bytes
from explaining.pictures import describe_shown, explain_sample
from files.names import make_printable
from hardware import Precision
from judging.detector import Detector
from judging.pictures import View, collate_pictures, read_faces, read_picture
from judging.verdicts import Verdict, judge_batches
from judging.words import describe_threshold, explain_verdict
from loading import ImageFile, read_image
from scores import describe_fake_score
from serving.guard import HEADERS, explain_refusal

try:
    import flask
except ImportError:  # an optional extra: requirements-page.txt
    flask = None

MOST_WAITING = 4  # requests, the one that is being judged included
MEGA = 1_000_000
BOXES_SIDE = 800  # pixels of the picture in which faces are marked
HEADLINES = {"fake": "Called fake", "real": "Called real"}  # else: Uncertain


@dataclass(frozen=True)
class Judge:
    """A detector, and how it judges the pictures that are sent.

    Attributes:
        detector: who judges.
        precision: arithmetic of its network.
        finds_faces: of a picture that is not a face crop, judge each face.
        margin: of these faces' crops; None: as the detector was trained.
    """

    detector: Detector
    precision: Precision
    finds_faces: bool = False
    margin: float | None = None

    def judge(self, file: ImageFile) -> list[Verdict]:
        """Judge a picture as predict.py does, to the last bit.

        Returns:
            The verdict on the whole picture, or on each face of one that is not a face
            crop, the largest first.
        """
        views = [View.of(self.detector, self.margin)]
        read = [read_picture(file, views)]
        if self.finds_faces and read[0][0].warning:
            faces = read_faces(file, views)
            read = faces if faces[0][0].face else read
        batches, detectors = [collate_pictures(read)], [self.detector]
        judged = judge_batches(batches, detectors, self.precision, margin=self.margin)
        return [verdict for _, (verdict,) in judged]

    def answer(self, file: ImageFile) -> dict[str, Any]:
        """Judge a picture and explain the verdict; of several faces, the most fake one.

        Returns:
            What the page shows, as JSON takes it: only an `error` if the picture cannot
            be judged.
        """
        verdicts = self.judge(file)
        shown = max(verdicts, key=_get_fake_score)
        if shown.error:
            return {"error": make_printable(shown.error)}
        faces = [verdict for verdict in verdicts if verdict.picture.face]
        return {
            "name": make_printable(file.name),
            "face": describe_faces(faces, shown),
            "verdict": shown.name,
            "headline": HEADLINES.get(shown.name, "Uncertain"),
            "fake_score": shown.fake_score,
            "score": describe_fake_score(shown.fake_score),
            "threshold": self.detector.threshold,
            "llr": shown.llr,
            "size": f"{shown.picture.width} x {shown.picture.height}",
            "warning": shown.picture.warning,
            "sentences": explain_verdict(shown),
            "pictures": [
                *draw_boxes(file, faces),
                *draw_maps(shown, self.precision),
            ],
        }


def _get_fake_score(verdict: Verdict) -> float:
    """Return P(fake), or a number below all of them if there is none."""
    return -1.0 if verdict.fake_score is None else verdict.fake_score


def build_app(
    judge: Judge, *, host: str = "127.0.0.1", most_megabytes: float = 20
) -> flask.Flask:
    """Build the page's application. It keeps nothing that is sent to it.

    Args:
        judge: of the pictures.
        host: the name or address that the server listens at.
        most_megabytes: size of the largest file that is taken.
    """
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = int(most_megabytes * MEGA)
    places = threading.BoundedSemaphore(MOST_WAITING)
    # Each thread that works with large pictures and networks keeps memory for itself.
    worker = ThreadPoolExecutor(1)

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
            threshold=describe_threshold(judge.detector),
            finds_faces=judge.finds_faces,
            most_megabytes=f"{most_megabytes:g}",
            most_bytes=app.config["MAX_CONTENT_LENGTH"],
        )

    @app.post("/judge")
    def answer() -> Any:
        if not places.acquire(blocking=False):
            return answer_error("other pictures are being judged: try again", 503)
        try:
            name = flask.request.args.get("name", "")[:255] or "the file"
            file = ImageFile(name, flask.request.get_data(cache=False))
            return worker.submit(judge.answer, file).result()
        finally:
            places.release()

    return app


def answer_error(reason: str, status: int) -> tuple[dict[str, str], int]:
    """Return an error as the page shows it, and the HTTP status."""
    return {"error": make_printable(reason)}, status


def describe_faces(faces: Sequence[Verdict], shown: Verdict) -> str | None:
    """Say which of several faces the verdict is on, and what the others got."""
    if not faces:
        return None
    if len(faces) == 1:
        return "One face was found in the picture, and this is the verdict on it."
    said = "; ".join(
        f"Face {number}: {face.name}, {describe_fake_score(_get_fake_score(face))}"
        for number, face in enumerate(faces, start=1)
    )
    which = 1 + [face is shown for face in faces].index(True)
    return f"{len(faces)} faces were found; this is said of face {which}. {said}."


def draw_boxes(file: ImageFile, faces: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the picture with its faces numbered, as `draw_maps` does."""
    if not faces:
        return []
    picture = read_image(file)
    scale = BOXES_SIDE / max(picture.size)
    picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
    brush = ImageDraw.Draw(picture)
    outlined = {"font_size": 24, "stroke_width": 2, "stroke_fill": "black"}
    for number, face in enumerate(faces, start=1):
        box = [scale * place for place in face.picture.face.box]
        for color, width in (("black", 5), ("white", 2)):
            brush.rectangle(box, outline=color, width=width)
        brush.text((box[0] + 6, box[1] + 4), str(number), "white", **outlined)
    alt = f"Your picture, {len(faces)} faces marked with boxes and numbers."
    return [pack_picture("Faces that were found", alt, np.asarray(picture))]


def draw_maps(verdict: Verdict, precision: Precision) -> list[dict[str, Any]]:
    """Return the picture as the detector saw it and its maps, each with its words.

    Returns:
        For each a caption, an alternative text, its size and the PNG file in base64.
    """
    explanation = explain_sample(
        verdict.sample, verdict.label, verdict.detector, precision
    )
    height, width, _ = explanation.image.shape
    alt = f"Your picture, scaled to {width} x {height} pixels."
    caption = f"As the detector saw it; {describe_shown(explanation.methods)}"
    pictures = [pack_picture(caption, alt, to_bytes(explanation.image))]
    for number, alt in enumerate(explanation.describe()):
        method = explanation.methods[number]
        caption = f"{method.title[0].upper()}{method.title[1:]} ({method.checked})"
        pictures.append(pack_picture(caption, alt, explanation.draw(number)))
    return pictures


def pack_picture(caption: str, alt: str, pixels: np.ndarray) -> dict[str, Any]:
    """Return an image uint8 (H, W, 3) and its words as the page takes them."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    height, width, _ = pixels.shape
    return {
        "caption": caption,
        "alt": alt,
        "width": width,
        "height": height,
        "png": base64.b64encode(buffer.getvalue()).decode("ascii"),
    }
