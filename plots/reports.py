"""The files of an analysis: numbers, scores, tables and figures."""

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

import command_line
from files.atomic import save_csv, save_json, write_atomically
from plots.curves import plot_det, plot_precision_recall, plot_roc
from plots.matrix import (
    build_auc_matrix,
    build_auc_rows,
    format_auc_matrix,
    plot_auc_matrix,
)
from plots.paper_tables import build_csv, format_latex, format_markdown
from plots.scores import (
    plot_confusion_matrix,
    plot_reliability,
    plot_score_histogram,
    plot_tippett,
)
from plots.style import save_plot
from plots.tables import format_comparison, format_report, name_subsets
from scores import save_score_set
from scores.analysis import Analysis, Comparison, compare_detectors

Plot = Callable[[Axes, Any], Axes]

# By the end of the file's name; curves are of one detector or of several.
CURVES = {
    "roc_curve": plot_roc,
    "det_curve": plot_det,
    "precision_recall": plot_precision_recall,
}
PICTURES = {
    "score_histogram": plot_score_histogram,
    "reliability": plot_reliability,
    "confusion_matrix": plot_confusion_matrix,
    "tippett": plot_tippett,
}


def save_all(
    analyses: Sequence[Analysis], folder: str | Path, call: Mapping[str, Any]
) -> list[Path]:
    """Print the tables and save numbers, scores and figures.

    Args:
        analyses: one detector, or several to compare as well.
        folder: where everything goes.
        call: what ran, as `files.provenance.describe_call` returns it.

    Returns:
        What was written, in that order.

    Raises:
        ValueError: an output would replace a file that the scores came from.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    _check_inputs_stay(analyses, folder)
    paths = []
    for analysis in analyses:
        command_line.say(*format_report(analysis).split("\n"), "")
        paths += _save_analysis(analysis, folder, call)
    if len(analyses) > 1:
        comparisons = compare_detectors(analyses)
        command_line.say(*format_comparison(analyses, comparisons).split("\n"), "")
        paths += _save_comparison(analyses, comparisons, folder, call)
        paths += _save_auc_matrix(analyses, folder)
    return paths


def _check_inputs_stay(analyses: Sequence[Analysis], folder: Path) -> None:
    inputs = {
        Path(file["path"]).resolve()
        for analysis in analyses
        for key in ("inputs", "calibrated_on")
        for file in analysis.scores.provenance.get(key, ())
    }
    outputs = [folder / f"{analysis.scores.name}_scores.csv" for analysis in analyses]
    for path in [*outputs, folder / "comparison_metrics.csv"]:
        if path.resolve() in inputs:
            raise ValueError(
                f"{path} was read and would be written over: "
                "choose another --figures-dir"
            )


def _save_analysis(
    analysis: Analysis, folder: Path, call: Mapping[str, Any]
) -> list[Path]:
    name = analysis.scores.name
    paths = [folder / f"{name}_metrics.json", folder / f"{name}_scores.csv"]
    provenance = {**call, **analysis.scores.provenance}
    save_json({**_describe(analysis), "provenance": provenance}, paths[0])
    save_score_set(analysis.scores, paths[1])
    paths += _save_figures(CURVES, [analysis], folder, name)
    paths += _save_figures(_choose_pictures(analysis), analysis, folder, name)
    if analysis.subsets:
        curves = {what: CURVES[what] for what in CURVES if what == "det_curve"}
        paths += _save_figures(curves, analysis.subsets, folder, f"{name}_subsets")
    return paths


def _describe(analysis: Analysis) -> dict[str, Any]:
    """Return a report with those of its subsets in it."""
    subsets = {name: part.report for name, part in name_subsets(analysis).items()}
    source = analysis.scores.llr_source or None
    return {**analysis.report, "llr_source": source, "subsets": subsets or None}


def _choose_pictures(analysis: Analysis) -> dict[str, Plot]:
    """Return the pictures that there are numbers for."""
    missing = set()
    if analysis.bins is None:
        missing.add("reliability")
    if analysis.scores.llrs is None:
        missing.add("tippett")
    return {what: plot for what, plot in PICTURES.items() if what not in missing}


def _save_comparison(
    analyses: Sequence[Analysis],
    comparisons: Sequence[Comparison],
    folder: Path,
    call: Mapping[str, Any],
) -> list[Path]:
    start = folder / "comparison_metrics"
    ends = (".json", ".csv", ".md", ".tex")
    paths = [start.with_suffix(end) for end in ends]
    inputs = {a.scores.title: dict(a.scores.provenance) for a in analyses}
    content = {
        "detectors": [{"title": a.scores.title, **_describe(a)} for a in analyses],
        "paired_delong_tests": [_describe_test(pair) for pair in comparisons],
        "provenance": {**call, "detectors": inputs},
    }
    save_json(content, paths[0])
    header, rows = build_csv(analyses)
    save_csv(rows, paths[1], header=header)
    _save_text(format_markdown(analyses, comparisons), paths[2])
    _save_text(format_latex(analyses, comparisons), paths[3])
    return [*paths, *_save_figures(CURVES, analyses, folder, "comparison")]


def _save_auc_matrix(analyses: Sequence[Analysis], folder: Path) -> list[Path]:
    """Print and save the AUCs by detector and dataset, where there are several."""
    matrix = build_auc_matrix(analyses)
    if matrix is None:
        return []
    command_line.say(*format_auc_matrix(matrix).split("\n"), "")
    paths = [folder / f"comparison_auc_matrix.{end}" for end in ("csv", "png")]
    header, rows = build_auc_rows(matrix)
    save_csv(rows, paths[0], header=header)
    _save_figure(plot_auc_matrix, matrix, paths[1])
    return paths


def _describe_test(comparison: Comparison) -> dict[str, Any]:
    """Return what a paired test found, or why there is none."""
    test = comparison.test
    numbers = {} if test is None else test._asdict()
    return {
        "first": comparison.a.scores.title,
        "second": comparison.b.scores.title,
        "num_common": comparison.num_common,
        # NaN: no variance to test by
        **{n: None if np.isnan(value) else value for n, value in numbers.items()},
        "holm_p_value": comparison.holm_p_value,
        "note": comparison.note or None,
    }


def _save_text(text: str, path: Path) -> None:
    content = text.encode(errors="backslashreplace")
    write_atomically(path, lambda handle: handle.write(content))


def _save_figures(
    plots: Mapping[str, Plot],
    analysed: Analysis | Sequence[Analysis],
    folder: Path,
    name: str,
) -> list[Path]:
    """Save each plot as {name}_{what}.png."""
    paths = []
    for what, plot in plots.items():
        paths.append(folder / f"{name}_{what}.png")
        _save_figure(plot, analysed, paths[-1])
    return paths


def _save_figure(plot: Plot, analysed: Any, path: Path) -> None:
    save_plot(lambda axes: plot(axes, analysed), path)
    gc.collect()  # a figure holds itself: a million points of its curves stay till then
