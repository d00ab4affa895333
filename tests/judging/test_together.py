"""Pictures dealt out to processes, as one of two sees it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hardware import Compute, distributed, processes
from judging.together import judge_together

PATHS = [*(f"{n}.png" for n in range(6)), "clip.mp4"]
DETECTORS = [SimpleNamespace(of_tracks="a's of tracks"), SimpleNamespace(of_tracks="b")]


@dataclass(frozen=True)
class Stub:
    name: str
    detector: Any
    sample: np.ndarray | None
    track: str


def judge(paths: Iterable[Path]) -> Iterator[list[list[Stub]]]:
    for path in paths:
        track = "a person's" * (path.suffix == ".mp4")
        yield [[Stub(path.name, d, np.ones(2), track) for d in DETECTORS]]


@pytest.fixture
def second(monkeypatch) -> None:
    """This is the second of two processes; it is told all, and gets what it gives."""
    for name, value in (("get_world_size", 2), ("get_rank", 1)):
        for module in (distributed, processes):
            monkeypatch.setattr(module, name, lambda value=value: value)
    monkeypatch.setattr(distributed, "tell_all", lambda names: names or PATHS)
    monkeypatch.setattr(distributed, "gather_to_main", lambda judged: [judged])


@pytest.mark.parametrize("with_samples", [False, True])
def test_judge_together_takes_every_second_batch(second, with_samples):
    compute = Compute(batch_size=2, shared=True)
    found = judge_together([], judge, DETECTORS, compute, with_samples=with_samples)
    said = [verdict for faces in found for face in faces for verdict in face]
    assert [s.name for s in said[::2]] == ["2.png", "3.png", "clip.mp4"]
    assert [s.detector for s in said] == [*DETECTORS * 2, "a's of tracks", "b"]
    assert {s.sample is not None for s in said} == {with_samples}


def test_judge_together_alone_takes_paths_as_they_come():
    paths = iter([Path("0.png"), Path("1.png")])
    found = judge_together(paths, judge, DETECTORS, Compute())
    assert next(found)[0][0].name == "0.png"
    assert next(paths) == Path("1.png")
