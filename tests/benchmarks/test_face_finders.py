"""A pasted face's box is where its face is, and boxes beside it are false."""

import json

import face_finders
import numpy as np
import pytest
from drawn_photos import draw_photo


def test_paste_puts_the_face_into_its_box():
    face = draw_photo(0, 256).point(lambda level: 255)
    rng = np.random.default_rng(0)
    picture, box = face_finders.paste(face, 100, 15, rng, 0)
    assert picture.size == face_finders.PICTURE
    assert box[3] - box[1] == pytest.approx(100, abs=1)
    assert np.asarray(picture.crop([round(x) for x in box])).mean() > 250
    assert face_finders.is_hit(box, box)
    left, top, right, bottom = box
    assert not face_finders.is_hit((left + 40, top, right + 40, bottom), box)
    assert not face_finders.is_hit((left, top, right, bottom + 100), box)


def test_face_finders_counts_hits_and_false_boxes(tmp_path, monkeypatch, capsys):
    draw_photo(0, 256).save(tmp_path / "face.png")
    truth = []
    paste = face_finders.paste

    def note(*arguments):
        truth.append(paste(*arguments))
        return truth[-1]

    def find(picture):  # the face, and one box that is wrong
        return [truth[-1][1], (0, 0, 1, 1)]

    monkeypatch.setattr(face_finders, "paste", note)
    monkeypatch.setattr(face_finders, "build_finders", lambda: [("perfect", find)])
    path = tmp_path / "finders.json"
    flags = ["--faces", str(tmp_path), "--number", "1", "--json", str(path)]
    face_finders.main(flags)
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == len(face_finders.SIZES) * len(face_finders.TILTS)
    assert {(row["recall"], row["false"]) for row in rows} == {(1, 1)}
    assert "false boxes a picture 1.00" in capsys.readouterr().out
