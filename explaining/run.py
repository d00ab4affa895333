"""What saliency_map.py and grad_cam_analysis.py share, from judged images to files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from explaining.checks import check_maps, describe_checks
from explaining.explanation import Explanation, Method, compute_mean_maps
from explaining.figures import (
    Section,
    save_checks,
    save_mean_maps,
    save_picture,
    save_sections,
)
from explaining.judged_images import (
    ExplainFunction,
    Group,
    JudgedImages,
    load_batches,
    rank_random,
    rank_telling,
)
from faces_dataset import count_classes
from files.atomic import check_output
from hardware import show_progress

# Images of a group that are tried, for each that is shown, where maps are empty.
MOST_TRIED = 4


def explain_pictures(
    judged: JudgedImages, method: Method, explain: ExplainFunction, folder: Path
) -> list[Path]:
    """Draw each of the user's pictures with its map, in a figure of its own.

    Args:
        judged: the pictures.
        method: of the maps.
        explain: computes the map of one of them.
        folder: where the figures go.

    Returns:
        The files.

    Raises:
        ValueError: two pictures would share a figure, or a figure would replace one.
        OSError: the folder cannot be written. Nothing is written then.
    """
    names = [Path(judged.images.get_name(i)) for i in range(len(judged.images))]
    starts = name_figures(names, folder / judged.detector.title, method)
    details = {**judged.details, **method.settings}
    written = []
    for index, start in enumerate(starts):
        written += save_picture(start, judged.explain(explain, index), details)
    return written


def name_figures(names: Sequence[Path], start: Path, method: Method) -> list[str]:
    """Return what the pictures' figures are called, less `.png`, or refuse them."""
    starts = [f"{start}_{name.stem}_{method.name}_map" for name in names]
    for number, start in enumerate(starts):
        if start in starts[:number]:
            twin = names[starts.index(start)]
            raise ValueError(
                f"{twin} and {names[number]} would both be drawn as {start}.png; "
                "explain one at a time, each with its own --figures-dir"
            )
        check_output(Path(f"{start}.png"), names)
    return starts


def explain_dataset(
    judged: JudgedImages,
    method: Method,
    explain: ExplainFunction,
    figures: Mapping[str, Sequence[int]],
    *,
    num: int,
    choose: str,
    seed: int,
) -> list[Path]:
    """Draw some images of a split with their maps.

    Args:
        judged: the split.
        method: of the maps.
        explain: computes the map of one of its images.
        figures: the beginning of each figure's name, and the classes that it shows.
        num: of images, at most.
        choose: telling or random.
        seed: of the random choice.

    Returns:
        The files.
    """
    is_random = choose == "random"
    groups = rank_random(judged, seed) if is_random else rank_telling(judged)
    explain_one = partial(judged.explain, explain)
    sections = explain_groups(groups, num // len(groups), explain_one)
    details = {**judged.details, **method.settings, "choose": choose, "seed": seed}
    written = []
    for start, labels in figures.items():
        shown = [section for section in sections if section.label in labels]
        written += save_sections(start, shown, details)
    return written


def explain_groups(
    groups: Sequence[Group], num: int, explain: Callable[[int], Explanation]
) -> list[Section]:
    """Explain the first images of each group, no image twice.

    An image with an empty map, or nearly so, gives way to the group's next one, among
    the first 4 `num`; if all are, they are shown. Headings say how many gave way.

    Args:
        groups: as `rank_telling` or `rank_random` returns them.
        num: how many images of each group are shown, if it has so many.
        explain: from an index to an explanation.

    Returns:
        A section for each group that has an image to show.
    """
    sections, taken = [], set()
    for group in show_progress(groups, "maps"):
        candidates = [i for i in group.indices.tolist() if i not in taken]
        found, empty = [], []
        for index in candidates[: MOST_TRIED * num]:
            taken.add(index)
            explanation = explain(index)
            (empty if explanation.is_empty else found).append(explanation)
            if len(found) == num:
                break
        shown = (found + empty)[:num]
        if shown:
            heading = f"{group.reason}: {len(shown)} of {len(group.indices)}"
            if num_passed_over := len(found) + len(empty) - len(shown):
                heading += f" (passed over, nearly empty maps: {num_passed_over})"
            sections.append(Section(heading, group.label, shown))
    return sections


def average_dataset(
    judged: JudgedImages, method: Method, start: str | Path
) -> list[Path]:
    """Draw a split's mean maps; return the files, whose names begin with `start`."""
    batches = load_batches(judged.images, judged.detector, judged.compute)
    maps = compute_mean_maps(
        show_progress(batches, method.name),
        lambda images, classes: method.compute(images, classes, judged.detector),
        judged.targets,
    )
    counts = count_classes(judged.images)
    details = {**judged.details, **method.settings}
    return save_mean_maps(start, maps, counts, method=method, details=details)


def check_dataset(
    judged: JudgedImages, method: Method, start: str | Path, *, num: int, seed: int
) -> tuple[list[str], list[Path]]:
    """Check the maps of `num` of a split's images, drawn as `seed` says.

    Returns:
        What was found in words, and the files, whose names begin with `start`.
    """
    checks = check_maps(judged, method, num=num, seed=seed)
    details = {**judged.details, **method.settings, "seed": seed}
    written = save_checks(start, checks, method=method, details=details)
    return describe_checks(checks), written
