"""Pictures judged by several processes together, each file by one of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from hardware import processes
from judging.base import BaseDetector
from judging.verdicts import Faces, Verdict

if TYPE_CHECKING:
    from hardware import Compute


def judge_together(
    paths: Iterable[Path],
    judge: Callable[[Iterable[Path]], Iterator[Faces]],
    detectors: Sequence[BaseDetector],
    compute: "Compute",
    *,
    with_samples: bool = False,
) -> Iterator[Faces]:
    """Judge pictures in all processes that torchrun started.

    Alone, paths are taken as they come. Several processes wait for the whole list,
    which they all hold, and for each other after every batch.

    Args:
        paths: what to judge; only the main process takes from it.
        judge: from a stream of paths to the faces in each, in order.
        compute: says which batches this process is dealt.
        with_samples: verdicts of other processes hold what the detector saw.

    Yields:
        In the main process, each picture's faces in the order of the paths; nothing in
        the others.
    """
    if processes.get_world_size() == 1:
        yield from judge(paths)
        return
    from hardware import distributed  # PyTorch, which several processes have

    # Texts take a third of the memory of paths.
    names = list(map(str, paths)) if processes.is_main() else None
    names = distributed.tell_all(names)
    dealt = compute.deal(len(names))
    mine = judge(Path(names[number]) for batch in dealt for number in batch)
    num_batches = -(-len(names) // compute.batch_size)
    num_rounds = -(-num_batches // processes.get_world_size())
    for batch in islice(chain(dealt, repeat(range(0))), num_rounds):
        judged = [_pack(faces, with_samples) for faces in islice(mine, len(batch))]
        for faces in chain(*distributed.gather_to_main(judged)):
            yield _unpack(faces, detectors)


def _pack(faces: Faces, with_samples: bool) -> Faces:
    """Take out of verdicts what other processes have, or do not want."""

    def pack(verdict: Verdict) -> Verdict:
        # A sample is part of its batch, and would take all of that with it.
        is_wanted = with_samples and verdict.sample is not None
        sample = verdict.sample.copy() if is_wanted else None
        return replace(verdict, detector=None, sample=sample)

    return [list(map(pack, face)) for face in faces]


def _unpack(faces: Faces, detectors: Sequence[BaseDetector]) -> Faces:
    """Give verdicts their detectors back."""
    return [
        [
            replace(v, detector=d.of_tracks if v.track else d)
            for v, d in zip(face, detectors, strict=True)
        ]
        for face in faces
    ]
