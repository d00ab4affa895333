"""A comparison as tables to paste: CSV, Markdown, LaTeX.

The 95 % interval of a number has columns of its own in CSV, with all digits; Markdown
has 'value [low, high]'; LaTeX, for a narrow page, has the interval below the value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from files.names import make_printable
from metrics.all_metrics import list_columns
from plots.style import format_p_value, format_with_interval, get_interval
from plots.tables import list_levels, name_by_letters
from scores.analysis import Analysis, Comparison

_TESTS = ("first", "second", "tested on", "real", "fake")
_TESTS += ("AUC difference", "p", "p by Holm", "note")
# A name must not become markup: neither cells nor tags.
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in r"\|*_`<["})
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}", "|": r"\textbar{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}"}


def build_csv(analyses: Sequence[Analysis]) -> tuple[list[str], list[list[Any]]]:
    """Return the header and a row for each detector; empty cells for no number.

    The numbers of its groups are in a row below, whose unit is 'groups'.
    """
    header = ["detector", "num_real", "num_fake", *name_csv_columns("paper")]
    header += ["unit", "group_score"]
    rows = []
    for analysis in analyses:
        for level in filter(None, (analysis, analysis.groups)):
            sizes = [level.numbers["num_real"], level.numbers["num_fake"]]
            cells = [*sizes, *list_csv_cells(level.numbers, "paper")]
            cells += [level.scores.unit, level.numbers.get("group_score_in_words", "")]
            rows.append([analysis.scores.title, *cells])
    return header, rows


def name_csv_columns(table: str) -> list[str]:
    """Return three names for each metric of a table: its value, and its ends."""
    names = [metric.name for metric in list_columns(table)]
    return [column for n in names for column in (n, f"{n}_low", f"{n}_high")]


def list_csv_cells(numbers: Mapping[str, Any], table: str) -> list[Any]:
    """Return the cells below `name_csv_columns`, empty ones for no number."""
    cells: list[Any] = []
    for metric in list_columns(table):
        value, interval = numbers[metric.name], get_interval(numbers, metric.name)
        cells += ["", "", ""] if value is None else [value, *(interval or ("", ""))]
    return cells


def format_markdown(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return the detectors, and the paired tests, as two tables of Markdown."""
    return format_markdown_tables(build_detectors(analyses), build_tests(comparisons))


def format_markdown_tables(*tables: Sequence[Sequence[str]]) -> str:
    """Return tables of Markdown; of each the first row is the header."""
    texts = []
    for rows in tables:
        escaped = [[cell.translate(_MARKDOWN) for cell in row] for row in rows]
        lines = [f"| {' | '.join(row)} |" for row in escaped]
        rule = f"|{' --- |' * len(rows[0])}"
        texts.append("\n".join([lines[0], rule, *lines[1:]]))
    return "\n\n".join(texts) + "\n"


def format_latex(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return detectors, numbers and tests as three tabulars that need no package."""
    letters = name_by_letters(len(analyses))
    titles = [analysis.scores.title for analysis in analyses]
    letter_of = dict(zip(titles, letters, strict=True))
    stack = _stack(analyses)
    tables = [
        format_tabular("@{}lllrr@{}", _name_in_latex(analyses)),
        format_tabular(f"@{{}}l{'c' * len(stack[0][1:])}@{{}}", stack),
        format_tabular("@{}lrrcll@{}", _test_in_latex(comparisons, letter_of)),
    ]
    start = r"{\footnotesize\setlength{\tabcolsep}{3pt}% values over 95 \% intervals"
    return "\n".join([start, "\n\n\\medskip\n".join(tables), "\\par}\n"])


def format_tabular(columns: str, rows: Sequence[Sequence[str]]) -> str:
    """Return rows of LaTeX, the first of them a header, as a tabular."""
    lines = [" & ".join(row) + r" \\" for row in rows]
    body = [r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
    start = rf"\begin{{tabular}}{{{columns}}}"
    return "\n".join([start, *body, r"\end{tabular}"])


def _name_in_latex(analyses: Sequence[Analysis]) -> list[list[str]]:
    """Return what each letter stands for, and of how many samples."""
    rows = [["", "detector", "split", "real", "fake"]]
    for letter, title, level in list_levels(analyses):
        sizes = (level.numbers["num_real"], level.numbers["num_fake"])
        cells = [level.scores.split or "-", *map(str, sizes)]
        rows.append([letter, escape_latex(title), *cells])
    return rows


def _stack(analyses: Sequence[Analysis]) -> list[list[str]]:
    """Return two rows for each detector: its numbers, and their intervals below."""
    rows = [["", *(escape_latex(m.short) for m in list_columns("paper"))]]
    for letter, _, level in list_levels(analyses):
        parts = [cell.partition(" ") for cell in _list_cells(level)]
        rows.append([letter, *(number for number, _, _ in parts)])
        rows.append(["", *(ends and rf"\scriptsize {ends}" for _, _, ends in parts)])
    return rows


def _list_cells(analysis: Analysis) -> list[str]:
    metrics = list_columns("paper")
    return [format_with_interval(analysis.numbers, metric.name) for metric in metrics]


def _test_in_latex(
    comparisons: Sequence[Comparison], letter_of: Mapping[str, str]
) -> list[list[str]]:
    """Return a header and a row for each pair, with its test or why there is none."""
    rows = [["", *_TESTS[3:-1]]]
    for comparison, (*_, real, fake, difference, p, holm, note) in zip(
        comparisons, build_tests(comparisons)[1:], strict=True
    ):
        pair = (letter_of[of.scores.title] for of in (comparison.a, comparison.b))
        cells = [_set_as_number(cell) for cell in (difference, p, holm)]
        if comparison.test is None:
            cells = [_span(note)]
        rows.append(["--".join(pair), real, fake, *cells])
        if note and comparison.test is not None:
            rows.append(["", "", "", _span(note)])
    return rows


def _set_as_number(text: str) -> str:
    """Return a number with a minus, and powers of ten, as LaTeX sets them."""
    number, _, exponent = text.replace(" [", r"\ [").partition("e")
    return rf"${number} \cdot 10^{{{int(exponent)}}}$" if exponent else f"${number}$"


def _span(note: str) -> str:
    """Return a note over the columns of a test, in lines of its own."""
    width = r"p{0.7\linewidth}"
    return rf"\multicolumn{{3}}{{{width}}}{{\raggedright {escape_latex(note)}}}"


def build_detectors(analyses: Sequence[Analysis]) -> list[list[str]]:
    """Return a header, and a row for each detector and for its groups."""
    names = [metric.short for metric in list_columns("paper")]
    rows = [["detector", "split", "real", "fake", *names]]
    for _, title, level in list_levels(analyses):
        sizes = [str(level.numbers[name]) for name in ("num_real", "num_fake")]
        own = make_printable(level.scores.title)
        title = title if title == own else f"{own}, {title}"
        rows.append([title, level.scores.split or "-", *sizes, *_list_cells(level)])
    return rows


def build_tests(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Return a header and a row for each pair: its paired DeLong test, or why none."""
    rows = [list(_TESTS)]
    for comparison in comparisons:
        test, numbers = comparison.test, ["-", "-", "-"]
        if test is not None:
            interval = f"[{test.low:+.3f}, {test.high:+.3f}]"
            numbers = [f"{test.difference:+.3f} {interval}", f"{test.p_value:.3g}"]
            numbers.append(format_p_value(comparison.holm_p_value))
        titles = [make_printable(c.scores.title) for c in (comparison.a, comparison.b)]
        sizes = [str(comparison.num_real), str(comparison.num_fake)]
        data = make_printable(comparison.data)
        rows.append([*titles, data, *sizes, *numbers, comparison.note])
    return rows


def escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
