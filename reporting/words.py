"""What a report says in sentences: the verdict, the model card, the commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from explaining.explanation import Explanation, Method
from explaining.pictures import describe_shown
from files.classes import CLASS_NAMES
from files.names import format_percent, shorten
from files.provenance import format_command
from hardware import DTYPES
from judging.words import capitalise, describe_threshold
from metrics.meaning import describe_fake_score
from plots.style import format_with_interval
from reporting.runs import Run, Settings

# Grades by the lower end of the AUC's interval: a convention of ours (docs/report.md).
_GRADES = (
    (0.99, "It separates the classes nearly without error."),
    (0.9, "It separates the classes well."),
    (0.7, "It separates the classes, with many errors."),
    (0.5, "It separates the classes poorly, but better than chance."),
)
_FEW = 100  # images of a class
_SMALL_P = 0.05
_GAP = 5.0  # percent: of training's accuracy above validation's
OUT_OF_SCOPE = (
    "Deciding about a person: a verdict is evidence to weigh, not proof.",
    "Images of anything but one face, cropped as the training images are.",
    "Forgeries, cameras and compression on which it was not measured.",
    "Telling who made an image, or how.",
)
ETHICS = (
    "A false alarm calls a real person's photo fake; a miss lets a forgery pass. Which "
    "is worse depends on the case, and so does the threshold.",
    "It was not recorded whose faces the images show, nor measured whether errors are "
    "equally frequent in all groups of people.",
)


def describe_verdict(run: Run) -> str:
    """Return in plain words what the detector is, and how good."""
    numbers, scores = run.analysis.numbers, run.analysis.scores
    (kept, _), (_, found) = numbers["confusion_matrix"]
    trained = run.detector.record.dataset
    origin = f", trained on {trained}" if trained else ""
    name = run.detector.title + (f" ({scores.detector})" if scores.detector else "")
    total = numbers["num_samples"]
    larger = max(numbers["num_real"], numbers["num_fake"]) / total
    return (
        f"{name}{origin}, judged on the {scores.split} split of {scores.dataset} "
        f"(n = {total}: {run.analysis.sizes}). {grade(numbers)} It called "
        f"{kept + found} of {total} images right, an accuracy of "
        f"{format_with_interval(numbers, 'accuracy', percent=True)}; always giving the "
        f"same answer would reach {format_percent(larger)}. A random fake scores above "
        "a random real image with a probability of "
        f"{format_with_interval(numbers, 'auc')}, the AUC. Brackets hold 95 % "
        "intervals."
    )


def grade(numbers: Mapping[str, Any]) -> str:
    """Return how well the classes are separated, by the AUC's interval."""
    low, high = numbers["auc_interval"]
    if high < 0.5:
        return "It does worse than chance: it mistakes each class for the other."
    return next(
        (text for least, text in _GRADES if low > least),
        "It is not shown to be better than chance.",
    )


def describe_mistake(mistake: Explanation) -> str:
    """Return what a strip of image and maps shows."""
    beside = ", and beside it its maps" if mistake.maps else ""
    return " ".join(
        (
            f"The {CLASS_NAMES[mistake.label]} image {shorten(mistake.name)}, called "
            f"{CLASS_NAMES[mistake.verdict]} with "
            f"{describe_fake_score(mistake.fake_score)}{beside}.",
            *mistake.describe(),
        )
    )


def describe_maps(methods: Sequence[Method]) -> str:
    """Say what stands beside an image, how it is read, and whether it was checked."""
    note = describe_shown(methods)
    if not methods:
        return f"Only the images are shown: {note}."
    parts = []
    for method in methods:
        reading = "bright where a small change moves the score"
        if method.is_overlay:
            reading = (
                "red where the layer speaks for the verdict, with a white line at half "
                "the maximum"
            )
        parts.append(f"its {method.title}, {reading} ({method.checked})")
    return (
        f"From left to right: the image; {'; '.join(parts)}. Maps explain what the "
        f"image was called. {capitalise(note)}. A map shows what the score "
        "depends on, not that the reason is a good one."
    )


def build_card(run: Run) -> dict[str, list[str]]:
    """Return a model card's sections: heading -> sentences."""
    return {
        "Intended use": _list_uses(run),
        "Out of scope": list(OUT_OF_SCOPE),
        "Limits": list_limits(run),
        "Ethics": [
            *ETHICS,
            "The thumbnails on this page show people: share it only as they and the "
            "data's licence allow.",
        ],
    }


def _list_uses(run: Run) -> list[str]:
    dataset = run.detector.record.dataset
    kind = f"the kind in {dataset}" if dataset else "a kind that was not recorded"
    return [
        f"Research, teaching, and pointing an analyst to images of {kind} that deserve "
        "a closer look.",
        f"An image is {describe_threshold(run.detector)}.",
        "Where fakes are rarer than in this split, more of the alarms are false: "
        "numerical_analysis.py --prevalence SHARE says how many.",
    ]


def list_limits(run: Run) -> list[str]:
    """Return what is known of this run that its numbers do not say."""
    scores, p_value = run.analysis.scores, run.analysis.numbers["ece_p_value"]
    limits = [_describe_fakes(run)]
    if run.detector.record.dataset == scores.dataset:
        limits.append(
            f"The {scores.split} images are from the same collection as the training "
            "images: on images from elsewhere it is likely to do worse."
        )
    limits.append(_describe_sample_size(run))
    limits += _list_limits_of_training(run)
    if scores.split == "val":
        limits.append(
            "Its epoch and threshold were chosen on this validation split: expect "
            "less on the test split."
        )
    if p_value is not None and p_value < _SMALL_P:
        limits.append(
            "On these images P(fake) is not a probability: the test of its calibration "
            f"gives p = {p_value:.2g}."
        )
    return limits


def _list_limits_of_training(run: Run) -> list[str]:
    training, limits = run.training, []
    num_images = sum((training.counts.get("train") or {}).values())
    if num_images:
        limits.append(f"It has learnt from {num_images:,} images.")
    if training.source.limit:
        limit = training.source.limit
        limits.append(f"A trial: trained on the first {limit} images of each class.")
    if training.recipe and training.recipe.augment == "published":
        limits.append(
            "In training, images were only cropped and mirrored: compression, scaling, "
            "blur or noise may defeat it (robustness_analysis.py measures how far)."
        )
    return limits + _list_overfitting(run)


def _describe_fakes(run: Run) -> str:
    """Say which forgeries it knows."""
    dataset, recipe = run.detector.record.dataset, run.training.recipe
    share = recipe.self_blend if recipe else 0
    if not dataset:
        learnt = "Which forgeries it was trained on was not recorded."
    elif share == 1:
        learnt = "It was trained on self-blended real images instead of fakes."
    else:
        blended = " and on self-blended real images" if share else ""
        kinds = run.detector.record.knows or f"the forgeries of {dataset}"
        learnt = f"It was trained on {kinds}{blended}, and no others."
    return (
        f"{learnt} On forgeries of other kinds it can do worse than chance: before you "
        "rely on it, measure it there with numerical_analysis.py -cpp CHECKPOINT "
        "-d OTHER."
    )


def _describe_sample_size(run: Run) -> str:
    """Say how closely the images fix its accuracy and AUC."""
    numbers = run.analysis.numbers
    smaller = min(numbers["num_real"], numbers["num_fake"])
    few = f"Small n: only {smaller} of one class. " if smaller < _FEW else ""
    accuracy = numbers["accuracy_interval"] or [numbers["accuracy"]]
    low, high = numbers["auc_interval"]
    return (
        f"{few}{numbers['num_samples']} images show its accuracy to be "
        f"{' to '.join(map(format_percent, accuracy))} and its AUC {low:.3f} to "
        f"{high:.3f}, no more closely, and for images of this kind only."
    )


def _list_overfitting(run: Run) -> list[str]:
    """Say if training's accuracy is far above validation's at the best epoch."""
    history, epoch = run.training.history.run, run.detector.record.epoch
    if not 0 < epoch <= len(history.get("val_acc", ())):
        return []
    gap = history["train_acc"][epoch - 1] - history["val_acc"][epoch - 1]
    if gap < _GAP:
        return []
    return [
        f"It is {gap:.1f} points better on training images than on validation images: "
        "it has partly learnt these images by heart."
    ]


def list_commands(run: Run, settings: Settings) -> dict[str, str]:
    """Return the commands that make the run, its numbers and its report again."""
    source, compute, scores = settings.source, settings.compute, run.analysis.scores
    words = ["-cpp", run.detector.path, "-d", scores.dataset, *source.to_words()]
    words += ["--split", source.split, "--seed", settings.seed]
    words += ["--resamples", settings.num_resamples, "-b", compute.batch_size]
    words += ["--precision", compute.precision.name]
    words += ["--group-by", settings.group_by] if settings.group_by else []
    words += ["--group-score", settings.group_score] if scores.groups else []
    own = ["--history", settings.history_path] if settings.history_path else []
    commands = {
        "Its numbers, figures and scores": format_command(
            "numerical_analysis.py", words
        ),
        "Its report": format_command("report.py", [*words, *own]),
    }
    training = run.training
    if training.recipe is None:
        return commands
    more = training.source.to_words()
    precision = run.detector.record.flags.get("precision")
    if precision in tuple(DTYPES):
        more += ["--precision", precision]
    return {"Train it": training.recipe.format_command(*more), **commands}
