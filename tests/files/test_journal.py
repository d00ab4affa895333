"""Journals keep entries through kills, and are gone on from by what made them."""

import errno
from unittest import mock

import pytest

import files.journal
from files.journal import open_journal

SETTINGS = {"size": (1, 2), "name": "a"}


class EndedError(Exception):
    """Ends a run."""


def write(path, entries, *, resume=False, unit=1, settings=SETTINGS):
    """Go on until all entries are there, then end; return how many were."""
    with (
        pytest.raises(EndedError),
        open_journal(path, settings, resume=resume, unit=unit) as journal,
    ):
        before = journal.num_entries
        for entry in entries[before:]:
            journal.append(entry)
        assert list(journal) == entries
        raise EndedError
    return before


def test_open_journal_goes_on_after_whole_units_and_is_removed_at_the_end(tmp_path):
    path = tmp_path / "new" / "a.part"
    entries = [["\udc80\n", 0.1], [None, 2], [3], [4]]
    assert write(path, entries[:3]) == 0
    with path.open("ab") as torn:
        torn.write(b"[4")
    assert write(path, entries, resume=True, unit=2) == 2
    assert write(path, entries, resume=True) == 4
    with open_journal(path, SETTINGS, resume=True) as journal:
        assert list(journal) == entries
    assert list(path.parent.iterdir()) == []


def test_open_journal_that_another_run_writes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files.journal, "take_lock", lambda path, stack: False)
    path = tmp_path / "a.part"
    with (
        pytest.raises(ValueError, match=f"another run is writing {path}"),
        open_journal(path, SETTINGS, resume=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_open_journal_without_an_entry_leaves_nothing(tmp_path):
    assert write(tmp_path / "a.part", []) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "resume", "message"),
    [
        (SETTINGS, False, "holds 2 entries of a run that was ended: .* with --resume"),
        ({**SETTINGS, "name": "b"}, True, "name was 'a', is now 'b'; repeat the first"),
        ({"size": [1, 2]}, True, "name was 'a', is now None"),
    ],
)
def test_open_journal_of_another_run_is_refused_and_kept(
    settings, resume, message, tmp_path, refused
):
    path = tmp_path / "a.part"
    write(path, [1, 2])
    before = path.read_bytes()
    with refused(message), open_journal(path, settings, resume=resume):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"mine", b"[1]\n", b"\xff\n", b"{}\n"])
def test_open_journal_spares_a_file_of_another_kind(content, tmp_path):
    path = tmp_path / "a.part"
    path.write_bytes(content)
    for resume in (False, True):
        with (
            pytest.raises(ValueError, match="is not what an ended run left"),
            open_journal(path, {}, resume=resume),
        ):
            pass
    assert path.read_bytes() == content


def test_append_on_a_disk_that_fills_up_names_the_file(tmp_path):
    full = mock.Mock(**{"write.side_effect": [2, OSError(errno.ENOSPC, "full")]})
    with (
        open_journal(tmp_path / "a.part", {}, resume=False) as journal,
        mock.patch.object(journal, "_handle", full),
        pytest.raises(OSError, match="full: .*a.part"),
    ):
        journal.append([2, 3])
    assert full.write.call_args.args == (b", 3]\n",)
    assert journal.num_entries == 0
