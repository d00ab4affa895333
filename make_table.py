"""Make a table of data that are laid out differently, for -d NAME of every script.

It shows what it found, and writes only with --to. Images stay where they are, and are
not opened: train_main.py and audit_dataset.py name those that cannot be read.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import Path

import command_line

from files.atomic import check_output
from files.bounds import SHARE
from files.classes import CLASS_NAMES
from files.names import SPLITS
from loading.layouts import (
    COLUMNS,
    LEVELS,
    Found,
    Hints,
    Row,
    check_rows,
    deal_rest,
    join_families,
    list_others,
    read_layout,
    save_rows,
    split_by_pairs,
    split_by_test_list,
)
from loading.sources.splitting import SHARES
from scores.groups import find_leaks, groups_from_names, subsets_from_names

NUM_SHOWN = 3  # rows of each class
MOST_SUBSETS = 20  # that are shown

EPILOG = """Folders tell the class by their names, 0_real or Celeb-synthesis, and the
split by train, val or test. What the others mean, --levels says.

examples:
  folders     python make_table.py photos --to datasets/photos.csv
              python make_table.py genimage --real-labels nature
  videos      python make_table.py ff --levels subset group --splits train.json
                val.json test.json
              python make_table.py Celeb-DF --test-list List_of_testing_videos.txt
  JSON        python make_table.py FaceForensics++.json --root rgb --compression c23
  tar         python make_table.py shards --real-labels 0 --group-by prefix
  a table     python make_table.py faces.csv --columns path=filename label=class
  then        python train_main.py -d photos

JSON is what DeepfakeBench and DF40 write, tar what WebDataset writes."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    add = parser.add_argument
    text = "folders of images, tar files or folders of them, JSON lists, or tables"
    add("sources", type=Path, nargs="+", metavar="SOURCE", help=text)
    text = "the table to write, datasets/NAME.csv; its paths are relative to it"
    add("--to", type=Path, metavar="FILE", help=text)
    add("--force", action="store_true", help="replace the table if it is there")
    text = "folders or labels that mean real; all others of their kind are fakes"
    add("--real-labels", nargs="+", default=(), metavar="NAME", help=text)
    text = (
        "for folders that are neither class nor split, from the outermost: what each "
        "one names, a subset (forgery method), a group (video, person) or nothing (-)"
    )
    add("--levels", nargs="+", choices=LEVELS, metavar="LEVEL", help=text)
    text = (
        "video or person in the file name: the first parentheses, or the whole match; "
        "'prefix' for what stands before '_' or the ending"
    )
    add("--group-by", metavar="REGEX", help=text)
    text = "forgery method in the path, likewise"
    add("--subset-by", metavar="REGEX", help=text)
    text = (
        "join groups by their names: the fake 071_054 with the real 071 and 054, or "
        "id0_id1_0000 with id0_0000 and id1_0000 (lists and JSON do so anyway)"
    )
    add("--families", action="store_true", help=text)
    text = (
        "share of the images in train, val and test, no group divided: writes a split "
        "where there is none (without it, train_main.py deals the table out); where "
        "there is no val, takes it from train"
    )
    add(
        "--shares",
        type=command_line.take(SHARE),
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help=text,
    )
    _add_layout_flags(parser)
    args = parser.parse_args(argv)
    if args.shares and abs(sum(args.shares) - 1) > 1e-6:
        parser.error(f"--shares must sum to 1, not {sum(args.shares):g}")
    return args


def _add_layout_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that count for some layouts."""
    add = parser.add_argument_group("for some layouts").add_argument
    text = "FaceForensics++'s train.json, val.json and test.json, beside its folders"
    add("--splits", type=Path, nargs="+", metavar="FILE", help=text)
    text = "Celeb-DF's List_of_testing_videos.txt, beside its folders"
    add("--test-list", type=Path, metavar="FILE", help=text)
    text = "folder where the paths of a list or table start (default: that of the list)"
    add("--root", type=Path, metavar="DIR", help=text)
    text = "for JSON lists that hold several: the level to take, raw, c23 or c40"
    add("--compression", metavar="LEVEL", help=text)
    text = f"what a table calls its columns: of {', '.join(COLUMNS)}"
    options = {"type": _take_column, "nargs": "+", "default": (), "help": text}
    add("--columns", metavar="COLUMN=NAME", **options)


def _take_column(text: str) -> tuple[str, str]:
    column, _, name = text.partition("=")
    if column not in COLUMNS or not name:
        allowed = ", ".join(COLUMNS)
        raise argparse.ArgumentTypeError(
            f"expected COLUMN=NAME with one of {allowed}, got {text!r}"
        )
    return column, name


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    if args.to is not None:
        check_table(args.to, args.sources, force=args.force)
    said = Hints(
        args.real_labels, args.levels, args.root, args.compression, dict(args.columns)
    )
    found = read_layout(args.sources, said)
    rows = name_groups(found.rows, args.group_by, args.subset_by)
    if args.families:
        rows = join_families(rows)
    found = take_splits(replace(found, rows=rows), args)
    check_rows(found.rows)
    lines = [*describe_rows(found.rows, found.group_flags), *found.notes]
    if args.to is not None and not found.question:
        save_rows(found.rows, args.to)  # first: `| head` ends the script as it prints
        command_line.say(*lines, f"wrote {args.to}")
        if not list_lacks(found.rows):
            next_line = f"train_main.py -d {args.to.stem} --data-root {args.to.parent}"
            command_line.say(f"next: python {next_line}")
        return
    command_line.say(*lines)
    if args.to is not None:
        raise ValueError(f"nothing written: {found.question}")
    line = found.question or "--to datasets/NAME.csv writes it"
    command_line.say(f"nothing written: {line}")


def check_table(path: Path, sources: Sequence[Path], *, force: bool) -> None:
    """Raise ValueError or OSError unless a table can be written."""
    if path.suffix != ".csv":
        raise ValueError(f"{path} is not called NAME.csv: give --to such a name")
    if path.with_suffix("").is_dir():
        raise ValueError(
            f"{path.with_suffix('')} is a folder, which -d {path.stem} would open in "
            "place of the table: give --to another name"
        )
    check_output(path, sources)
    if path.exists() and not force:
        raise ValueError(f"{path} is already there: --force replaces it")


def name_groups(
    rows: Sequence[Row], group_pattern: str | None, subset_pattern: str | None
) -> list[Row]:
    """Take groups and subsets out of names, where the user says how.

    Raises:
        ValueError: a pattern is broken, or does not match.
    """
    base = commonpath([Path(r.path).parent for r in rows]) if rows else ""
    names = [row.path.removeprefix(base).lstrip("/\\") for row in rows]
    labels = [row.label for row in rows]
    known_groups, known_subsets = [r.group for r in rows], [r.subset for r in rows]
    groups = groups_from_names(names, group_pattern) or known_groups
    subsets = subsets_from_names(names, labels, subset_pattern, known_subsets)
    return [
        row._replace(group=group, subset=subset)
        for row, group, subset in zip(rows, groups, subsets, strict=True)
    ]


def take_splits(found: Found, args: argparse.Namespace) -> Found:
    """Take splits from the authors' lists, and deal out what has none."""
    if args.splits:
        found = split_by_pairs(found, args.splits)
    if args.test_list:
        found = split_by_test_list(found, args.test_list, args.shares)
    else:
        found = replace(found, rows=deal_rest(found.rows, args.shares))
    is_grouped = args.group_by or args.splits or args.test_list
    return replace(found, question="" if is_grouped else found.question)


def describe_rows(rows: Sequence[Row], group_flags: str) -> list[str]:
    """Return what a table would hold, as lines; which flags could say the groups."""
    counts = Counter((row.split, row.label) for row in rows)
    splits = [split for split in ("", *SPLITS) if any(s == split for s, _ in counts)]
    lines = [f"{'':<8}{CLASS_NAMES[0]:>9}{CLASS_NAMES[1]:>9}"]
    for split in splits:
        numbers = "".join(f"{counts[split, x]:>9}" for x in range(len(CLASS_NAMES)))
        lines.append(f"{split or 'all':<8}{numbers}")
    lines += [*_describe_splits(splits), *_describe_groups(rows, group_flags)]
    if lacks := list_lacks(rows):
        lines.append(f"train_main.py needs what is missing: {', '.join(lacks)}")
    return [*lines, *_show(rows)]


def list_lacks(rows: Sequence[Row]) -> list[str]:
    """Return the classes of splits that have no image, such as 'val fake'."""
    there = {(row.split, row.label) for row in rows}
    splits = SPLITS if any(split for split, _ in there) else [""]
    return [
        f"{split} {name}".lstrip()
        for split in splits
        for label, name in enumerate(CLASS_NAMES)
        if (split, label) not in there
    ]


def _describe_splits(splits: Sequence[str]) -> list[str]:
    if splits == [""]:
        usual = " ".join(map(str, SHARES))
        return [
            "split: nothing says which; train_main.py deals images out, whole groups "
            f"in one ({usual}; --shares there or here)"
        ]
    missing = [split for split in SPLITS if split not in splits]
    if missing == ["val"]:
        return ["split: no val; --shares 0.8 0.2 0 takes a fifth of train"]
    return [f"split: no {', '.join(missing)}"] if missing else []


def _describe_groups(rows: Sequence[Row], flags: str) -> list[str]:
    """Say how many groups and subsets there are, and what is in two splits."""
    groups = {row.group for row in rows} - {""}
    lines = [
        f"group: {len(groups)}, such as {', '.join(sorted(groups)[:NUM_SHOWN])}"
        if groups
        else f"group: none, so that each image stands by itself: {flags} says which "
        "are of one video or person"
    ]
    by_split = {s: [r.group for r in rows if r.split == s and r.group] for s in SPLITS}
    lines += [f"LEAK: {leak}" for leak in find_leaks(by_split)]
    subsets = Counter(row.subset for row in rows if row.subset)
    if subsets:
        most = subsets.most_common(MOST_SUBSETS)
        dots = ", ..." * (len(subsets) > MOST_SUBSETS)
        lines.append("subset: " + ", ".join(f"{n} {num}" for n, num in most) + dots)
    if masks := sum(bool(row.mask) for row in rows):
        lines.append(f"mask: of {masks} fakes")
    if others := list_others(rows):
        lines.append(f"other columns: {', '.join(others)}")
    return lines


def _show(rows: Sequence[Row]) -> list[str]:
    """Return the first rows of each class, but for their places in an archive."""
    lines = ["first rows:"]
    for label, name in enumerate(CLASS_NAMES):
        for row in [row for row in rows if row.label == label][:NUM_SHOWN]:
            lines.append("  " + "  ".join(filter(None, (row.path, name, *row[2:5]))))
    return lines


if __name__ == "__main__":
    command_line.run(main)
