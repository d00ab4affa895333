"""What a report says in sentences: the verdict, definitions, the model card."""

import shlex
from collections.abc import Mapping
from typing import Any

from faces_dataset import CLASS_NAMES, FAKE, REAL
from plots.style import format_percent, format_with_interval
from reporting.maps import Mistake
from reporting.runs import Run, Settings
from scores import describe_fake_score

# From the lower end of the AUC's interval on; a convention of ours (docs/report.md).
_GRADES = (
    (0.99, "It tells the classes apart nearly without error."),
    (0.9, "It tells the classes apart well."),
    (0.7, "It tells the classes apart, with many errors."),
    (0.5, "It tells the classes apart poorly, but better than chance."),
)
_FEW = 100  # images of a class
_SMALL_P = 0.05
_GAP = 5.0  # percent: of training's accuracy above validation's


def describe_verdict(run: Run) -> str:
    """Return in plain words what the detector is, and how good."""
    report, scores = run.analysis.numbers, run.analysis.scores
    num_right = report["confusion_matrix"][REAL][REAL]
    num_right += report["confusion_matrix"][FAKE][FAKE]
    accuracy = format_with_interval(report, "accuracy", percent=True)
    trained = run.training.dataset
    origin = f", trained on {trained}" if trained else ""
    name = run.model.title + (f" ({scores.detector})" if scores.detector else "")
    larger = max(report["num_real"], report["num_fake"]) / report["num_samples"]
    return (
        f"{name}{origin}, judged on the {scores.split} split of "
        f"{scores.dataset} (n = {report['num_samples']}: {run.analysis.sizes}). "
        f"{grade(report)} It called {num_right} of {report['num_samples']} images "
        f"right: accuracy {accuracy}, where one answer for all would reach "
        f"{format_percent(larger)}. A random fake scores above a random real image "
        f"with probability {format_with_interval(report, 'auc')}, the AUC. Brackets "
        "hold 95 % intervals."
    )


def grade(report: Mapping[str, Any]) -> str:
    """Return how well the classes are told apart, by the AUC's interval."""
    low, high = report["auc_interval"]
    if high < 0.5:
        return "It is worse than chance: it turns the classes round."
    return next(
        (text for least, text in _GRADES if low > least),
        "It is not shown to be better than chance.",
    )


def describe_mistake(mistake: Mistake) -> str:
    """Return what a strip of image and maps shows."""
    saliency, cam = mistake.places
    verdict = CLASS_NAMES[mistake.verdict]
    return (
        f"The {CLASS_NAMES[mistake.label]} image {mistake.name}, called {verdict} with "
        f"{describe_fake_score(mistake.fake_score)}. Beside it what spoke for "
        f"'{verdict}': a saliency map, of which {saliency}; and over the image its "
        f"Grad-CAM, of which {cam}."
    )


def build_card(run: Run) -> dict[str, list[str]]:
    """Return a model card's sections: heading -> sentences."""
    return {
        "Intended use": _list_uses(run),
        "Out of scope": [
            "Deciding about a person: a verdict is evidence to weigh, not proof.",
            "Images of anything but one face, cropped as the training images are.",
            "Forgeries, cameras and compression that it was not measured on.",
            "Saying who made an image, or how.",
        ],
        "Limits": list_limits(run),
        "Ethics": [
            "A false alarm calls a real person's photo fake; a miss lets a forgery "
            "pass. Which is worse depends on the case, and so does the threshold.",
            "Whose faces the images show was not recorded, and whether errors are as "
            "frequent for all groups of people was not measured.",
            "The thumbnails on this page are of people: pass it on only as the data's "
            "licence and they allow.",
        ],
    }


def _list_uses(run: Run) -> list[str]:
    details, threshold = run.model.details, run.model.threshold
    source = "the default: nothing chose it for this detector"
    if "threshold" in details:
        policy = details.get("threshold_policy", "as the checkpoint says")
        source = f"chosen on validation: {policy}"
    name = run.training.dataset
    kind = f"the kind that {name} holds" if name else "a kind that nobody recorded"
    return [
        f"Research, teaching, and pointing an analyst to images of {kind} that deserve "
        "a closer look.",
        f"An image is called fake from P(fake) = {threshold:.4g} on ({source}).",
        "Where fakes are rarer than in this split, more of the alarms are false: "
        "numerical_analysis.py --prevalence SHARE says how many.",
    ]


def list_limits(run: Run) -> list[str]:
    """Return what is known of this run that its numbers do not say."""
    report, scores = run.analysis.numbers, run.analysis.scores
    flags, training = run.model.details.get("flags", {}), run.training
    limits = [_describe_fakes(run)]
    if training.dataset == scores.dataset:
        limits.append(
            f"The {scores.split} images are of the same collection as the training "
            "images: numbers on images from elsewhere are likely to be worse."
        )
    smaller = min(report["num_real"], report["num_fake"])
    few = f"Small n: only {smaller} of one class. " if smaller < _FEW else ""
    accuracy = map(format_percent, report["accuracy_interval"] or [report["accuracy"]])
    low, high = report["auc_interval"]
    limits.append(
        f"{few}{report['num_samples']} images show its accuracy to be "
        f"{' to '.join(accuracy)} and its AUC {low:.3f} to {high:.3f}, no more "
        "closely, and for images of this kind only."
    )
    num_trained = sum((training.counts.get("train") or {}).values())
    if num_trained:
        limits.append(f"It has learnt from {num_trained:,} images.")
    if flags.get("augment") == "published":
        limits.append(
            "It saw training images as they are stored, cropped and mirrored only: "
            "compression, scaling, blur or noise may defeat it "
            "(robustness_analysis.py measures how far)."
        )
    limits += _describe_overfitting(run)
    if scores.split == "val":
        limits.append("Validation chose its epoch and threshold: not the test split.")
    if flags.get("limit"):
        limits.append(f"A trial: trained on the first {flags['limit']} images a class.")
    if report["ece_p_value"] is not None and report["ece_p_value"] < _SMALL_P:
        limits.append(
            "On these images P(fake) is no probability: the test of its calibration "
            f"says p = {report['ece_p_value']:.2g}."
        )
    return limits


def _describe_fakes(run: Run) -> str:
    """Say which forgeries it knows."""
    share = run.model.details.get("flags", {}).get("self_blend") or 0
    name = run.training.dataset
    if not name:
        known = "Which forgeries it was trained on was not recorded."
    elif share == 1:
        known = "It was trained on self-blended real images in place of fakes."
    else:
        blended = " and on self-blended real images" if share else ""
        known = f"It was trained on the forgeries of {name}{blended}, and no others."
    return (
        f"{known} Forgeries of other kinds can score worse than chance: measure them "
        "with numerical_analysis.py -cpp CHECKPOINT -d OTHER before relying on it."
    )


def _describe_overfitting(run: Run) -> list[str]:
    """Say it where training's accuracy is far above validation's at the best epoch."""
    record, epoch = run.training.history.run, run.model.details.get("epoch", 0)
    if not record or not 0 < epoch <= len(record["val_acc"]):
        return []
    train, val = record["train_acc"][epoch - 1], record["val_acc"][epoch - 1]
    if train - val < _GAP:
        return []
    return [
        f"It is {train - val:.1f} points better on training images than on validation "
        "images: part of what it knows are these images."
    ]


def list_commands(run: Run, settings: Settings, precision: str) -> dict[str, str]:
    """Return the commands that make the run, its numbers and its report again."""
    scores, path = run.analysis.scores, run.model.checkpoint_path
    common = ["-cpp", path, "-d", scores.dataset, "--data-root", settings.data_root]
    common += ["--split", scores.split, "--seed", settings.seed]
    common += ["--resamples", settings.num_resamples, "--precision", precision]
    common += ["--batch-size", settings.batch_size]
    if settings.limit:
        common += ["--limit", settings.limit]
    if settings.full_decoding:
        common.append("--full-decoding")
    own = ["--history", settings.history_path] if settings.history_path else []
    commands = {
        "Train it": _build_training_command(run, settings),
        "Its numbers, figures and scores": _join("numerical_analysis.py", common),
        "Its report": _join("report.py", [*common, *own]),
    }
    return {what: command for what, command in commands.items() if command}


def _build_training_command(run: Run, settings: Settings) -> str:
    """Return the training's command from what was recorded, '' if nothing."""
    flags = dict(run.model.details.get("flags", {}))
    epochs = (run.training.history.run or {}).get("epochs")
    words: list[object] = ["--data-root", settings.data_root]
    for name, value in {**flags, "epochs": epochs}.items():
        flag = f"--{str(name).replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, str | int | float) and value is not False:
            words += [flag, value]
    return _join("train_main.py", words) if flags else ""


def _join(script: str, words: list[object]) -> str:
    return shlex.join(["python", script, *map(str, words)])
