"""A detector for a model hub: every number with its n and interval, no path of mine."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from command_line.flags import take_checkpoint

import numpy as np
import pytest
import torch
import yaml
from script_helpers import make_checkpoint

import publish
from files import hub
from files.tensors import to_plain, to_tensors
from judging.detector import Detector
from judging.guarding.fitting import fit_guard
from judging.guarding.traits import measure_traits
from metrics.all_metrics import list_columns
from records.checkpoint import CheckpointRecord
from records.checkpoint_files import read_checkpoint
from records.recipe import Recipe
from reporting.card import Publication, build_card, list_accuracies, list_errors
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")
KNOWN = {
    **{"dataset": "a|b", "epoch": 2, "val_acc": 75.0, "test_acc": 70.0},
    "num_images": {"val": 20, "test": 10},
    "reliability": [[0.1, 0.4, 1, 6], [0.6, 0.9, 4, 4]],
    "reliability_split": "test",
    **{"errors": {"none": [12, 1, 8, 2], "jpeg=70": [12, 3, 8, 0]}},
    **{"temperature": 1.5, "temperature_interval": [1.2, 1.9], "threshold": 0.45},
    **{"log_losses": [0.5, 0.4], "llr_lower": -3.1, "llr_upper": 2.5, "maps": []},
    "flags": {**Recipe(dataset="a").to_dict(), "weights": "/home/me/start.pth"}
    | {"limit": 40},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    return make_checkpoint(folder / "a net_Adam.pt", guard=make_guard(), **KNOWN)


def make_guard() -> dict[str, Any]:
    """Return a guard of noise, as a training stores one: its tensors are no JSON."""
    pictures = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), np.uint8)
    numbers = measure_traits(pictures)
    held = {kind: values[:30, None] for kind, values in numbers.items()}
    guard = fit_guard(numbers, np.zeros(60, dtype=int), held, ["none"], 64)
    return to_tensors(guard.to_dict())


def save_numbers(path: Path, sha256: str) -> Path:
    numbers = {metric.name: 0.75 for metric in list_columns("paper")}
    numbers |= {"auc_interval": [0.5, 0.9], "num_real": 3, "num_fake": 4, "cllr": None}
    provenance = {"inputs": [{"path": "/home/me/x.pt", "sha256": sha256}]}
    path.write_text(json.dumps({**numbers, "provenance": provenance}))
    return path


def save_robustness(path: Path, *digests: str) -> Path:
    """Numbers of as many detectors, of which the Nth has N misses."""
    conditions = [
        {
            **{"condition": name, "auc": 0.8, "auc_interval": [0.7, 0.9]},
            **{"told_false_alarms_counts": [1, 9], "told_misses_counts": [number, 8]},
            "inconclusive_counts": [0, 0],
        }
        for number in range(len(digests))
        for name in ("none", "jpeg=70", "face=96")
    ]
    detectors = [
        {
            "checkpoint": "/home/me/x.pt",
            "conditions": {"jpeg": [none, jpeg], "face": [none, face]},
        }
        for none, jpeg, face in zip(*(conditions[n::3] for n in range(3)), strict=True)
    ]
    inputs = [{"sha256": digest} for digest in digests]
    numbers = {"images": {"real": 9, "fake": 8}, "detectors": detectors}
    numbers |= {"dataset": "a", "split": "test", "provenance": {"inputs": inputs}}
    path.write_text(json.dumps(numbers))
    return path


def test_publish_lays_out_what_every_script_then_takes(
    checkpoint, tmp_path, monkeypatch, capsys
):
    own = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    numbers = save_numbers(tmp_path / "numbers.json", own)
    folder = tmp_path / "hub"
    words = ["--to", str(folder), "--repository", "me/net", "--licence", "mit"]
    disturbed = save_robustness(tmp_path / "disturbed.json", "0" * 64, own)
    (tmp_path / "about.md").write_text("The photographers agreed.\n")
    words += ["--numbers", str(numbers), str(disturbed)]
    words += ["--about", str(tmp_path / "about.md"), "--knows", "two kinds of fakes"]
    publish.main(["-cpp", str(checkpoint), *words])
    names = {path.name for path in folder.iterdir()}
    weights = "a-net_Adam.safetensors"
    assert names == {"README.md", weights, "record.json", "SHA256SUMS"}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        names.remove(name)
    assert names == {"SHA256SUMS"}
    paths = checkpoint, folder / weights
    (state, record), (again, kept) = map(read_checkpoint, paths)
    flags = {**record.flags, "weights": "start.pth"}
    known = {"flags": flags, "knows": "two kinds of fakes"}
    assert kept == replace(record, **known, guard=to_plain(record.guard))
    assert load_checkpoint(paths[1]).guard.least_side == 64
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    told = json.loads((folder / "record.json").read_text())["record"]
    assert told.pop("guard") == {"conditions": ["none"], "least_side": 64}
    assert told == {n: v for n, v in kept.to_dict().items() if n != "guard"}
    assert "/home/me" not in "".join(p.read_text("latin-1") for p in folder.iterdir())
    card = (folder / "README.md").read_text()
    assert "predict.py -cpp hf:me/net@REVISION" in card
    assert "\nThe detector knows two kinds of fakes. On other" in card
    assert "\nThe photographers agreed.\n\n## How good it is\n" in card
    assert "| AUC | 0.750 [0.500, 0.900] |" in card
    shares = "1 of 9, 11.1 % [0.3 %, 48.2 %] | 1 of 8, 12.5 % [0.3 %, 52.7 %] | 0 of 0"
    rows = re.findall(r"^[|] (.*) \| " + re.escape(shares), card, re.M)
    compressed, small = (
        "compressed as JPEG of quality 70",
        "with a crop of only 96 pixels",
    )
    assert rows == ["as they are", compressed, small]
    header = yaml.safe_load(card.split("---")[1])
    assert (header["license"], header["metrics"]) == ("mit", ["roc_auc", "accuracy"])
    results = header["model-index"][0]["results"]
    found = [(m["type"], m["value"]) for of in results for m in of["metrics"]]
    assert found == [("roc_auc", 0.75), ("accuracy", 0.75), ("accuracy", 0.7)]
    assert "note: " not in capsys.readouterr().out

    monkeypatch.setattr(hub, "_fetch", lambda _, name, file, revision: folder / file)
    path = take_checkpoint("hf:me/net")
    note = "note: took hf:me/net@hub, which names it for good\n"
    assert capsys.readouterr().err == note
    take_checkpoint("hf:me/net@hub")
    assert capsys.readouterr().err == ""
    fetched = load_checkpoint("hf:me/net")
    assert (fetched.path, fetched.record) == (path, kept)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--numbers", "other.json"], "other.json holds the numbers of another checkp"),
        (["--numbers", "none.json"], "none.json does not hold a detector's numbers"),
        (["--numbers", "bare.json"], "bare.json does not hold a detector's numbers"),
        (["--about", "latin.md"], "latin.md is not a text in UTF-8"),
        (["--to", "full"], "--to full: it is there and not empty; name a new folder"),
        (["--to", "other.json/hub"], "cannot write to the folder other.json"),
    ],
)
def test_publish_refuses_and_writes_nothing(
    checkpoint, tmp_path, monkeypatch, words, expected, refused
):
    monkeypatch.chdir(tmp_path)
    save_numbers(Path("other.json"), "0" * 64)
    Path("none.json").write_text('{"auc": 1, "provenance": {"inputs": []}}')
    own = {"inputs": [{"sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest()}]}
    bare = {"detectors": [{"conditions": {"jpeg": [{}]}}], "provenance": own}
    Path("bare.json").write_text(json.dumps(bare))
    Path("latin.md").write_bytes(b"caf\xe9")
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    before = sorted(Path().rglob("*"))
    with refused(expected, (ValueError, OSError)):
        publish.main(["-cpp", str(checkpoint), "--to", "hub", *words])
    assert sorted(Path().rglob("*")) == before


def test_card_counts_each_rate_and_says_where_n_is_not_known():
    rows = {
        (r.name, r.images): (r.count, r.value) for r in list_accuracies(make_record())
    }
    accuracy = "accuracy, by the larger logit"
    assert rows[accuracy, "test"] == ("7 of 10", "70.0 % [34.8 %, 93.3 %]")
    chosen = "validation, which chose the epoch"
    assert rows[accuracy, chosen][0] == "15 of 20"
    assert len(rows) == 2
    assert list_errors(make_record()) == [
        (
            "as they are",
            "1 of 12, 8.3 % [0.2 %, 38.5 %]",
            "2 of 8, 25.0 % [3.2 %, 65.1 %]",
        ),
        (
            "compressed as JPEG of quality 70",
            "3 of 12, 25.0 % [5.5 %, 57.2 %]",
            "0 of 8, 0.0 % [0.0 %, 36.9 %]",
        ),
    ]
    shared = make_record(num_images={"test": 10, "val": "many"})
    unknown = next(row for row in list_accuracies(shared) if row.images == chosen)
    assert unknown.value == "75.0 %, how many images is not recorded"
    assert list_accuracies(CheckpointRecord()) == []


def test_card_of_little_knowledge_says_what_is_not_known(tiny_net):
    detector = Detector(tiny_net())
    card = build_card(detector, Publication(), {"x": {"bytes": 1234, "sha256": "ab"}})
    assert "| nothing was recorded | | | |" in card
    assert "- **Data**: not recorded\n" in card
    assert "| `x` | 1,234 | `ab` |" in card
    assert "license: other" in card
    known = replace(detector, record=make_record())
    card = build_card(known, Publication(), {})
    assert "# TinyNet trained on a\\|b\n" in card
    own = replace(known, record=make_record(model_name="Own"))
    assert "`Own`, is its maker's own" in build_card(own, Publication(), {})
    assert "maker's own" not in card
    assert re.search("- [*][*]Training[*][*]: `.* --limit 40`", card)
    assert "by the temperature 1.5 [1.2, 1.9]" in card
    assert "from 0.5 to 0.4 nats" in card
    assert "lie between -3.1 and 2.5" in card
    assert "| 0.1 to 0.4 | 1 of 6 | 16.7 % [0.4 %, 64.1 %] |" in card
    for table in re.findall(r"(?:^\|.*\n)+", card, re.M):
        borders = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(borders) == 1, table


def make_record(**entries: object) -> CheckpointRecord:
    return CheckpointRecord.from_untrusted({**KNOWN, **entries})
