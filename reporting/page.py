"""From checkpoints to a report: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from files.atomic import check_output, save_text
from files.classes import CLASS_NAMES
from files.names import FIGURES_DIR, shorten
from files.provenance import describe_call, describe_file
from hardware import show_progress
from metrics.all_metrics import METRICS
from plots.pages import list_counts, render_page
from plots.paper_tables import build_detectors, build_tests
from plots.runs import build_rows
from plots.style import format_number, format_with_interval, get_interval
from plots.tables import describe_groups, format_ends
from reporting import figures, words
from reporting.runs import Run, Settings, collect_runs
from scores.analysis import compare_detectors
from scores.runs import analyse_runs, describe_recipe

TEMPLATE = Path(__file__).with_name("report.html")
_PACKAGES = ("scipy", "scikit-learn", "matplotlib", "grad-cam")
_USED_IN_TEMPLATE = (
    *(words.describe_maps, figures.draw_mistake, format_ends, format_number),
    *(describe_groups, format_with_interval, get_interval, shorten),
)


def name_report(checkpoint_paths: Sequence[Path]) -> Path:
    """Return what a report is called if nobody names it."""
    stem = "comparison" if checkpoint_paths[1:] else checkpoint_paths[0].stem
    return FIGURES_DIR / f"{stem}_report.html"


def write_report(
    checkpoint_paths: Sequence[Path],
    output: str | Path,
    settings: Settings,
    *,
    call: tuple[str, Sequence[str] | None],
) -> None:
    """Judge and explain detectors, several to compare, and write it all as one page.

    The page says by `call` which script was called, and with which words.

    Raises:
        ValueError, OSError: as for `collect_runs`; or the page cannot be written, or
            would replace a checkpoint.
    """
    inputs = [*checkpoint_paths, *filter(None, [settings.history_path])]
    check_output(Path(output), inputs)
    runs = collect_runs(checkpoint_paths, settings)
    called = describe_call(*call, *_PACKAGES)
    page = render_page(
        TEMPLATE,
        parts=[
            _build_part(run, settings, called["versions"], brief=len(runs) > 1)
            for run in show_progress(runs, "draw")
        ],
        comparison=_build_comparison(runs, settings) if len(runs) > 1 else None,
        title=", ".join(run.analysis.scores.title for run in runs),
        settings=settings,
        call=called,
        class_names=CLASS_NAMES,
        metrics=METRICS.values(),
        **{function.__name__: function for function in _USED_IN_TEMPLATE},
    )
    save_text(page, output)


def _build_comparison(runs: Sequence[Run], settings: Settings) -> dict[str, Any]:
    """Return what the template shows of several runs side by side."""
    analyses = [run.analysis for run in runs]
    return {
        "detectors": build_detectors(analyses),
        "grades": [words.grade(analysis.numbers) for analysis in analyses],
        "tests": build_tests(compare_detectors(analyses)),
        "figures": figures.draw_comparison(analyses),
        "means": _build_means(runs, settings),
    }


def _build_means(runs: Sequence[Run], settings: Settings) -> list[list[str]]:
    """Return the table of runs of one recipe as one result, [] if they are not."""
    scores = [run.analysis.scores for run in runs]
    recipes = {(of.dataset, describe_recipe(of)) for of in scores}
    if len(recipes) > 1 or not all(of.flags for of in scores):
        return []
    names = ("num_resamples", "seed", "group_score")
    options = {name: getattr(settings, name) for name in names}
    return build_rows(analyse_runs([scores], **options)[0])


def _build_part(
    run: Run, settings: Settings, versions: Mapping[str, str], *, brief: bool
) -> dict[str, Any]:
    """Return what the template shows of one run."""
    record = run.detector.record
    flags = [
        (f"--{n}".replace("_", "-"), str(v)[:200]) for n, v in record.flags.items()
    ]
    trained = {str(name): str(version) for name, version in record.versions.items()}
    names = dict.fromkeys([*versions, *trained])
    return {
        "run": run,
        "verdict": words.describe_verdict(run),
        "counts": list_counts(run.training.counts),
        "samples": figures.draw_samples(run),
        "flags": flags,
        "learning": figures.draw_learning(run),
        "figures": figures.draw_analysis(run.analysis, brief=brief),
        "means": figures.draw_means(run),
        "card": words.build_card(run),
        "commands": words.list_commands(run, settings),
        "files": _list_files(run),
        "versions": [(n, trained.get(n, "-"), versions.get(n, "-")) for n in names],
    }


def _list_files(run: Run) -> list[tuple[str, str]]:
    """Return what the page was made of, and the SHA-256 of each."""
    history, scores = run.training.history, run.analysis.scores
    files = [run.detector.provenance]
    files += [describe_file(history.path)] if history.run else []
    images = f"file names of the {scores.split} images"
    digests = [(file["path"], file["sha256"]) for file in files]
    return [*digests, (images, scores.provenance["file_names_sha256"])]
