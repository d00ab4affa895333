"""What ran, out of histories of any age and any state."""

import json

import pytest
from reported_runs import FLAGS, make_run

from loading.sources.datasets import Source
from records.trainings import group_trainings, list_trainings


def make_training(seed, num_epochs=3, **flags):
    """A run of at most three epochs, the later the better."""
    flags = {**FLAGS, "seed": seed, "epochs": 3, **flags}
    known = {"dataset": "faces", "model": "SimpleNet", "flags": flags, "epochs": 3}
    return make_run(num_epochs, started=f"2026-01-0{seed + 1}", **known)


def write(folder, **histories):
    for name, content in histories.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)


def test_list_trainings_are_sorted_by_validation_and_broken_ones_named(tmp_path):
    lora = make_training(1, 2, tune="lora", lr=0.5, features=["a", "b"], compile=True)
    old = make_run(1)  # of the original exercise
    broken = make_run(2, val_acc=[1.0])
    write(tmp_path, a=[old, broken, lora], b=[make_training(0), make_run(0)])
    write(tmp_path, c="{", d="[]")
    (tmp_path / "notes.txt").write_text("no history")

    found, left_out = list_trainings(tmp_path)

    numbers = [(of.path.name, of.number, of.val_acc, of.test_acc) for of in found]
    assert numbers == [
        ("b.json", 1, 52.0, 62.0),
        ("a.json", 3, 51.0, 61.0),
        ("a.json", 1, 50.0, 60.0),
    ]
    assert found[1].changed == "--lr 0.5 --features a b --compile"
    assert (found[1].tune, found[1].seed, found[2].model) == ("lora", "1", "")
    assert [of.is_whole for of in found] == [True, False, True]
    assert (found[0].best_epoch, found[0].num_epochs, found[1].num_planned) == (3, 3, 3)
    assert [line.partition(" of ")[0] for line in left_out[:1]] == ["run 2"]
    assert "has no finished epoch yet" in left_out[1]
    assert all(f"{name}.json" in "".join(left_out) for name in "abcd")


@pytest.mark.parametrize("folder", ["none", "."])
def test_list_trainings_without_a_history_are_refused(folder, tmp_path, refused):
    with refused("there is no history", FileNotFoundError):
        list_trainings(tmp_path / folder)


def test_list_trainings_texts_of_strangers_are_printable(tmp_path):
    run = make_training(0, name="a\nb", lr={"x": [1]}, augment="\x1b[2J" * 99)
    write(tmp_path, a=[run | {"seconds": None}])
    ((training,), _) = list_trainings(tmp_path)
    assert training.changed.isprintable()
    assert (training.name, training.seconds) == (r"a\nb", None)


def test_group_trainings_takes_each_seed_and_fold_of_a_recipe_once(tmp_path):
    again = make_training(1) | {"val_acc": [70.0] * 3, "started": "2027"}
    folds = [make_training(0, fold=f"{n}/2", name=f"fold{n}", lr=1) for n in (0, 1)]
    other = make_training(0, lr=0.7)
    unfinished = make_training(2, 1)
    runs = [make_training(0), again, make_training(1), unfinished, other, *folds]
    write(tmp_path, a=runs)
    first, second = group_trainings(list_trainings(tmp_path)[0])
    assert [of.number for of in first.runs] == [1, 2]
    assert first.means == {"val": 61.0, "test": (62.0 + 60.0) / 2}
    assert first.deviations["val"] == pytest.approx(9 * 2**0.5)
    assert sorted(of.fold for of in second.runs) == ["0/2", "1/2"]


def test_group_trainings_how_a_table_was_read_makes_another_recipe(tmp_path):
    read = [Source(), Source(shares=(0.5, 0.3, 0.2), real_labels=("a", "b"))]
    flags = [{}, *(source.to_flags() for source in read)]  # an old run has none
    write(tmp_path, a=[make_training(s, **of) for of in flags for s in (0, 1)])
    found, _ = list_trainings(tmp_path)
    expected = ["", "", "--real-labels a b --shares 0.5 0.3 0.2"]
    assert sorted(of.changed for of in found) == sorted(expected * 2)
    numbers = [sorted(r.number for r in of.runs) for of in group_trainings(found)]
    assert numbers == [[3, 4], [5, 6]]
