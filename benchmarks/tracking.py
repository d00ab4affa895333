"""How often is a video's face the right person's?

    python benchmarks/tracking.py --data-root datasets/fakes_dataset/test

Clips are made of real face crops, DIR/real/NAME.jpg, that are pasted, changed in each
frame, on photographs of scikit-learn and on blurred crops (tests/made_clips.py); their
fakes are DIR/fake/NAME_*.jpg. The tracker gets the right boxes, moved a little at
random, or, of a frame a second, what the finder finds.

A person is split when two numbers are given to it, and a number mixed when two persons
have it. A face is right when its number is the one that its person has most often, and
no other person has more often. First: how well looks tell persons apart, alone.
"""

import argparse
import functools
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

import numpy as np
from made_clips import KINDS, Clip, Cutout, change, make_clip
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

from files.bounds import COUNT
from hardware import show_progress
from loading import list_images, read_image
from loading.face_finding import Face, FaceFinder
from loading.videos.tracking import Tracker, describe

JITTER = 0.03  # of a box's centre and sides, in heights of the face
NUM_LOOKS = 4  # of each person
# Seconds between frames, and which boxes the tracker gets.
CONDITIONS = ((1.0, "jittered"), (1.0, "found"), (0.2, "jittered"))
NEAR = 0.5  # heights between the centres of a found face and the right one

Find = Callable[[Image.Image], list[Face]]


@dataclass
class Count:
    """What became of some clips' faces, persons and numbers."""

    faces: list[bool] = field(default_factory=list)
    split: list[bool] = field(default_factory=list)
    mixed: list[bool] = field(default_factory=list)
    cuts: Counter[str] = field(default_factory=Counter)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add, count = parser.add_argument, command_line.take(COUNT)
    add("--data-root", type=Path, required=True, metavar="DIR", help="with real/")
    add("--number", type=count, default=20, metavar="N", help="of clips of each kind")
    add("--people", type=count, default=60, metavar="N", help="that are seen in them")
    command_line.add_seed_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    find = FaceFinder().find
    people = list(itertools.islice(load_people(args.data_root, find), args.people))
    print_likenesses([real for real, _ in people], args.seed, find)
    print(
        "\n| kind | every | boxes | n | right | mixed | split | cuts missed | false |"
    )
    print("| --- " * 9 + "|")
    totals = {condition: Count() for condition in CONDITIONS}
    cases = list(itertools.product(KINDS, CONDITIONS))
    for kind, condition in show_progress(cases, desc="clips"):
        every, boxes = condition
        count = Count()
        for number in range(args.number):
            rng = np.random.default_rng([args.seed, number])
            clip = draw_clip(kind, people, every, rng)
            faces = list(list_faces(clip, find if boxes == "found" else None, rng))
            judge(clip, faces, count)
            judge(clip, faces, totals[condition])
        print(f"| {kind} | {every:g} s | {boxes} | {describe_count(count)} |")
    for (every, boxes), count in totals.items():
        print(f"| all | {every:g} s | {boxes} | {describe_count(count)} |")


def load_people(root: Path, find: Find) -> Iterator[tuple[Cutout, Cutout]]:
    """Yield people of whom there is a fake, each with it."""
    for name in list_images(root / "fake").images:
        host = name.split("_")[0] + Path(name).suffix
        images = read_image(root / "real" / host), read_image(root / "fake" / name)
        faces = [find(image) for image in images]
        if all(len(found) == 1 for found in faces):
            yield tuple(Cutout(i, f[0]) for i, f in zip(images, faces, strict=True))


def draw_clip(
    kind: str,
    people: Sequence[tuple[Cutout, Cutout]],
    every: float,
    rng: np.random.Generator,
) -> Clip:
    """Make a clip of people and places drawn at random."""
    order = rng.permutation(len(people))[:3].tolist()
    reals, fakes = zip(*(people[number] for number in order), strict=True)
    places = list_places([real for real, _ in people])
    views = [places[number] for number in rng.permutation(len(places))[:2].tolist()]
    seed = int(rng.integers(1000))
    return make_clip(kind, reals, views, every=every, seed=seed, fakes=fakes)


def list_places(people: Sequence[Cutout]) -> list[Image.Image]:
    """Return photographs, their halves, and blurred crops, as places."""
    photographs = load_photographs()
    width, height = photographs[0].size
    boxes = (0, 0, width, height // 2), (0, height // 2, width, height)
    halves = [photo.crop(box) for photo in photographs for box in boxes]
    blur = ImageFilter.GaussianBlur(4)
    crops = [person.image.filter(blur) for person in people[::3]]
    return [*photographs, *halves, *crops]


@functools.cache
def load_photographs() -> list[Image.Image]:
    """Return photographs of a building and of a flower."""
    return [Image.fromarray(pixels) for pixels in load_sample_images().images]


def print_likenesses(people: Sequence[Cutout], seed: int, find: Find) -> None:
    """Print how well likeness tells one person from two, a pair of looks each."""
    rng, looks, who = np.random.default_rng(seed), [], []
    for number, person in enumerate(people):
        for _ in range(NUM_LOOKS):
            image = change(person, rng).image
            for face in find(image)[:1]:
                looks.append(describe(image, face))
                who.append(number)
    pairs = np.triu_indices(len(who), 1)
    likeness = (np.array(looks) @ np.array(looks).T)[pairs]
    is_same = np.equal.outer(who, who)[pairs]
    print(
        f"likeness: {is_same.sum()} pairs of one person, {(~is_same).sum()} of two; "
        f"area under the ROC {roc_auc_score(is_same, likeness):.4f}; quantiles:",
        "one: 1, 5, 50 %:",
        np.quantile(likeness[is_same], [0.01, 0.05, 0.5]).round(2),
        "two: 50, 95, 99, 99.9 %:",
        np.quantile(likeness[~is_same], [0.5, 0.95, 0.99, 0.999]).round(2),
    )


def list_faces(
    clip: Clip, find: Find | None, rng: np.random.Generator
) -> Iterator[tuple[list[Face], list[int | None]]]:
    """Yield each frame's faces, and whose they are; None where nobody's."""
    for frame, seen in zip(clip.frames, clip.seen, strict=True):
        if find is None:
            order = rng.permutation(len(seen)).tolist()
            yield (
                [jitter(seen[n].face, rng) for n in order],
                [seen[n].person for n in order],
            )
            continue
        faces = find(frame.picture)
        yield faces, [find_owner(face, seen) for face in faces]


def jitter(face: Face, rng: np.random.Generator) -> Face:
    """Move a box and its landmarks a little."""
    moved = face.place(1.0, *rng.normal(0, JITTER * face.height, 2).tolist())
    noise = rng.normal(0, JITTER * face.height, (5, 2)) / 2
    marks = np.add(moved.landmarks, noise).tolist()
    return moved._replace(landmarks=tuple(map(tuple, marks)))


def find_owner(face: Face, seen: Sequence) -> int | None:
    """Return the person to whom a found face belongs; None where nobody's is near."""
    centre = np.reshape(face.box, (2, 2)).mean(axis=0)
    for person, right, _ in seen:
        distance = np.linalg.norm(np.reshape(right.box, (2, 2)).mean(axis=0) - centre)
        if distance < NEAR * right.height:
            return person
    return None


def judge(
    clip: Clip, faces: Sequence[tuple[list[Face], list[int | None]]], count: Count
) -> None:
    """Follow a clip's faces, and count what is right."""
    tracker, pairs = Tracker(), Counter()
    for frame, (found, owners) in zip(clip.frames, faces, strict=True):
        numbers = tracker.follow(frame, found)
        both = zip(owners, numbers, strict=True)
        pairs.update(pair for pair in both if pair[0] is not None)
    people, numbers = ({pair[n] for pair in pairs} for n in (0, 1))
    main = {p: max(numbers, key=lambda n: pairs[p, n]) for p in people}
    owner = {n: max(people, key=lambda p: pairs[p, n]) for n in numbers}
    for (person, number), times in pairs.items():
        is_right = main[person] == number and owner[number] == person
        count.faces += [is_right] * times
    count.split += [sum(pair[0] == person for pair in pairs) > 1 for person in people]
    count.mixed += [sum(pair[1] == number for pair in pairs) > 1 for number in numbers]
    right = {
        min(f.seconds for f in clip.frames if f.seconds >= cut)
        for cut in clip.cut_times
    }
    count.cuts["there"] += len(right)
    count.cuts["missed"] += len(right - set(tracker.cut_times))
    count.cuts["false"] += len(set(tracker.cut_times) - right)


def describe_count(count: Count) -> str:
    """Return the cells of some clips."""
    faces, split, mixed = count.faces, count.split, count.mixed
    return " | ".join(
        [
            str(len(faces)),
            f"{np.mean(faces):.3f}",
            f"{sum(mixed)} of {len(mixed)}",
            f"{sum(split)} of {len(split)}",
            f"{count.cuts['missed']} of {count.cuts['there']}",
            str(count.cuts["false"]),
        ]
    )


if __name__ == "__main__":
    command_line.run(main)
