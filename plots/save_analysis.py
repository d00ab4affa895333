"""The files of an analysis: numbers, scores, tables and figures."""

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from files.atomic import save_csv, save_json, save_text
from plots.analysis_plots import PLOTS
from plots.curves import plot_det
from plots.matrix import (
    build_auc_matrix,
    build_auc_rows,
    format_auc_matrix,
    plot_auc_matrix,
)
from plots.paper_tables import build_csv, format_latex, format_markdown
from plots.style import save_plot
from plots.tables import format_comparison, format_numbers, name_subsets
from scores import save_score_set
from scores.analysis import Analysis, Comparison


def save_all(
    analyses: Sequence[Analysis],
    comparisons: Sequence[Comparison],
    folder: str | Path,
    call: Mapping[str, Any],
) -> tuple[list[Path], str]:
    """Save numbers, scores, tables and figures of one detector, or of several compared.

    The comparisons are those of `compare_detectors`; `call` says what ran, as
    `files.provenance.describe_call` returns it.

    Returns:
        What was written, in that order, and the tables to print.

    Raises:
        ValueError: an output would replace a file that the scores came from.
    """
    folder = Path(folder)
    _check_inputs_stay(analyses, folder)
    texts = [format_numbers(analysis) for analysis in analyses]
    paths = []
    for analysis in analyses:
        with analysis.scores.name_errors():
            paths += _save_analysis(analysis, folder, call)
    if len(analyses) > 1:
        texts.append(format_comparison(analyses, comparisons))
        paths += _save_comparison(analyses, comparisons, folder, call)
    matrix = build_auc_matrix(analyses)
    if matrix is not None:
        texts.append(format_auc_matrix(matrix))
        paths += [folder / f"comparison_auc_matrix.{end}" for end in ("csv", "png")]
        header, rows = build_auc_rows(matrix)
        save_csv(rows, paths[-2], header=header)
        _save_figure(plot_auc_matrix, matrix, paths[-1])
    return paths, "\n\n".join(texts)


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
    save_json({**_collect_numbers(analysis), "provenance": provenance}, paths[0])
    save_score_set(analysis.scores, paths[1])
    paths += _save_figures([analysis], folder, name)
    if analysis.subsets:
        paths.append(folder / f"{name}_subsets_det_curve.png")
        _save_figure(plot_det, analysis.subsets, paths[-1])
    return paths


def _collect_numbers(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis's numbers with those of its subsets among them."""
    subsets = {name: part.numbers for name, part in name_subsets(analysis).items()}
    source = analysis.scores.llr_source or None
    return {**analysis.numbers, "llr_source": source, "subsets": subsets or None}


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
        "detectors": [
            {"title": a.scores.title, **_collect_numbers(a)} for a in analyses
        ],
        "paired_delong_tests": [_list_test(pair) for pair in comparisons],
        "provenance": {**call, "detectors": inputs},
    }
    save_json(content, paths[0])
    header, rows = build_csv(analyses)
    save_csv(rows, paths[1], header=header)
    save_text(format_markdown(analyses, comparisons), paths[2])
    save_text(format_latex(analyses, comparisons), paths[3])
    return [*paths, *_save_figures(analyses, folder, "comparison")]


def _list_test(comparison: Comparison) -> dict[str, Any]:
    """Return what a paired test found, or why there is none."""
    test = comparison.test
    numbers = {} if test is None else test._asdict()
    return {
        "first": comparison.a.scores.title,
        "second": comparison.b.scores.title,
        "tested_on": comparison.data,
        "num_common": comparison.num_common,
        "num_real": comparison.num_real,
        "num_fake": comparison.num_fake,
        # NaN if there is no variance to test by
        **{n: None if np.isnan(value) else value for n, value in numbers.items()},
        "holm_p_value": comparison.holm_p_value,
        "note": comparison.note or None,
    }


def _save_figures(analyses: Sequence[Analysis], folder: Path, name: str) -> list[Path]:
    """Save each plot that can show these, as {name}_{ending}.png."""
    paths = []
    for plot in PLOTS.values():
        if plot.can_show(analyses):
            paths.append(folder / f"{name}_{plot.ending}.png")
            _save_figure(plot.plot_on, analyses, paths[-1])
    return paths


def _save_figure(draw: Callable[[Axes, Any], Axes], analysed: Any, path: Path) -> None:
    save_plot(lambda axes: draw(axes, analysed), path)
    gc.collect()  # a figure refers to itself, and keeps a million points until then
