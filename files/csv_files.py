"""Read a table of comma-separated values, whatever program wrote it."""

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

SEPARATORS = (",", ";", "\t")


class CsvRows(NamedTuple):
    """An open table.

    Attributes:
        header: the columns' names, none of them twice.
        rows: yields each row's last line, from 1, and its cells, as many as columns.
        has_decimal_commas: whether numbers may have a comma for a point.
    """

    header: list[str]
    rows: Iterator[tuple[int, list[str]]]
    has_decimal_commas: bool


@contextmanager
def open_csv(path: Path) -> Iterator[CsvRows]:
    """Open a table in UTF-8 or UTF-16, its columns separated by comma or the like.

    A semicolon, a tab, or what a first line such as 'sep=|' says are separators, too.
    Bytes that are not UTF-8 are kept as they are, and empty rows passed over.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a table, a column is named twice, or a row has
            another number of cells; the message names the line.
    """
    # Newlines are not translated, so one within a quoted name stays what it is.
    with path.open(**_find_encoding(path), newline="") as handle:
        try:
            header, dialect, num_lines = _read_header(handle)
            if twice := [n for n in header if n and header.count(n) > 1]:
                raise ValueError(
                    f"{path}, line 1: the column {twice[0]!r} occurs twice"
                )
            rows = _read_rows(csv.reader(handle, **dialect), header, path, num_lines)
            yield CsvRows(header, rows, dialect["delimiter"] == ";")
        except csv.Error as error:
            raise ValueError(f"{path} is not a CSV file: {error}") from error


def _find_encoding(path: Path) -> dict[str, str]:
    """Return how to decode a file; bytes that are not UTF-8 are kept as they are."""
    with path.open("rb") as handle:
        is_wide = handle.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if is_wide:
        return {"encoding": "utf-16", "errors": "replace"}
    return {"encoding": "utf-8-sig", "errors": "surrogateescape"}


def _read_header(handle: TextIO) -> tuple[list[str], dict[str, Any], int]:
    """Return the columns' names, how cells are written, and how many lines that took.

    Spreadsheets may write empty rows, and a line that names the separator, before.
    """
    separators: Sequence[str] = SEPARATORS
    for num_lines, line in enumerate(iter(handle.readline, ""), start=1):  # noqa: B007
        if match := re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE):
            separators = match[1]
        elif line.strip(",;\t\r\n "):
            break
    else:
        line, num_lines = "", 1
    headers = {s: next(csv.reader([line], delimiter=s), []) for s in separators}
    separator = max(headers, key=lambda separator: len(headers[separator]))
    header = headers[separator]
    # If the header has spaces after separators, they do not belong to names.
    has_spaces = any(name.startswith(" ") for name in header)
    dialect = {"delimiter": separator, "skipinitialspace": has_spaces, "strict": True}
    return [name.strip() for name in header], dialect, num_lines


def _read_rows(
    rows: Any, header: Sequence[str], path: Path, num_lines: int
) -> Iterator[tuple[int, list[str]]]:
    for row in rows:
        if not any(row):  # an empty line, or a spreadsheet's empty row
            continue
        line = rows.line_num + num_lines
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(row)} cells, but the header names "
                f"{len(header)} columns"
            )
        yield line, row
