"""Verdicts as tables: their columns; rows, kept as they come, to be gone on from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from files.atomic import open_json_lines, save_csv
from files.classes import CLASS_NAMES
from files.journal import Journal, open_journal
from files.provenance import VERSION, describe_file
from judging.base import BaseDetector
from judging.headlines import name_picture
from judging.pictures import Reading
from judging.verdicts import INCONCLUSIVE, NONE, Faces, Verdict
from loading import ImageFile
from loading.origin.traces import Origin

if TYPE_CHECKING:
    from hardware import Compute, Precision

PART = ".part"  # ends the name of what holds the rows until the tables are whole


def _get_place(verdict: Verdict, number: int) -> float | None:
    face = verdict.picture.face
    return None if face is None else (*face.box, face.confidence)[number]


def _get_origin(verdict: Verdict, name: str) -> Any:
    origin: Origin | None = verdict.picture.origin
    return None if origin is None else getattr(origin, name)


def _name_origin(*names: str) -> dict[str, Callable[[Verdict], Any]]:
    """Return columns that are called as what they hold of an `Origin`."""
    return {name: partial(_get_origin, name=name) for name in names}


def _list_generators(verdict: Verdict) -> str | None:
    traces = _get_origin(verdict, "generators") or ()
    return "; ".join(dict.fromkeys(trace.program for trace in traces)) or None


def _name_stretch(name: str, number: int) -> dict[str, Callable[[Verdict], Any]]:
    """Return the columns of an extreme stretch: mean logit difference, seconds."""

    def get(verdict: Verdict, entry: str) -> float | None:
        track = verdict.track
        return track and getattr(track.extremes[number], entry)

    entries = {"": "difference", "_from": "start", "_to": "end"}
    return {f"{name}{end}": partial(get, entry=e) for end, e in entries.items()}


_PLACE = ("face_left", "face_top", "face_right", "face_bottom", "face_confidence")
# Of the tables of predict.py, in their order.
_COLUMNS = {
    "path": lambda v: v.picture.name,
    "verdict": lambda v: None if v.name == NONE else v.name,
    "reason": lambda v: None if v.error else "; ".join(v.reasons) or None,
    "picture_verdict": lambda v: None,  # on all its faces, which a table knows
    "fake_score": lambda v: v.fake_score,
    "lowest": lambda v: v.lowest,
    "highest": lambda v: v.highest,
    "real_below": lambda v: v.zone[0],
    "threshold": lambda v: v.zone[1],
    "llr": lambda v: v.llr,
    "llr_limit": lambda v: v.llr_limit,
    "condition": lambda v: v.condition or None,
    "excess": lambda v: v.excess,
    "width": lambda v: v.picture.width,
    "height": lambda v: v.picture.height,
    "num_faces": lambda v: v.picture.num_faces,
    "face": lambda v: v.picture.number,
    **{name: partial(_get_place, number=n) for n, name in enumerate(_PLACE)},
    "person": lambda v: v.picture.person,
    "frames": lambda v: v.track and len(v.track.moments),
    "judged_frames": lambda v: v.track and v.track.num_judged,
    "inconclusive_frames": lambda v: v.track and v.track.share_inconclusive,
    "first_s": lambda v: v.track and v.track.ends[0],
    "last_s": lambda v: v.track and v.track.ends[1],
    "spread": lambda v: v.track and v.track.spread,
    **_name_stretch("lowest_stretch", 0),
    **_name_stretch("highest_stretch", 1),
    **_name_origin("sha256", "format", "num_bytes", "jpeg_quality"),
    **_name_origin("has_frames", "camera", "software", "taken", "source_type"),
    "generators": _list_generators,
    **_name_origin("credentials", "signer", "claim_generator"),
    "examined": lambda v: v.picture.examined,
    "version": lambda v: VERSION,
    "model": lambda v: v.detector.title,
    "checkpoint": lambda v: v.detector.provenance["path"],
    "checkpoint_sha256": lambda v: v.detector.provenance["sha256"],
    "precision": lambda v: None,  # of the run, likewise
    "error": lambda v: v.error,
}
COLUMNS = tuple(_COLUMNS)
# Of the table of a video's frames.
FRAME_COLUMNS = ("path", "person", "seconds", *_PLACE[:4], "fake_score", "verdict")
FRAME_COLUMNS += ("reason", "checkpoint")


def list_frame_rows(verdict: Verdict) -> list[list[Any]]:
    """Return a row for each frame that shows a person, by `FRAME_COLUMNS`."""
    person = verdict.picture.name, verdict.picture.person
    checkpoint = verdict.detector.provenance["path"]
    return [
        [
            *(*person, moment.seconds, *moment.box, moment.fake_score),
            INCONCLUSIVE if moment.reasons else CLASS_NAMES[moment.decision],
            *("; ".join(moment.reasons) or None, checkpoint),
        ]
        for moment in (verdict.track.moments if verdict.track else ())
    ]


def list_row(verdict: Verdict, **others: Any) -> dict[str, Any]:
    """Return plain values by `COLUMNS`; None where there is nothing to say.

    `others` are those of the columns which a verdict alone cannot fill.
    """
    return {name: get(verdict) for name, get in _COLUMNS.items()} | others


@dataclass(frozen=True)
class TableFiles:
    """Where verdicts are written as tables; None: nowhere.

    Attributes:
        csv, json: a row, or an object, for each face or person and detector.
        frames: a row for each frame of a video, person and detector.
    """

    csv: Path | None = None
    json: Path | None = None
    frames: Path | None = None

    @property
    def wanted(self) -> list[Path]:
        """Those that are written."""
        return [path for path in (self.csv, self.json, self.frames) if path is not None]

    @property
    def parts(self) -> list[Path]:
        """What holds the rows until the tables are whole; [] where none is wanted."""
        return [Path(f"{path}{PART}") for path in self.wanted[:1]]


class VerdictTables:
    """Keep a row for each face and detector, until all are written.

    Args:
        journal: holds for each picture its rows' values, and those of a video's frames.
        precision: arithmetic of the networks, for the rows to say.

    Attributes:
        num_before: how many pictures an ended run had judged.
    """

    def __init__(
        self, journal: Journal, precision: "Precision", *, with_frames: bool = False
    ) -> None:
        self._journal = journal
        self._precision = precision
        self._with_frames = with_frames
        self.num_before = journal.num_entries

    def skip(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Pass on what is still to be judged: all but the pictures that have rows.

        Raises:
            ValueError: the first paths are not those of these pictures.
        """
        paths = iter(paths)
        for (row, *_), number in zip(self.rows(), range(self.num_before), strict=False):
            path = next(paths, None)
            name = "not there" if path is None else ImageFile(path).name
            if name != row["path"]:
                raise ValueError(
                    f"cannot go on from {self._journal.path}: picture {number + 1} was "
                    f"{row['path']}, and is {name}; name the same pictures, or delete "
                    "the file to start anew"
                )
        yield from paths

    def add(self, faces: Faces) -> None:
        """Keep the rows of a picture."""
        verdicts = [verdict for face in faces for verdict in face]
        of_detectors = list(zip(*faces, strict=True))
        names = [v[0].name if len(v) == 1 else name_picture(v) for v in of_detectors]
        names = [None if name == NONE else name for name in names]
        rows = [
            self._list_values(verdict, name)
            for verdict, name in zip(verdicts, cycle(names), strict=False)
        ]
        wanted = verdicts if self._with_frames else []
        self._journal.append([rows, [r for v in wanted for r in list_frame_rows(v)]])

    def _list_values(self, verdict: Verdict, picture_verdict: str | None) -> list[Any]:
        precision = verdict.detector.describe_precision(self._precision)
        row = list_row(verdict, picture_verdict=picture_verdict, precision=precision)
        return list(row.values())

    def rows(self) -> Iterator[list[dict[str, Any]]]:
        """Yield each picture's rows: plain values by `COLUMNS`."""
        for rows, _ in self._journal:
            yield [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def write(self, files: TableFiles) -> None:
        """Write the tables that are wanted, each whole or not at all."""
        if files.csv is not None:
            rows = (row.values() for rows in self.rows() for row in rows)
            save_csv(rows, files.csv, header=COLUMNS)
        if files.json is not None:
            with open_json_lines(files.json) as write_value:
                for row in (row for rows in self.rows() for row in rows):
                    write_value(row)
        if files.frames is not None:
            rows = (row for _, rows in self._journal for row in rows)
            save_csv(rows, files.frames, header=FRAME_COLUMNS)


@contextmanager
def open_tables(
    files: TableFiles,
    detectors: Sequence[BaseDetector],
    compute: "Compute",
    reading: Reading,
    *,
    stability: bool,
    resume: bool,
) -> Iterator[VerdictTables]:
    """Lend tables, of which one or more are wanted, and write them if all went well.

    With `resume` they go on from the rows that an ended run left beside the first file.

    Raises:
        ValueError, OSError: as `open_journal`.
    """
    (path,) = files.parts
    settings = _describe_settings(detectors, compute, reading, stability=stability)
    # Pictures are judged in the batches of a run that was not ended.
    unit = compute.batch_size
    with open_journal(path, settings, resume=resume, unit=unit) as journal:
        with_frames = files.frames is not None
        tables = VerdictTables(journal, compute.precision, with_frames=with_frames)
        try:
            yield tables
        except KeyboardInterrupt as interruption:
            if journal.num_entries:
                interruption.args = (
                    f"{str(interruption) or 'interrupted'}; pictures judged so far: "
                    f"{journal.num_entries}, in {path}; --resume goes on after the "
                    "last whole batch of them",
                )
            raise
        tables.write(files)


def _describe_settings(
    detectors: Sequence[BaseDetector],
    compute: "Compute",
    reading: Reading,
    *,
    stability: bool,
) -> dict[str, Any]:
    """Return what the rows depend on beside the pictures, as plain values."""
    trusted = reading.trusted and describe_file(reading.trusted)["sha256"]
    return {
        "version": VERSION,
        "columns": list(COLUMNS),
        "checkpoints": [detector.provenance for detector in detectors],
        "device": compute.device.type,
        "precision": compute.precision.name,
        "batch size": compute.batch_size,
        "finding of faces": reading.looks,
        "least height": reading.least_height,
        "trusted certificates": trusted,
        "every": reading.sampling.every,
        "most frames": reading.sampling.most_frames,
        "margin": reading.margin,
        "stability": stability,
    }
