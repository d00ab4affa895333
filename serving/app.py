"""The page's requests: a picture comes, its verdict and maps go back."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from explaining.pictures import explain_sample
from files.names import make_printable
from judging.pictures import collate_pictures, read_faces, read_picture
from judging.verdicts import Detector, Judged, Verdict, judge_batches
from judging.words import describe_threshold, explain_verdict
from loading.image_files import read_image_and_size
from scores import describe_fake_score
from serving.guard import HEADERS, explain_refusal

try:
    import flask
except ImportError:  # an optional extra: requirements-page.txt
    flask = None

MOST_WAITING = 4  # requests, the one that is being judged included
MEGA = 1_000_000
BOXES_SIDE = 800  # pixels of the picture in which faces are marked
# By a verdict's name: what the page says first.
HEADLINES = {
    "fake": "Called fake",
    "real": "Called real",
    "fake?": "Uncertain",
    "real?": "Uncertain",
}


def build_app(
    detector: Detector,
    *,
    host: str = "127.0.0.1",
    most_megabytes: float = 20,
    face_side: float | None = None,
) -> flask.Flask:
    """Build the page's application. Nothing that is sent to it is kept.

    Args:
        detector: who judges.
        host: the name or address that the server listens at.
        most_megabytes: size of the largest file that is taken.
        face_side: of pictures that are no face crops, judge each face, cut out with
            this side in heights of its box; None judges whole pictures only.
    """
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = int(most_megabytes * MEGA)
    turn, places = threading.Lock(), threading.BoundedSemaphore(MOST_WAITING)

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
        return answer_error(f"the file has more than {most_megabytes:g} MB", 413)

    @app.get("/")
    def show_page() -> str:
        return flask.render_template(
            "page.html",
            title=detector.model.title,
            checkpoint=detector.checkpoint_path.name,
            threshold=describe_threshold(detector),
            finds_faces=face_side is not None,
            most_megabytes=f"{most_megabytes:g}",
            most_bytes=app.config["MAX_CONTENT_LENGTH"],
        )

    @app.post("/judge")
    def judge() -> Any:
        if not places.acquire(blocking=False):
            return answer_error("other pictures are being judged: try again", 503)
        try:
            data = flask.request.get_data(cache=False)
            name = flask.request.args.get("name", "the file")
            with turn:
                path = Path(name[:255] or "the file")
                return answer(path, data, detector, face_side)
        finally:
            places.release()

    return app


def answer_error(reason: str, status: int) -> tuple[dict[str, str], int]:
    """Return an error as the page shows it, and the HTTP status."""
    return {"error": make_printable(reason)}, status


def answer(
    name: Path, data: bytes, detector: Detector, face_side: float | None = None
) -> dict[str, Any]:
    """Judge a picture and explain the verdict; of several faces, the one most fake.

    Args:
        name: what the file is called.
        data: its content.
        detector: who judges.
        face_side: as of `build_app`.

    Returns:
        What the page shows, as JSON takes it: an `error` alone where it is no picture
        that can be judged.
    """
    everything = judge_data(name, data, detector, face_side)
    judged = max(everything, key=get_fake_score)
    faces = [one for one in everything if one.picture.face]
    (verdict,) = judged.verdicts
    if verdict.error:
        return {"error": make_printable(verdict.error)}
    return {
        "name": make_printable(str(name)),
        "face": describe_faces(faces, judged),
        "verdict": verdict.name,
        "headline": HEADLINES[verdict.name],
        "fake_score": verdict.fake_score,
        "score": describe_fake_score(verdict.fake_score),
        "threshold": detector.model.threshold,
        "llr": verdict.llr,
        "size": f"{judged.picture.width} x {judged.picture.height}",
        "warning": judged.picture.warning,
        "sentences": explain_verdict(verdict),
        "pictures": [
            *draw_boxes(data, faces),
            *draw_pictures(judged.sample, verdict),
        ],
    }


def judge_data(
    name: Path, data: bytes, detector: Detector, face_side: float | None = None
) -> list[Judged]:
    """Judge a file's content as predict.py judges the file, to the last bit.

    Args and Returns: as of `answer`; the whole picture, or each face of one that is no
        face crop, the largest first.
    """
    read = [read_picture(name, data=data)]
    if read[0][0].warning and face_side is not None:
        faces = read_faces(name, side=face_side, data=data)
        read = faces if faces[0][0].face else read
    return list(judge_batches([collate_pictures(read)], [detector]))


def get_fake_score(judged: Judged) -> float:
    """Return the only detector's P(fake); below all of them where there is none."""
    score = judged.verdicts[0].fake_score
    return -1.0 if score is None else score


def describe_faces(faces: Sequence[Judged], shown: Judged) -> str | None:
    """Say which of several faces the verdict is on, and what the others got."""
    if not faces:
        return None
    said = "; ".join(
        f"Face {number}: {face.verdicts[0].name}, "
        f"{describe_fake_score(get_fake_score(face))}"
        for number, face in enumerate(faces, start=1)
    )
    which = 1 + [face is shown for face in faces].index(True)
    if len(faces) == 1:
        return "One face was found in the picture; this is said of it."
    return f"{len(faces)} faces were found; this is said of face {which}. {said}."


def draw_boxes(data: bytes, faces: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the picture with its faces numbered, as `draw_pictures` does."""
    if not faces:
        return []
    picture, _ = read_image_and_size(Path("picture"), data=data)
    scale = BOXES_SIDE / max(picture.size)
    picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
    brush = ImageDraw.Draw(picture)
    for number, face in enumerate(faces, start=1):
        box = [scale * place for place in face.picture.face.box]
        for color, width in (("black", 5), ("white", 2)):
            brush.rectangle(box, outline=color, width=width)
        corner = (box[0] + 6, box[1] + 4)
        brush.text(
            corner,
            str(number),
            "white",
            font_size=24,
            stroke_width=2,
            stroke_fill="black",
        )
    alt = f"Your picture, {len(faces)} faces marked with boxes and numbers."
    return [pack_picture("Faces that were found", alt, np.asarray(picture))]


def pack_picture(caption: str, alt: str, pixels: np.ndarray) -> dict[str, Any]:
    """Return an image uint8 (H, W, 3) and its words as the page takes them."""
    height, width, _ = pixels.shape
    words = {"caption": caption, "alt": alt, "width": width, "height": height}
    return {**words, "png": encode_png(pixels)}


def draw_pictures(sample: Tensor, verdict: Verdict) -> list[dict[str, Any]]:
    """Return the picture as the detector saw it and both maps, each with its words.

    Returns:
        For each a caption, an alternative text, its size and the PNG file in base64.
    """
    detector = verdict.detector
    explanation = explain_sample(
        sample, verdict.label, detector.model, detector.precision
    )
    saliency, grad_cam = explanation.describe()
    size = f"{sample.shape[2]} x {sample.shape[1]} pixels"
    drawn = (
        (
            "As the detector saw it",
            f"Your picture, scaled to {size}.",
            np.uint8(255 * explanation.image + 0.5),
        ),
        ("Grad-CAM", grad_cam, explanation.draw_grad_cam()),
        ("Saliency", saliency, explanation.draw_saliency()),
    )
    return [pack_picture(*one) for one in drawn]


def encode_png(pixels: np.ndarray) -> str:
    """Return an image uint8 (H, W, 3) as a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
