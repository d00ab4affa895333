"""The figures of a report, each with what it shows in words."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from explaining.explanation import Explanation
from explaining.figures import build_mean_maps_figure
from files.classes import CLASS_NAMES
from files.names import SPLITS, format_percent, shorten
from loading import read_image
from plots.analysis_plots import PLOTS, Plot
from plots.learning import describe_run, plot_accuracies, plot_losses
from plots.pages import EmbeddedImage, embed_figure, embed_image, embed_plot
from plots.style import format_with_interval
from records.history import get_best_epoch
from reporting.maps import MeanMaps, draw_strip
from reporting.runs import Run
from reporting.words import describe_mistake
from scores.analysis import Analysis

THUMBNAIL = 128  # pixels


class PageFigure(NamedTuple):
    """A figure on the page: its heading, what it shows, and how to read it."""

    name: str
    picture: EmbeddedImage
    caption: str
    reading: str


def _describe_roc(analysis: Analysis) -> str:
    numbers = analysis.numbers
    found, alarms = numbers["fake_accuracy"], 1 - numbers["real_accuracy"]
    return (
        f"AUC {format_with_interval(numbers, 'auc')}. At the threshold in use "
        f"{format_percent(found)} of the fakes are found and {format_percent(alarms)} "
        "of the real images are called fake."
    )


def _describe_det(analysis: Analysis) -> str:
    eer = format_with_interval(analysis.numbers, "eer", percent=True)
    return f"Both error rates are equal at {eer}."


def _describe_precision_recall(analysis: Analysis) -> str:
    numbers = analysis.numbers
    share = format_percent(analysis.fake_share)
    precision = "no image is called fake at the threshold in use"
    if numbers["precision"] is not None:
        precision = (
            "at the threshold in use the precision is "
            f"{format_percent(numbers['precision'])} at a recall of "
            f"{format_percent(numbers['fake_accuracy'])}"
        )
    area = format_with_interval(numbers, "average_precision")
    return f"Average precision {area}, by chance {share}; {precision}."


def _describe_reliability(analysis: Analysis) -> str:
    numbers = analysis.numbers
    return (
        f"The calibration error is {numbers['ece']:.3f}; calibrated scores would show "
        f"{numbers['ece_noise_floor']:.3f} by chance "
        f"(p = {numbers['ece_p_value']:.2g})."
    )


def _describe_tippett(analysis: Analysis) -> str:
    reals, fakes = map(format_percent, analysis.misled)
    cost = format_with_interval(analysis.numbers, "cllr")
    return (
        f"{fakes} of the fakes have a likelihood ratio that speaks for real, {reals} "
        f"of the real images one that speaks for fake. Cllr {cost}."
    )


def _describe_cross_entropy(analysis: Analysis) -> str:
    harmful = format_percent(float(np.mean(analysis.cross_entropies.harmful)))
    least = format_with_interval(analysis.numbers, "min_cllr")
    return (
        f"At even odds the likelihood ratios leave {analysis.numbers['cllr']:.3f} bits "
        f"of 1 unknown, the best in this order {least}. At {harmful} of the priors "
        "shown they are worse than no ratios."
    )


def _describe_histogram(analysis: Analysis) -> str:
    numbers = analysis.numbers
    (_, alarms), (missed, _) = numbers["confusion_matrix"]
    return (
        f"{alarms} of {numbers['num_real']} real images lie right of the threshold: "
        f"false alarms; {missed} of {numbers['num_fake']} fakes lie left of it: missed."
    )


def _describe_confusion(analysis: Analysis) -> str:
    (kept, alarms), (missed, found) = analysis.numbers["confusion_matrix"]
    return (
        f"Of the real images {kept} are called real and {alarms} fake; of the fakes "
        f"{found} are called fake and {missed} real."
    )


# By the file's ending, as `PLOTS`; in the page's order.
_DESCRIPTIONS: dict[str, Callable[[Analysis], str]] = {
    "roc_curve": _describe_roc,
    "det_curve": _describe_det,
    "precision_recall": _describe_precision_recall,
    "reliability": _describe_reliability,
    "tippett": _describe_tippett,
    "cross_entropy": _describe_cross_entropy,
    "score_histogram": _describe_histogram,
    "confusion_matrix": _describe_confusion,
}
_BRIEF = ("reliability", "confusion_matrix")
_LEARNING = (
    "The training split is measured while the network learns from it, the others after "
    "each epoch. If only the training curve keeps improving, the detector is learning "
    "its images by heart."
)


def draw_analysis(analysis: Analysis, *, brief: bool = False) -> list[PageFigure]:
    """Draw all figures of one detector that there are numbers for.

    Brief are those alone that the curves of a comparison do not show.
    """
    wanted = [PLOTS[ending] for ending in (_BRIEF if brief else _DESCRIPTIONS)]
    return [_draw(plot, [analysis]) for plot in wanted if plot.can_show([analysis])]


def draw_comparison(analyses: Sequence[Analysis]) -> list[PageFigure]:
    """Draw the curves of several detectors over each other."""
    return [_draw(plot, analyses) for plot in PLOTS.values() if plot.can_show(analyses)]


def _draw(plot: Plot, analyses: Sequence[Analysis]) -> PageFigure:
    """Draw a plot of one analysis, or a curve of several."""
    describe, title = _DESCRIPTIONS[plot.ending], analyses[0].scores.title
    name, caption = plot.name, describe(analyses[0])
    reading = f"{plot.reading} {plot.reading_alone}".strip()
    if len(analyses) > 1:
        name, title = f"{plot.name}s", f"{len(analyses)} detectors"
        caption = " ".join(f"{a.scores.title}: {describe(a)}" for a in analyses)
        reading = plot.reading
    alt = f"{name} of {title}. {caption}"
    picture = embed_plot(lambda axes: plot.plot_on(axes, analyses), alt)
    return PageFigure(name, picture, caption, reading)


def draw_learning(run: Run) -> list[PageFigure]:
    """Draw losses and accuracies over the epochs; nothing if there is no history."""
    record = run.training.history.run
    if not record:
        return []
    title = f"{run.detector.title} on {run.detector.record.dataset or 'unknown data'}"
    best, figures = get_best_epoch(record), []
    for name, key, plot, unit in (
        ("Loss", "loss", plot_losses, ""),
        ("Accuracy", "acc", plot_accuracies, " %"),
    ):
        values = [f"{s} {record[f'{s}_{key}'][best - 1]:.4g}{unit}" for s in SPLITS]
        caption = f"{name} in epoch {best} of {len(record['val_acc'])}, the best on "
        caption += f"validation: {', '.join(values)}."
        alt = f"{name} over the epochs, {describe_run(record)}. {caption}"
        picture = embed_plot(partial(plot, run=record, title=title), alt)
        figures.append(PageFigure(name, picture, caption, _LEARNING))
    return figures


def draw_samples(run: Run) -> dict[str, list[EmbeddedImage]]:
    """Return thumbnails of random training images of each class."""
    return {
        name: [
            embed_image(
                read_image(file, at_least=THUMBNAIL).resize((THUMBNAIL, THUMBNAIL)),
                f"The {name} training image {shorten(file.name, parts=1)}",
            )
            for file in files
        ]
        for name, files in run.training.samples.items()
    }


def draw_mistake(mistake: Explanation) -> EmbeddedImage:
    """Return a mistake's image and maps as one picture."""
    return embed_image(draw_strip(mistake), describe_mistake(mistake))


def draw_means(run: Run) -> list[PageFigure]:
    """Draw the mean maps of real and of fake images."""
    scores = run.analysis.scores
    return [_draw_mean(mean, scores.title, scores.split) for mean in run.maps.means]


def _draw_mean(mean: MeanMaps, title: str, split: str) -> PageFigure:
    name = f"Mean {mean.name}"
    figure_title = f"{title}, {split} split:\nmean {mean.name} of the true class"
    figure = build_mean_maps_figure(mean.maps, mean.counts, figure_title, mean.unit)
    caption = " ".join(
        f"Of the {class_name} images' map (n = {mean.counts[class_name]}) {place}."
        for class_name, place in zip(CLASS_NAMES, mean.places, strict=True)
    )
    reading = (
        "Where the detector looks in general. Each image's map explains the score of "
        "its true class; both classes have one scale."
    )
    picture = embed_figure(figure, f"{name} of {title}. {caption}")
    return PageFigure(name, picture, caption, reading)
