"""The page's requests: a picture or a video comes, verdicts and case report go back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from explaining.pictures import draw_boxes, draw_maps
from files.names import VIDEO_SUFFIXES, make_printable
from hardware import Compute, Precision
from judging.clips import judge_clip
from judging.detector import Detector
from judging.pictures import (
    InputSpec,
    Reading,
    collate_pictures,
    read_picture,
    set_aside,
)
from judging.verdicts import Verdict, judge_batches
from judging.words import (
    NOT_PROOF,
    capitalise,
    describe_cuts,
    describe_faces,
    describe_knowledge,
    describe_looked,
    explain_counting,
)
from loading import ImageFile
from loading.origin.traces import describe_generation, describe_origin
from loading.videos.frames import Heed
from serving.answers import describe_face, describe_whole, pack_picture, pack_time_line
from serving.guard import HEADERS, LIMITS, VIDEO, Limits, explain_refusal
from serving.work import BusyError, Worker

try:
    import flask
except ImportError:  # an optional extra: requirements-page.txt
    flask = None

NAMELESS = "(unnamed)"  # what a request that gives no name has sent
STEP = 8  # faces of a video, between which pictures are judged
# From a picture or a video and its verdicts, one a face or person, to a page.
BuildCase = Callable[[ImageFile, Sequence[Verdict]], str]


@dataclass(frozen=True)
class Judge:
    """A detector, and how it judges the pictures that are sent."""

    detector: Detector
    precision: Precision
    reading: Reading

    def judge(
        self, file: ImageFile, *, number: int | None = None, stability: bool = True
    ) -> list[Verdict]:
        """Judge a picture as predict.py does, to the last bit.

        Return the verdict on each face, from the left, or on that of the number alone,
        counted from 1; or on the whole picture.
        """
        read = read_picture(file, [InputSpec.of(self.detector)], self.reading)
        if number is not None:
            read = read[number - 1 : number]
        batches, detectors = [collate_pictures(read)], [self.detector]
        judged = judge_batches(batches, detectors, self.precision, stability=stability)
        return [verdict for _, (verdict,) in judged]

    def watch(self, file: ImageFile, heed: Heed) -> list[Verdict]:
        """Judge a video as predict.py does, to the last bit.

        `heed` is as for `judge_clip`. Return the verdict on each person; last one with
        an error, where there is one.
        """
        if not self.reading.looks:
            picture, _ = set_aside(Path(file.name))
            return [Verdict(picture, self.detector, error=picture.error)]
        how = Compute(self.precision, STEP), self.reading
        persons = judge_clip(file, [self.detector], *how, heed=heed)
        return [verdict for (verdict,) in persons]

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
            **self._describe(verdicts),
            "looked": describe_faces(picture),
            "picture": pack_picture(draw_boxes(file, faces)) if faces else None,
            "faces": [{**describe_face(verdict), "maps": maps} for verdict in verdicts],
        }

    def answer_video(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """Explain the verdicts that `watch` returned of a video.

        Returns:
            As `answer` does, the time line as its picture; with a `note` on why a video
            that breaks off was not judged to its end.
        """
        judged = [verdict for verdict in verdicts if not verdict.error]
        note = make_printable(verdicts[-1].error or "")
        if not judged:
            return {"error": note}
        clip = judged[0].picture.clip
        has_line = any(verdict.track for verdict in judged)
        answer = self._describe(verdicts)
        answer["limits"].append(f"{capitalise(explain_counting(self.detector))}.")
        return {
            **answer,
            "looked": f"{describe_looked(clip)}. Cuts: {describe_cuts(clip)}.",
            "note": note,
            "picture": pack_time_line(judged) if has_line else None,
            "faces": list(map(describe_face, judged)),
        }

    def _describe(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """Return what is said of a picture as of a video."""
        picture = next(verdict.picture for verdict in verdicts if not verdict.error)
        generated = describe_generation(picture.origin)
        if generated:
            generated = f"{capitalise(generated)}: see below."
        return {
            "name": make_printable(picture.name),
            "size": f"{picture.width} x {picture.height}",
            "headline": describe_whole(verdicts),
            "generated": generated,
            "limits": [describe_knowledge(self.detector), NOT_PROOF],
            "checkpoint_sha256": self.detector.provenance["sha256"],
            "precision": self.precision.name,
            "device": str(self.precision.device),
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
    limits: Limits = LIMITS,
) -> flask.Flask:
    """Build the page's application. It keeps nothing that is sent to it.

    Args:
        build_case: of a picture or a video that was judged, to be downloaded.
        host: the name or address that the server listens at.

    Returns:
        It; its extension `worker` is to be stopped when the server ends.
    """
    app = flask.Flask(__name__)
    work = app.extensions["worker"] = Worker()

    @app.before_request
    def refuse_others() -> Any:
        request = flask.request
        if reason := explain_refusal(request.headers, host):
            return answer_error(reason, 403)
        if limits.is_exceeded(request.path, request.content_length or 0):
            most = limits.get_megabytes(request.path)
            return answer_error(f"the file is larger than {most:g} MB", 413)
        return None

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        response.headers.update(HEADERS)
        return response

    @app.errorhandler(404)
    @app.errorhandler(405)
    def say_what_there_is(error: Exception) -> Any:
        if "POST" in (getattr(error, "valid_methods", None) or ()):
            path = flask.request.path
            noun = "video" if path == VIDEO else "picture"
            return answer_error(f"POST the {noun}'s bytes to {path}", error.code)
        return answer_error("there is a page at / and nothing else", error.code)

    @app.errorhandler(BusyError)
    def say_what_to_wait_for(busy: BusyError) -> Any:
        return answer_error(str(busy), 503)

    @app.get("/")
    def show_page() -> str:
        return flask.render_template(
            "page.html",
            title=judge.detector.title,
            checkpoint=judge.detector.path.name,
            looks=judge.reading.looks,
            limits=limits,
            video_suffixes=" ".join(VIDEO_SUFFIXES),
        )

    @app.post("/judge")
    def answer() -> Any:
        return answer_or_refuse(work.do(judge.answer, take_file()))

    @app.post("/maps")
    def answer_maps() -> Any:
        face = flask.request.args.get("face", "")
        if not re.fullmatch("[1-9][0-9]{0,2}", face):
            return answer_error(f"there is no face {face[:20]!r}", 400)
        answer = work.do(lambda file: judge.answer_maps(file, int(face)), take_file())
        return answer_or_refuse(answer)

    @app.post("/report")
    def answer_report() -> Any:
        def report(file: ImageFile) -> Any:
            page = build_case(file, judge.judge(file))
            name = quote(f"{make_printable(file.name)}_case.html", safe="")
            return page.encode(errors="backslashreplace"), {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            }

        return work.do(report, take_file())

    @app.post(VIDEO)
    def answer_video() -> flask.Response:
        def report(file: ImageFile, heed: Heed) -> dict[str, Any]:
            verdicts = judge.watch(file, heed)
            answer = judge.answer_video(verdicts)
            if "error" not in answer:  # asked for later, it would take as long again
                answer["report"] = build_case(file, verdicts)
            return answer

        watch, lines = work.watch(report, take_file(), limits.video_seconds)
        response = flask.Response(lines, mimetype="application/x-ndjson")
        response.call_on_close(watch.stop)
        return response

    return app


def take_file() -> ImageFile:
    """Return what was sent.

    Raises:
        BusyError: the server did not wait for it.
    """
    request = flask.request
    data = request.get_data(cache=False)
    if request.content_length and not data:
        raise BusyError("other videos are on their way: try again")
    return ImageFile(request.args.get("name", "")[:255] or NAMELESS, data)


def answer_error(reason: str, status: int) -> tuple[dict[str, str], int]:
    """Return an error as the page shows it, and the HTTP status."""
    return {"error": make_printable(reason)}, status


def answer_or_refuse(answer: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return an answer and the HTTP status: 422 where the picture is not judged."""
    return answer, 422 if "error" in answer else 200
