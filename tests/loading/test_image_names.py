"""Which files count as images, and that compact names behave as a list."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from loading.image_files import CompactNames, list_images


def test_list_images_other_files_are_counted(tmp_path):
    names = ["b.PNG", "a.jpeg", "10.webp", "9.jpg", "寿.bmp", os.fsdecode(b"\xff.gif")]
    others = [".hidden.png", "notes.txt", "jpg", "Thumbs.db", "a.png.part", "s.pdf"]
    for name in names + others:
        (tmp_path / name).touch()
    listed, num_skipped = list_images(tmp_path)
    assert listed == sorted(names)
    assert num_skipped == len(others)


NAMES = ["a.png", "", "寿司.jpg", os.fsdecode(b"\xff\xfe.gif"), "z" * 300, "a.png"]


def test_compact_names_behaves_as_the_list():
    names = CompactNames(NAMES)
    assert len(names) == len(NAMES)
    assert list(names) == NAMES
    assert names == NAMES
    assert names != NAMES[:-1]
    assert names != NAMES[::-1]
    assert names != 3
    assert CompactNames(["a", "b"]) != "ab"
    assert [names[i] for i in range(-6, 6)] == [NAMES[i] for i in range(-6, 6)]
    assert names[np.int64(2)] == NAMES[2]
    assert "寿司.jpg" in names
    assert names.index("z" * 300) == 4
    assert pickle.loads(pickle.dumps(names)) == NAMES
    for index in (-7, 6):
        with pytest.raises(IndexError):
            names[index]


@pytest.mark.parametrize(
    "part", [slice(None), slice(1, 3), slice(-2, None), slice(None, None, -2)]
)
def test_compact_names_slices_as_the_list(part):
    assert CompactNames(NAMES)[part] == NAMES[part]


def test_compact_names_empty_is_an_empty_list():
    assert list(CompactNames([])) == []
    assert repr(CompactNames([])) == "<0 names>"


def test_compact_names_bytes_tell_names_apart():
    assert CompactNames(["ab", "c"]).tobytes() != CompactNames(["a", "bc"]).tobytes()
    assert CompactNames(["ab", "c"]).tobytes() == CompactNames(["ab", "c"]).tobytes()
    assert "2 names, 'ab' ... 'c'" in repr(CompactNames(["ab", "c"]))
