"""What saliency_map.py and grad_cam_analysis.py share: judged images in, files out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from explaining.checks import check_maps, describe_checks
from explaining.explanation import UNKNOWN, Explanation, Method, compute_mean_maps
from explaining.figures import (
    Section,
    build_checks_figure,
    build_mean_maps_figure,
    build_sections_figure,
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
from files.atomic import check_output, save_json, write_atomically
from files.classes import CLASS_NAMES
from hardware import show_progress
from plots.style import save_figure

# Images of a group that are tried, for each that is shown, where maps are empty.
MOST_TRIED = 4


def explain_pictures(
    judged: JudgedImages, method: Method, explain: ExplainFunction, folder: Path
) -> list[Path]:
    """Draw each of the user's pictures with its map; return the files, in `folder`.

    Raises:
        ValueError: two pictures would share a figure, or a figure would replace one.
        OSError: the folder cannot be written. Nothing is written then.
    """
    names = [Path(judged.images.get_name(i)) for i in range(len(judged.images))]
    starts = name_figures(names, folder / judged.detector.file_name, method)
    details = judged.get_details(method)
    written = []
    for index, (name, start) in enumerate(zip(names, starts, strict=True)):
        explanation = judged.explain(explain, index)
        title = f"{details['model']}: {name.name}\n{_describe_threshold(details)}"
        section = Section("", explanation.label, [explanation])
        target = f"'{CLASS_NAMES[explanation.target]}'"
        figure = build_sections_figure([section], title, target)
        written += _save(start, figure, {**details, **_summarise(explanation)})
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
    """Draw `num` images of a split, at most, with their maps; return the files.

    `figures` are the beginnings of their names, and the classes that each shows.
    """
    is_random = choose == "random"
    groups = rank_random(judged, seed) if is_random else rank_telling(judged)
    explain_one = partial(judged.explain, explain)
    sections = explain_groups(groups, num // len(groups), explain_one)
    details = {**judged.get_details(method), "choose": choose, "seed": seed}
    title = f"{_describe(details)}\n{_describe_threshold(details)}"
    written = []
    for start, labels in figures.items():
        shown = [section for section in sections if section.label in labels]
        figure = build_sections_figure(shown, title, judged.target_name)
        samples = [
            {"why": section.heading, **_summarise(explanation)}
            for section in shown
            for explanation in section.explanations
        ]
        written += _save(start, figure, {**details, "samples": samples})
    return written


def explain_groups(
    groups: Sequence[Group], num: int, explain: Callable[[int], Explanation]
) -> list[Section]:
    """Explain the first `num` images of each group, no image twice.

    An image with an empty map, or nearly so, gives way to the group's next one, among
    the first 4 `num`; if all are, they are shown. Headings say how many gave way. A
    group without an image to show is left out.
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


def average_dataset(judged: JudgedImages, method: Method, start: Path) -> list[Path]:
    """Draw a split's mean maps; return the files, whose names begin with `start`."""
    batches = load_batches(judged.images, judged.detector, judged.compute)
    batches = show_progress(batches, method.name)
    maps = compute_mean_maps(batches, method.compute, judged.detector, judged.targets)
    counts, details = count_classes(judged.images), judged.get_details(method)
    classes = {
        name: {"n": counts[name], "map": _summarise_values(values)}
        for name, values in zip(CLASS_NAMES, maps, strict=True)
    }
    title = f"{_describe(details)}:\nmean {method.title} of {judged.target_name}"
    title += _describe_checked(details)
    figure = build_mean_maps_figure(maps, counts, title, method.unit)
    name = f"{start}_mean_{method.name}_maps"
    written = _save(name, figure, {**details, "classes": classes})
    array_path = Path(f"{name}.npy")
    write_atomically(array_path, lambda handle: np.save(handle, maps))
    return [*written, array_path]


def check_dataset(
    judged: JudgedImages, method: Method, start: Path, *, num: int, seed: int
) -> tuple[list[str], list[Path]]:
    """Check the maps of `num` random images of a split.

    Return what was found in words, and the files, whose names begin with `start`.
    """
    checks = check_maps(judged, method, num=num, seed=seed)
    details = {**judged.get_details(method), "seed": seed}
    title = f"{_describe(details)}: {method.title} of {judged.target_name}"
    figure = build_checks_figure(checks, f"{title}, n = {len(checks['images'])}")
    written = _save(f"{start}_{method.name}_checks", figure, {**details, **checks})
    return describe_checks(checks), written


def _describe(details: Mapping[str, Any]) -> str:
    """Return the beginning of a title."""
    return f"{details['model']} on {details['dataset']}, {details['split']} split"


def _describe_threshold(details: Mapping[str, Any]) -> str:
    rule = f"called fake where P(fake) is at least {details['threshold']:.4g}"
    return rule + _describe_checked(details)


def _describe_checked(details: Mapping[str, Any]) -> str:
    """Return a title's last line, if the maps were checked."""
    checked = details["checked"]
    lead = "such maps were checked on validation images"
    return f"\n{lead}; {checked}" if checked else ""


def _summarise(explanation: Explanation) -> dict[str, Any]:
    """Return what the JSON file says of one image."""
    label = explanation.label
    return {
        "path": explanation.name,
        "label": None if label == UNKNOWN else label,
        "verdict": explanation.verdict,
        "fake_score": explanation.fake_score,
        "explained_class": explanation.target,
        "map": _summarise_values(explanation.maps[0]),
    }


def _summarise_values(values: np.ndarray) -> dict[str, float]:
    return {name: float(getattr(values, name)()) for name in ("min", "max", "mean")}


def _save(start: str | Path, figure: Figure, numbers: dict[str, Any]) -> list[Path]:
    """Save a figure and its numbers beside it; return both paths."""
    figure_path, numbers_path = Path(f"{start}.png"), Path(f"{start}.json")
    save_figure(figure, figure_path)
    save_json(numbers, numbers_path)
    return [figure_path, numbers_path]
