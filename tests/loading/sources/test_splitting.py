"""Tests of dealing groups out to splits."""

from collections import Counter

import numpy as np

from loading.sources.splitting import deal_evenly, deal_rows, deal_splits, find_families


def test_deal_splits_keeps_the_shares_in_each_class():
    counts = {f"r{i}": {"real": 1} for i in range(40)}
    counts |= {f"f{i}": {"fake": 3} for i in range(20)}
    splits = deal_splits(counts, (0.5, 0.25, 0.25))
    real = Counter(splits[f"r{i}"] for i in range(40))
    fake = Counter(splits[f"f{i}"] for i in range(20))
    assert real == {"train": 20, "val": 10, "test": 10}
    assert fake == {"train": 10, "val": 5, "test": 5}
    assert splits == deal_splits(dict(reversed(counts.items())), (0.5, 0.25, 0.25))
    assert splits != deal_splits(counts, (0.5, 0.25, 0.25), seed=1)


def test_deal_splits_counts_what_groups_hold_and_leaves_splits_without_share_empty():
    counts = {"large": {"real": 8, "fake": 8}}
    counts |= {f"g{i}": {"real": 2, "fake": 2} for i in range(30)}
    splits = deal_splits(counts, (0.5, 0.0, 0.5))
    held = Counter()
    for group, split in splits.items():
        held[split] += sum(counts[group].values())
    assert set(held) == {"train", "test"}
    assert abs(held["train"] - held["test"]) <= 4


def test_deal_evenly_keeps_groups_whole_and_gives_every_split_both_classes():
    groups = [f"g{i // 3}" for i in range(60)]
    labels = np.array([i // 3 % 2 for i in range(60)])
    splits = deal_evenly(groups, labels)
    assert len(set(zip(groups, splits, strict=True))) == 20
    assert len(set(zip(labels.tolist(), splits, strict=True))) == 6
    assert Counter(splits) == {"train": 36, "val": 12, "test": 12}


def test_deal_rows_leaves_groups_where_they_are_when_others_are_added():
    groups = [f"g{i // 2}" for i in range(400)]
    splits = deal_rows(groups, (0.5, 0.0, 0.5))
    counts = Counter(splits)
    assert set(counts) == {"train", "test"}
    assert abs(counts["train"] - 200) <= 60
    assert splits[::2] == splits[1::2]
    more = [f"new{i}" for i in range(50)]
    assert deal_rows([*more, *groups], (0.5, 0.0, 0.5))[50:] == splits


def test_find_families_parts_of_names_are_whole():
    families = find_families(["a-1", "b", "c"], ["a-12", "1-x", "bb"])
    assert len(set(families.values())) == 6


def test_find_families_joins_all_that_share_a_source():
    families = find_families(
        ["000", "003", "id0_0000", "id1_0000", "id1_0001", "7"],
        ["000_003", "003_000", "id0_id1_0000", "7"],
    )
    sizes = [list(families.values()).count(families[name]) for name in families]
    assert families["000"] == families["003"] == families["003_000"]
    assert families["id0_0000"] == families["id1_0000"] == families["id0_id1_0000"]
    assert sizes == [4, 4, 1, 3, 3, 1, 4, 4, 3]
