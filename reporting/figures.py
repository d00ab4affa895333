"""The pictures of a report, each with what it shows in words."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from explaining.figures import build_mean_maps_figure
from faces_dataset import CLASS_NAMES, FAKE, REAL
from files.history import get_best_epoch
from loading import read_image
from plots.curves import plot_det, plot_precision_recall, plot_roc
from plots.learning import describe_run, plot_accuracies, plot_losses
from plots.pages import Picture, embed_figure, embed_image, embed_plot
from plots.scores import (
    plot_confusion_matrix,
    plot_reliability,
    plot_score_histogram,
    plot_tippett,
)
from plots.style import format_percent, format_with_interval
from reporting.maps import MeanMaps, Mistake
from reporting.runs import Run
from reporting.words import describe_mistake
from scores.analysis import Analysis

THUMBNAIL = 128  # pixels


class Plot(NamedTuple):
    """How a figure of an analysis is drawn, said and read.

    Attributes:
        name: its heading.
        draw: on axes.
        say: what it shows, in a sentence with its numbers.
        reading: how to read it.
    """

    name: str
    draw: Callable[[Axes, Any], Axes]
    say: Callable[[Analysis], str]
    reading: str


def _say_roc(analysis: Analysis) -> str:
    report = analysis.numbers
    tpr, fpr = report["fake_accuracy"], 1 - report["real_accuracy"]
    return (
        f"AUC {format_with_interval(report, 'auc')}. At the threshold in use "
        f"{format_percent(tpr)} of the fakes are found and {format_percent(fpr)} of "
        "the real images are called fake."
    )


def _say_det(analysis: Analysis) -> str:
    eer = format_with_interval(analysis.numbers, "eer", percent=True)
    return f"Both error rates are equal at {eer}."


def _say_precision_recall(analysis: Analysis) -> str:
    report = analysis.numbers
    share = format_percent(report["num_fake"] / report["num_samples"])
    precision = "no image is called fake at the threshold in use"
    if report["precision"] is not None:
        precision = (
            f"at the threshold in use the precision is "
            f"{format_percent(report['precision'])} at a recall of "
            f"{format_percent(report['fake_accuracy'])}"
        )
    area = format_with_interval(report, "average_precision")
    return f"Average precision {area}, by chance {share}; {precision}."


def _say_reliability(analysis: Analysis) -> str:
    report = analysis.numbers
    return (
        f"The calibration error is {report['ece']:.3f}; calibrated scores would show "
        f"{report['ece_noise_floor']:.3f} by chance (p = {report['ece_p_value']:.2g})."
    )


def _say_tippett(analysis: Analysis) -> str:
    llrs, labels = analysis.scores.llrs, analysis.scores.labels
    misled = [
        format_percent(float(np.mean(wrong[labels == label])))
        for label, wrong in ((FAKE, llrs < 0), (REAL, llrs > 0))
    ]
    cost = format_with_interval(analysis.numbers, "cllr")
    return (
        f"{misled[0]} of the fakes have a likelihood ratio that speaks for real, "
        f"{misled[1]} of the real images one that speaks for fake. Cllr {cost}."
    )


def _say_histogram(analysis: Analysis) -> str:
    (_, alarms), (missed, _) = analysis.numbers["confusion_matrix"]
    return (
        f"Right of the threshold are {alarms} of {analysis.numbers['num_real']} real "
        f"images, false alarms; left of it {missed} of {analysis.numbers['num_fake']} "
        "fakes, missed."
    )


def _say_confusion(analysis: Analysis) -> str:
    (kept, alarms), (missed, found) = analysis.numbers["confusion_matrix"]
    return (
        f"Of the real images {kept} are called real and {alarms} fake; of the fakes "
        f"{found} are called fake and {missed} real."
    )


CURVES = (
    Plot(
        "ROC curve",
        plot_roc,
        _say_roc,
        "Which share of the fakes is found at which share of false alarms, as the "
        "threshold moves. Upper left is better, the dotted line is chance. The lower "
        "panel stretches small false-alarm rates. A pale curve is P(real), the same "
        "detector read backwards.",
    ),
    Plot(
        "DET curve",
        plot_det,
        _say_det,
        "Missed fakes against false alarms, on axes that stretch small rates. Lower "
        "left is better. The curve crosses the thin diagonal at the equal error rate.",
    ),
    Plot(
        "Precision-recall curve",
        plot_precision_recall,
        _say_precision_recall,
        "How many of the images called fake are fake, against how many of the fakes "
        "are found. It depends on the share of fakes in the split: the dotted line is "
        "what guessing reaches.",
    ),
)
PICTURES = (
    Plot(
        "Reliability diagram",
        plot_reliability,
        _say_reliability,
        "Is an image with P(fake) = 0.8 fake in 80 % of the cases? On the diagonal it "
        "is; below it the scores are too high, above it too low.",
    ),
    Plot(
        "Tippett plot",
        plot_tippett,
        _say_tippett,
        "Which share of each class has a likelihood ratio above each value. At the "
        "dotted line the evidence is worth nothing; what lies on its wrong side "
        "misleads.",
    ),
    Plot(
        "Score histogram",
        plot_score_histogram,
        _say_histogram,
        "How many images of each class have which score; counts are logarithmic, so "
        "that one image is seen as well as a thousand.",
    ),
    Plot(
        "Confusion matrix",
        plot_confusion_matrix,
        _say_confusion,
        "Rows are what the images are, columns what they are called. Upper right are "
        "the false alarms, lower left the missed fakes.",
    ),
)


class Drawn(NamedTuple):
    """A figure on the page."""

    name: str
    picture: Picture
    caption: str
    reading: str


def draw_analysis(analysis: Analysis, *, brief: bool = False) -> list[Drawn]:
    """Draw all figures of one detector that there are numbers for.

    Args:
        analysis: the numbers.
        brief: only what curves laid over each other do not show.
    """
    missing = plot_reliability if analysis.bins is None else None
    shown = [p for p in PICTURES if p.draw is not missing]
    if brief:
        shown = [
            p for p in shown if p.draw in (plot_reliability, plot_confusion_matrix)
        ]
    curves = () if brief else CURVES
    return [
        *(_draw(plot, [analysis], analysis) for plot in curves),
        *(_draw(plot, analysis, analysis) for plot in shown),
    ]


def _draw(plot: Plot, analysed: Any, analysis: Analysis) -> Drawn:
    caption = plot.say(analysis)
    alt = f"{plot.name} of {analysis.scores.title}. {caption}"
    picture = embed_plot(lambda axes: plot.draw(axes, analysed), alt)
    return Drawn(plot.name, picture, caption, plot.reading)


def draw_comparison(analyses: Sequence[Analysis]) -> list[Drawn]:
    """Draw the curves of several detectors over each other."""
    return [_draw_over(plot, analyses) for plot in CURVES]


def _draw_over(plot: Plot, analyses: Sequence[Analysis]) -> Drawn:
    name = f"{plot.name}s"
    caption = " ".join(f"{a.scores.title}: {plot.say(a)}" for a in analyses)
    alt = f"{name} of {len(analyses)} detectors. {caption}"
    picture = embed_plot(lambda axes: plot.draw(axes, analyses), alt)
    return Drawn(name, picture, caption, plot.reading)


def draw_learning(run: Run) -> list[Drawn]:
    """Draw losses and accuracies over the epochs; nothing where no history is."""
    record = run.training.history.run
    if record is None:
        return []
    title = f"{run.model.title} on {run.training.dataset or 'unknown data'}"
    best, drawn = get_best_epoch(record), []
    for name, key, plot, unit in (
        ("Loss", "loss", plot_losses, ""),
        ("Accuracy", "acc", plot_accuracies, " %"),
    ):
        values = [
            f"{split} {record[f'{split}_{key}'][best - 1]:.4g}{unit}"
            for split in ("train", "val", "test")
        ]
        caption = f"{name} in epoch {best} of {len(record['val_acc'])}, the best by "
        caption += f"validation accuracy: {', '.join(values)}."
        draw = partial(plot, run=record, title=title)
        alt = f"{name} over the epochs, {describe_run(record)}. {caption}"
        reading = (
            "The training split is measured while it is trained on, the others after "
            "each epoch. Where the training curve goes on improving and the others "
            "do not, the detector learns its images by heart."
        )
        drawn.append(Drawn(name, embed_plot(draw, alt), caption, reading))
    return drawn


def draw_samples(run: Run) -> list[tuple[str, list[Picture]]]:
    """Return thumbnails of random training images under a heading for each class."""
    rows = []
    for name, (paths, num) in run.training.samples.items():
        heading = f"{name}: {len(paths)} random images of {num}"
        rows.append((heading, [_draw_thumbnail(path, name) for path in paths]))
    return rows


def _draw_thumbnail(path: Path, name: str) -> Picture:
    image = read_image(path, at_least=THUMBNAIL).resize((THUMBNAIL, THUMBNAIL))
    return embed_image(image, f"The {name} training image {path.name}")


def draw_mistake(mistake: Mistake) -> Picture:
    """Return a mistake's image and maps as one picture."""
    return embed_image(mistake.strip, describe_mistake(mistake))


def draw_means(run: Run) -> list[Drawn]:
    """Draw the mean maps of real and of fake images."""
    scores = run.analysis.scores
    return [_draw_mean(mean, scores.title, scores.split) for mean in run.maps.means]


def _draw_mean(mean: MeanMaps, title: str, split: str) -> Drawn:
    name = f"Mean {mean.name}"
    figure_title = f"{title}, {split} split:\nmean {mean.name} of the true class"
    figure = build_mean_maps_figure(mean.maps, mean.counts, figure_title, mean.unit)
    parts = [
        f"Of the {class_name} images' map (n = {mean.counts[class_name]}) {place}."
        for class_name, place in zip(CLASS_NAMES, mean.places, strict=True)
    ]
    caption = " ".join(parts)
    reading = (
        "Where the detector looks in general. Each image's map explains the score of "
        "its true class; both classes have one scale."
    )
    picture = embed_figure(figure, f"{name} of {title}. {caption}")
    return Drawn(name, picture, caption, reading)


def describe_counts(counts: Mapping[str, Mapping[str, int]]) -> list[list[Any]]:
    """Return a row for each split: real, fake, and the share of fakes."""
    rows = []
    for split, of_class in counts.items():
        real, fake = (of_class[name] for name in CLASS_NAMES)
        share = f"{100 * fake / (real + fake):.1f} %" if real + fake else "-"
        rows.append([split, real, fake, share])
    return rows
