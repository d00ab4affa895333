"""Tables that grow: what a kill leaves of them, and what others read meanwhile."""

import math
import sys
from pathlib import Path

import pytest

from records.log_tables import CsvTable, TensorBoardTable, load_table

COLUMNS = ("a", "n", "b")


@pytest.fixture
def table(tmp_path) -> CsvTable:
    """A table with three rows, that goes on where others were."""
    for part in ([1, 2], [3]):
        table = CsvTable(tmp_path / "new" / "t.csv", COLUMNS, "n")
        table.write([{"a": None, "n": n, "b": n / 3} for n in part], sync=True)
    table.write([])
    return table


def test_csv_table_grows_and_is_read_while_it_does(table):
    text = table.path.read_text()
    assert text.splitlines()[:2] == ["a,n,b", ",1,0.3333333333333333"]
    for end in ("", "4", "4,5,0.12"):
        table.path.write_text(text + end)
        columns = load_table(table.path)
        assert all(map(math.isnan, columns.pop("a")))
        assert columns == {"n": [1, 2, 3], "b": [1 / 3, 2 / 3, 1]}


@pytest.mark.parametrize(
    ("last", "end", "kept"),
    [
        (9, "", 3),
        (9, "0,4", 3),
        (9, "0,4\n0,5,0.5\n", 3),  # two runs of a full disk
        (2, "0,1,0.5\n", 2),
        (0, "", 0),
    ],
)
def test_csv_table_cut_keeps_whole_rows_up_to_the_last(table, last, end, kept):
    header, *rows = table.path.read_text().splitlines(keepends=True)
    with table.path.open("a") as handle:
        handle.write(end)
    row = table.cut(last)
    assert table.path.read_text() == "".join([header, *rows[:kept]])
    assert row == ({"a": "", "n": str(kept), "b": str(kept / 3)} if kept else {})


def test_csv_table_cut_without_a_whole_header_begins_anew(table):
    for text in ("", "a,n"):
        table.path.write_text(text)
        assert table.cut(9) == {}
        table.write([{"a": 1, "n": 2, "b": 3}])
        assert table.path.read_text() == "a,n,b\n1,2,3\n"
    table.path.unlink()
    assert table.cut(9) == {}
    assert not table.path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="another system")
def test_csv_table_on_a_full_disk_names_the_file():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        CsvTable(Path("/dev/full"), COLUMNS, "n").write([{"a": 1, "n": 2, "b": 3}])


def test_tensor_board_table_without_its_package_says_how_to_install_it(
    monkeypatch, tmp_path, refused
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with refused("install -r requirements-log.txt"):
        TensorBoardTable(tmp_path, COLUMNS, "n")
