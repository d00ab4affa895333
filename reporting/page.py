"""From checkpoints to a report: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from files.atomic import check_output
from files.provenance import describe_call, describe_file
from files.run_files import get_versions
from hardware import Precision, show_progress
from metrics.names import METRICS
from plots.pages import render_page, save_page
from plots.paper_tables import build_detectors, build_tests
from plots.style import format_number, format_with_interval, get_interval
from plots.tables import format_ends
from reporting.figures import (
    describe_counts,
    draw_analysis,
    draw_comparison,
    draw_learning,
    draw_means,
    draw_mistake,
    draw_samples,
)
from reporting.runs import Run, Settings, collect_runs
from reporting.words import (
    build_card,
    describe_verdict,
    grade,
    list_commands,
)
from scores.analysis import compare_detectors

TEMPLATE = Path(__file__).with_name("report.html")
_PACKAGES = ("scipy", "scikit-learn", "matplotlib", "grad-cam")


def name_report(checkpoint_paths: Sequence[Path], folder: str | Path) -> Path:
    """Return what a report is called where nobody names it."""
    paths = list(checkpoint_paths)
    stem = paths[0].stem if len(paths) == 1 else "comparison"
    return Path(folder) / f"{stem}_report.html"


def write_report(
    checkpoint_paths: Sequence[Path],
    output: str | Path,
    settings: Settings,
    *,
    precision: Precision,
    script: str,
    arguments: Sequence[str],
) -> None:
    """Judge and explain detectors, and write all of it as one page.

    Args:
        checkpoint_paths: one, or several to compare.
        output: the page.
        settings: what is judged, and how.
        precision: arithmetic of the scores; it says where the models are.
        script, arguments: what was called, for the page to say.

    Raises:
        ValueError, OSError: as for `collect_runs`; or the page cannot be written, or
            would replace a checkpoint.
    """
    inputs = [*checkpoint_paths, *filter(None, [settings.history_path])]
    check_output(Path(output), inputs)
    runs = collect_runs(checkpoint_paths, settings, precision)
    versions = {**get_versions(), **{name: version(name) for name in _PACKAGES}}
    call = describe_call(script, arguments, versions)
    values = build_values(runs, settings, precision, call=call)
    save_page(render_page(TEMPLATE, **values), output)


def build_values(
    runs: Sequence[Run],
    settings: Settings,
    precision: Precision,
    *,
    call: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the template names.

    Args:
        runs: as `collect_runs` returns them.
        settings, precision: of the same.
        call: as `describe_call` returns it.
    """
    analyses = [run.analysis for run in runs]
    titles = [analysis.scores.title for analysis in analyses]
    comparison = None
    if len(runs) > 1:
        comparison = {
            "detectors": build_detectors(analyses),
            "grades": [grade(analysis.numbers) for analysis in analyses],
            "tests": build_tests(compare_detectors(analyses)),
            "figures": draw_comparison(analyses),
        }
    options = {
        "settings": settings,
        "precision": precision.name,
        "brief": len(runs) > 1,
    }
    return {
        "title": ", ".join(titles),
        "runs": [
            _describe_run(run, call, **options) for run in show_progress(runs, "draw")
        ],
        "comparison": comparison,
        "call": call,
        "settings": settings,
        "precision": precision,
    }


def _describe_run(
    run: Run,
    call: Mapping[str, Any],
    *,
    settings: Settings,
    precision: str,
    brief: bool,
) -> dict[str, Any]:
    """Return what the template shows of one run."""
    history, scores = run.training.history, run.analysis.scores
    files = [*scores.provenance["inputs"]]
    if history.run:
        files.append(describe_file(history.path))
    return {
        "title": scores.title,
        "verdict": describe_verdict(run),
        "training": run.training,
        "counts": describe_counts(run.training.counts),
        "samples": draw_samples(run),
        "flags": _list_flags(run),
        "details": run.model.details,
        "learning": draw_learning(run),
        "numbers": list_numbers(run.analysis.numbers),
        "points": run.analysis.numbers["operating_points"],
        "report": run.analysis.numbers,
        "scores": scores,
        "figures": draw_analysis(run.analysis, brief=brief),
        "sides": run.maps.sides,
        "draw_mistake": draw_mistake,
        "means": draw_means(run),
        "card": build_card(run),
        "files": files,
        "versions": _compare_versions(run, call),
        "commands": list_commands(run, settings, precision),
        "format_cell": partial(format_with_interval, digits=4),
    }


def list_numbers(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every number as a row: its name, value, interval and definition.

    Args:
        numbers: of an analysis.
    """
    return [
        {
            "name": metric.words,
            "value": numbers[name],
            "text": format_number(numbers[name]),
            "interval": get_interval(numbers, name) or (),
            "range": format_ends(numbers, metric),
            "definition": metric.definition,
        }
        for name, metric in METRICS.items()
    ]


def _list_flags(run: Run) -> list[tuple[str, str]]:
    """Return a training's flags as its command line spells them."""
    flags = run.model.details.get("flags", {})
    return [(f"--{str(k).replace('_', '-')}", str(v)[:200]) for k, v in flags.items()]


def _compare_versions(run: Run, call: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return a row for each package: its version in the training, and on this page."""
    trained, now = run.model.details.get("versions", {}), call["versions"]
    names = dict.fromkeys([*now, *map(str, trained)])
    return [(n, str(trained.get(n, "-")), now.get(n, "-")) for n in names]
