"""Tables to paste: values at their places, and names that break no markup."""

from types import SimpleNamespace

import pytest

from metrics.all_metrics import METRICS
from plots import paper_tables
from plots.paper_tables import build_csv, format_latex, format_markdown
from scores.analysis import Comparison

TEST = SimpleNamespace(difference=0.02, low=-0.01, high=0.05, p_value=0.0361)


def make_stub(title, unit="images", **more):
    numbers = dict.fromkeys(METRICS) | {"num_real": 6, "num_fake": 4, **more}
    numbers |= {"auc": 0.9, "auc_interval": [0.8, 0.95]}
    scores = SimpleNamespace(title=title, unit=unit, dataset="x", split="test")
    return SimpleNamespace(scores=scores, numbers=numbers, groups=None)


@pytest.fixture
def compared():
    a, b = make_stub("Net_1 on x"), make_stub("a|b 50%")
    words = {"group_score_in_words": "mean_"}
    b.groups = make_stub("a|b 50%", "groups", num_real=3, num_fake=2, **words)
    pairs = [
        Comparison(a, b, TEST, 9, 0.0722, num_real=5, num_fake=4),
        Comparison(b, a, None, note="no names"),
    ]
    return [a, b], pairs


def test_build_csv_has_interval_ends_and_empty_cells(compared):
    header, rows = build_csv(compared[0])

    first = dict(zip(header, rows[0], strict=True))
    assert (first["detector"], first["unit"]) == ("Net_1 on x", "images")
    assert (first["num_real"], first["num_fake"]) == (6, 4)
    assert (first["auc"], first["auc_low"], first["auc_high"]) == (0.9, 0.8, 0.95)
    assert (first["cllr"], first["cllr_low"]) == ("", "")
    groups = dict(zip(header, rows[2], strict=True))
    assert (groups["unit"], groups["group_score"]) == ("groups", "mean_")
    assert (groups["num_real"], groups["num_fake"]) == (3, 2)


def test_format_markdown_is_two_tables(compared):
    detectors, tests = format_markdown(*compared).strip().split("\n\n")

    lines = detectors.splitlines()
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    start = r"| Net\_1 on x | test | 6 | 4 | 0.900 \[0.800, 0.950] | - |"
    assert lines[2].startswith(start)
    assert lines[4].startswith(r"| a\|b 50%, by group (mean\_) | test | 3 | 2 | 0.900")
    assert tests.splitlines()[2] == (
        r"| Net\_1 on x | a\|b 50% | x, test split | 5 | 4 | +0.020 \[-0.010, +0.050] "
        "| 0.0361 | 0.0722 |  |"
    )
    assert tests.splitlines()[3].endswith("| 0 | 0 | - | - | - | no names |")


def test_format_latex_is_narrow_enough_for_a_page(compared):
    text = format_latex(*compared)

    names, numbers, tests = text.split("\n\n")
    assert r"& Cllr & minCllr \\" in numbers
    assert r"A & Net\_1 on x & test & 6 & 4 \\" in names
    assert r"B & a\textbar{}b 50\% & test & 6 & 4 \\" in names
    assert r"B groups & by group (mean\_) & test & 3 & 2 \\" in names
    assert r"A & 0.900 & - & - & - & - & - \\" in numbers
    assert r" & \scriptsize [0.800, 0.950] &  &  &  &  &  \\" in numbers
    row = r"A--B & 5 & 4 & $+0.020\ [-0.010, +0.050]$ & $0.0361$ & $0.0722$ \\"
    assert row in tests
    assert r"B--A & 0 & 0 & \multicolumn{3}{p{0.7\linewidth}}{\raggedright no" in tests
    assert text.count("{") == text.count("}")
    tiny = SimpleNamespace(**{**vars(TEST), "p_value": 1.76e-7})
    text = format_latex(compared[0], [compared[1][0]._replace(test=tiny)])
    assert r"& $1.76 \cdot 10^{-7}$ & $0.0722$ \\" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\\b", r"a\textbackslash{}b"),
        ("<a>", r"\textless{}a\textgreater{}"),
        ("{~^}", r"\{\textasciitilde{}\textasciicircum{}\}"),
    ],
)
def test_escape_latex_keeps_what_it_wrote(text, escaped):
    assert paper_tables.escape_latex(text) == escaped
