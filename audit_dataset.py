"""Audit a dataset: duplicates, leaks between splits, and shortcuts to the class."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import command_line
from command_line.compute import take_source

from auditing.audit import audit_splits
from auditing.findings import summarise
from auditing.fixing import (
    ACTIONS,
    MANIFEST,
    Fate,
    check_destination,
    plan_fix,
    save_fix,
)
from auditing.page import save_audit
from auditing.shortcuts import Shortcut
from faces_dataset import describe_split
from files.atomic import check_writable
from files.names import SPLITS
from files.provenance import describe_call
from loading.sources.datasets import find_dataset, list_splits
from scores import find_groups
from utils import open_splits

_ROW = "{:<24}{:<9}{:<7}{:<24}{}"

EPILOG = """examples:
  python audit_dataset.py -d fakes_dataset
  python audit_dataset.py -d fakes_dataset --group-by prefix --fix datasets/fair

writes, to the folder of figures:
  DATASET_audit.png    how well each property alone tells the classes apart
  DATASET_audit.json   everything that was found, and the numbers behind the figure
  DATASET_audit.html   the same as a page that shows the duplicates

The exit status is 1 when something serious was found."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_dataset_flag(parser)
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
    source = take_source(args)
    path = find_dataset(args.dataset, args.data_root)
    splits = (path and list_splits(path, source.shares)) or SPLITS
    datasets = open_splits(args.dataset, source, splits=splits)
    for dataset in datasets.values():
        find_groups(dataset, args.group_by)  # refuses what is broken
    check_writable(args.figures_dir)
    if args.fix is not None:
        check_destination(args.fix, path)
    command_line.say(*(describe_split(*entry) for entry in datasets.items()))

    audit = audit_splits(args.dataset, datasets, args.group_by, seed=args.seed)
    command_line.say("", *format_table(audit.shortcuts), "")
    command_line.say(*map(str, audit.findings))
    command_line.say(f"{args.dataset}: {summarise(audit.findings)}")

    call = describe_call(__file__, argv, "scipy", "scikit-learn")
    for written in save_audit(audit, args.figures_dir, call):
        command_line.say(f"wrote {written}")
    if args.fix is not None:
        fates = plan_fix(audit.inspection, audit.pairs, audit.groups)
        save_fix(fates, args.fix)
        command_line.say(describe_fix(fates, args.fix))
    return int(any(finding.level == "serious" for finding in audit.findings))


def format_table(shortcuts: Sequence[Shortcut]) -> list[str]:
    """Return the properties that vary as lines, the most telling first."""
    lines = [_ROW.format("property", "of", "split", "AUC [95 % together]", "verdict")]
    for shortcut in shortcuts:
        if not shortcut.is_constant:
            lines.append(_ROW.format(*shortcut.to_cells()))
    varying = {s.trait.name for s in shortcuts if not s.is_constant}
    names = dict.fromkeys(s.trait.name for s in shortcuts)
    constant = [name for name in names if name not in varying]
    if constant:
        lines.append(f"the same in all images of a split: {', '.join(constant)}")
    return lines


def describe_fix(fates: Sequence[Fate], destination: Path) -> str:
    """Say what was written, and how many files were treated how."""
    counts = Counter(fate.action for fate in fates)
    numbers = ", ".join(f"{counts[action]} {action}" for action in ACTIONS)
    return f"wrote {destination} ({numbers}: {destination / MANIFEST} says which, why)"


if __name__ == "__main__":
    command_line.run(main)
