"""Audit a dataset: duplicates, leaks between splits, and shortcuts to the class."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import command_line
from auditing.duplicates import Pair, find_duplicates
from auditing.findings import (
    Finding,
    classify_pair,
    format_auc,
    list_findings,
)
from auditing.fixing import (
    ACTIONS,
    MANIFEST,
    Fate,
    check_destination,
    plan_fix,
    save_fix,
)
from auditing.page import build_figure, build_page, summarise
from auditing.properties import Inspection, inspect, shorten
from auditing.shortcuts import Shortcut, find_shortcuts
from faces_dataset import FacesDataset, count_classes, describe_split
from files.atomic import check_writable, save_json
from files.names import SPLITS
from files.provenance import describe_call
from files.run_files import get_versions
from plots.pages import save_page
from plots.style import save_figure
from scores import find_leaks, groups_from_names
from scores.groups import Leak
from utils import load_dataset

ENDINGS = (".png", ".json", ".html")
_ROW = "{:<24}{:<9}{:<7}{:<24}{}"

EPILOG = """examples:
  python audit_dataset.py -d fakes_dataset
  python audit_dataset.py -d fakes_dataset --group-by prefix --fix datasets/fair

writes, to the folder of figures:
  DATASET_audit.png    how well each property alone tells the classes apart
  DATASET_audit.json   everything that was found, and the numbers behind the figure
  DATASET_audit.html   the same as a page, with the images that show the same

The exit status is 1 when something serious was found."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="video or identity in the file name: the first parentheses, or the whole "
        "match; 'prefix' for what stands before '_' or the ending; looks for groups "
        "in two splits, and keeps each on one side where properties are judged",
    )
    parser.add_argument(
        "--fix",
        type=Path,
        metavar="DEST",
        help="also write a copy of the dataset to this new folder: no unreadable "
        "files, no duplicates, no leaks, both classes encoded alike",
    )
    command_line.add_seed_flag(parser)
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when something serious was found, else 0."""
    args = parse_args(argv)
    datasets = open_splits(args.dataset, args.data_root, limit=args.limit)
    group_of = find_groups(datasets, args.group_by)
    check_writable(args.figures_dir)
    if args.fix is not None:
        check_destination(args.fix, args.data_root / args.dataset)
    for split, dataset in datasets.items():
        command_line.say(describe_split(split, dataset))

    inspection = inspect_splits(datasets)
    groups = group_of and [group_of[path] for path in inspection.paths]
    pairs = find_duplicates(inspection)
    leaks = find_group_leaks(inspection, groups)
    shortcuts = find_shortcuts(inspection, groups, seed=args.seed)
    findings = list_findings(inspection, pairs, leaks, shortcuts)
    command_line.say("", *format_table(shortcuts), "", *map(str, findings))
    command_line.say(f"{args.dataset}: {summarise(findings)}")

    counts = {split: count_classes(dataset) for split, dataset in datasets.items()}
    audit = Audit(args.dataset, counts, inspection, pairs, shortcuts, findings)
    call = describe_call(
        Path(__file__).name, sys.argv[1:] if argv is None else argv, _get_versions()
    )
    for path in save_audit(audit, args.figures_dir, call):
        command_line.say(f"wrote {path}")
    if args.fix is not None:
        fates = plan_fix(inspection, pairs, groups)
        save_fix(fates, args.fix)
        command_line.say(describe_fix(fates, args.fix))
    return int(any(finding.level == "serious" for finding in findings))


@dataclass(frozen=True)
class Audit:
    """All that was found out about a dataset.

    Attributes:
        dataset: its name.
        counts: split -> class -> images.
        inspection: what was measured of each.
        pairs: of images that show the same.
        shortcuts: how well each property tells the classes apart.
        findings: what to know of it, the serious first.
    """

    dataset: str
    counts: dict[str, dict[str, int]]
    inspection: Inspection
    pairs: list[Pair]
    shortcuts: list[Shortcut]
    findings: list[Finding]


def open_splits(
    name: str, data_root: str | Path, *, limit: int | None = None
) -> dict[str, FacesDataset]:
    """Open the splits that a dataset has.

    Raises:
        FileNotFoundError: there is no such dataset, or a class has no folder.
        ValueError: a class has no image.
    """
    there = [split for split in SPLITS if (Path(data_root) / name / split).is_dir()]
    return {
        split: load_dataset(name, split, data_root=data_root, limit=limit)
        for split in there or SPLITS
    }


def inspect_splits(datasets: Mapping[str, FacesDataset]) -> Inspection:
    """Measure every image of the splits."""
    paths, splits, labels = [], [], []
    for split, dataset in datasets.items():
        paths += map(dataset.get_path, range(len(dataset)))
        splits += [split] * len(dataset)
        labels += dataset.get_labels().tolist()
    return inspect(paths, splits, labels)


def find_groups(
    datasets: Mapping[str, FacesDataset], pattern: str | None
) -> dict[Path, str] | None:
    """Return the group of each file, None without a pattern.

    Raises:
        ValueError: for a broken pattern, or one that does not match a name.
    """
    paths = [d.get_path(index) for d in datasets.values() for index in range(len(d))]
    groups = groups_from_names(list(map(str, paths)), pattern)
    return groups and dict(zip(paths, groups, strict=True))


def find_group_leaks(
    inspection: Inspection, groups: Sequence[str] | None
) -> list[Leak]:
    """Find groups that stand in more than one split; without groups there is none."""
    by_split: dict[str, list[str]] = {}
    for split, group in zip(inspection.splits.tolist(), groups or (), strict=False):
        by_split.setdefault(split, []).append(group)
    return find_leaks(by_split)


def format_table(shortcuts: Sequence[Shortcut]) -> list[str]:
    """Return the properties that vary as lines, the most telling first."""
    lines = [_ROW.format("property", "of", "split", "AUC [95 % together]", "verdict")]
    for shortcut in shortcuts:
        if not shortcut.is_constant:
            kind = "file" if shortcut.is_of_file else "content"
            cells = shortcut.trait.name, kind, shortcut.split, format_auc(shortcut)
            lines.append(_ROW.format(*cells, shortcut.verdict))
    varying = {s.trait.name for s in shortcuts if not s.is_constant}
    names = dict.fromkeys(s.trait.name for s in shortcuts)
    constant = [name for name in names if name not in varying]
    if constant:
        lines.append(f"the same in all images of a split: {', '.join(constant)}")
    return lines


def save_audit(audit: Audit, folder: str | Path, call: dict[str, Any]) -> list[Path]:
    """Save figure, numbers and page; return their paths.

    Args:
        audit: what was found.
        folder: where.
        call: what ran, as `describe_call` returns it.

    Raises:
        OSError: the folder cannot be written.
    """
    start = Path(folder) / f"{audit.dataset}_audit"
    png, json, html = (start.with_name(start.name + e) for e in ENDINGS)
    page = build_page(
        audit.dataset,
        audit.inspection,
        audit.findings,
        shortcuts=audit.shortcuts,
        counts=audit.counts,
    )
    save_figure(build_figure(audit.dataset, audit.shortcuts), png)
    save_json({**call, **describe_audit(audit)}, json)
    save_page(page, html)
    return [png, json, html]


def describe_audit(audit: Audit) -> dict[str, Any]:
    """Return an audit as values for JSON."""
    paths = audit.inspection.paths
    return {
        "dataset": audit.dataset,
        "counts": audit.counts,
        "findings": [
            {"level": f.level, "text": f.text, "advice": f.advice}
            for f in audit.findings
        ],
        "shortcuts": [
            {
                "property": shortcut.trait.name,
                "columns": shortcut.trait.columns,
                "kind": "file" if shortcut.is_of_file else "content",
                "split": shortcut.split,
                "num_images": shortcut.num_images,
                "auc": shortcut.auc,
                "auc_interval": [shortcut.low, shortcut.high],
                "is_constant": shortcut.is_constant,
                "verdict": shortcut.verdict,
                "typical": shortcut.difference,
            }
            for shortcut in audit.shortcuts
        ],
        "pairs": [
            {
                "first": shorten(paths[pair.first]),
                "second": shorten(paths[pair.second]),
                "kind": pair.kind,
                "similarity": pair.similarity,
                "meaning": classify_pair(audit.inspection, pair),
            }
            for pair in audit.pairs
        ],
        "unreadable": [
            {"path": shorten(bad.path), "reason": bad.reason}
            for bad in audit.inspection.unreadable
        ],
    }


def describe_fix(fates: Sequence[Fate], destination: Path) -> str:
    """Say what was written, and how many files were treated how."""
    counts = Counter(fate.action for fate in fates)
    numbers = ", ".join(f"{counts[action]} {action}" for action in ACTIONS)
    return f"wrote {destination} ({numbers}: {destination / MANIFEST} says which, why)"


def _get_versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    names = ("scipy", "scikit-learn")
    return {**get_versions(), **{name: version(name) for name in names}}


if __name__ == "__main__":
    command_line.run(main)
