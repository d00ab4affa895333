"""The page's requests: a picture comes, its verdict and maps go back."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

import command_line
from explaining.pictures import explain_sample
from judging.pictures import collate_pictures, read_picture
from judging.verdicts import Detector, Judged, Verdict, judge_batches
from judging.words import describe_threshold, explain_verdict
from serving.guard import HEADERS, explain_refusal

try:
    import flask
except ImportError:  # an optional extra: requirements-page.txt
    flask = None

MOST_WAITING = 4  # requests, the one that is being judged included
MEGA = 1_000_000
# By a verdict's name: what the page says first.
HEADLINES = {
    "fake": "Called fake",
    "real": "Called real",
    "fake?": "Uncertain",
    "real?": "Uncertain",
}


def build_app(
    detector: Detector, *, host: str = "127.0.0.1", most_megabytes: float = 20
) -> flask.Flask:
    """Build the page's application. Nothing that is sent to it is kept.

    Args:
        detector: who judges.
        host: the name or address that the server listens at.
        most_megabytes: size of the largest file that is taken.
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
                return answer(Path(name[:255] or "the file"), data, detector)
        finally:
            places.release()

    return app


def answer_error(reason: str, status: int) -> tuple[dict[str, str], int]:
    """Return an error as the page shows it, and the HTTP status."""
    return {"error": command_line.make_printable(reason)}, status


def answer(name: Path, data: bytes, detector: Detector) -> dict[str, Any]:
    """Judge a picture and explain the verdict.

    Args:
        name: what the file is called.
        data: its content.
        detector: who judges.

    Returns:
        What the page shows, as JSON takes it: an `error` alone where it is no picture
        that can be judged.
    """
    judged = judge_data(name, data, detector)
    (verdict,) = judged.verdicts
    if verdict.error:
        return {"error": command_line.make_printable(verdict.error)}
    return {
        "name": command_line.make_printable(str(name)),
        "verdict": verdict.name,
        "headline": HEADLINES[verdict.name],
        "fake_score": verdict.fake_score,
        "score": command_line.describe_fake_score(verdict.fake_score),
        "threshold": detector.model.threshold,
        "llr": verdict.llr,
        "size": f"{judged.picture.width} x {judged.picture.height}",
        "warning": judged.picture.warning,
        "sentences": explain_verdict(verdict),
        "pictures": draw_pictures(judged.sample, verdict),
    }


def judge_data(name: Path, data: bytes, detector: Detector) -> Judged:
    """Judge a file's content as predict.py judges the file, to the last bit."""
    batch = collate_pictures([read_picture(name, data=data)])
    (judged,) = judge_batches([batch], [detector])
    return judged


def draw_pictures(sample: Tensor, verdict: Verdict) -> list[dict[str, str]]:
    """Return the picture as the detector saw it and both maps, each with its words.

    Returns:
        For each a caption, an alternative text and the PNG file in base64.
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
    return [
        {"caption": caption, "alt": alt, "png": encode_png(pixels)}
        for caption, alt, pixels in drawn
    ]


def encode_png(pixels: np.ndarray) -> str:
    """Return an image uint8 (H, W, 3) as a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
