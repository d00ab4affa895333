"""Tables whose columns are called otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from files.classes import list_kinds, read_labels
from loading.layouts.rows import COLUMNS, Found, Hints, Row, take_split
from loading.sources.tables import WHOLE_NUMBERS, read_columns


def read_foreign_tables(files: Sequence[Path], said: Hints) -> Found:
    """Take the pictures of tables, whose columns the user has named.

    Other columns are kept. Pictures that are not there are passed over.

    Raises:
        OSError: a file cannot be read.
        ValueError: a column is missing, or what it says is not clear.
    """
    found = [_read_table(file, said) for file in files]
    rows = [row for one in found for row in one.rows]
    notes = [note for one in found for note in one.notes]
    return Found(rows, notes, group_flags="--group-by or --columns group=NAME")


def _read_table(file: Path, said: Hints) -> Found:
    columns = read_columns(file)
    called = {name: said.columns.get(name, name) for name in COLUMNS}
    required = {"path", "label", *said.columns}
    if missing := sorted(n for n in required if called[n] not in columns):
        raise ValueError(
            f"{file} has no column {called[missing[0]]!r}, its columns are "
            f"{', '.join(columns)}: --columns {missing[0]}=NAME says which is the "
            f"{missing[0]}"
            if columns
            else f"{file} is empty"
        )
    taken = {name: columns[own] for name, own in called.items() if own in columns}
    root = said.root or file.parent
    words = taken["label"]
    try:
        taken["label"] = read_labels(words, said.real_labels)
        if "split" in taken:
            taken["split"] = list(map(take_split, taken["split"], taken["path"]))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    kinds = list_kinds(words, taken["label"])
    if any(kinds) and "subset" not in taken:
        taken["subset"] = kinds
    for name in ("path", "mask"):
        taken[name] = [
            t and (root / t.replace("\\", "/")).as_posix()
            for t in taken.get(name, [""] * len(words))
        ]
    used = {*COLUMNS, *called.values()}
    others = {name: cells for name, cells in columns.items() if name not in used}
    return _make_rows(file, taken, others)


def _make_rows(
    file: Path, taken: Mapping[str, Sequence], others: Mapping[str, Sequence[str]]
) -> Found:
    is_packed = all(name in taken for name in WHOLE_NUMBERS)
    num = len(taken)
    rows = [
        Row(
            **dict(zip(taken, cells[:num], strict=True)),
            others=dict(zip(others, cells[num:], strict=True)),
        )
        for cells in zip(*taken.values(), *others.values(), strict=True)
    ]
    if is_packed:
        return Found(rows)
    there, missing = [], []
    for row in rows:
        (there if Path(row.path).is_file() else missing).append(row)
    if missing and not there:
        raise FileNotFoundError(
            f"{file}: none of the {len(missing)} images is there, such as "
            f"{missing[0].path}: --root DIR says where their paths start"
        )
    notes = [
        f"{len(missing)} images of {file} are not there, such as {row.path}"
        for row in missing[:1]
    ]
    return Found(there, notes)
