"""Which videos may show one person or scene."""

from loading.splitting import find_families


def test_find_families_parts_of_names_are_whole():
    assert (
        len(set(find_families(["a-1", "b", "c"], ["a-12", "1-x", "bb"]).values())) == 6
    )


def test_find_families_joins_all_that_share_a_source():
    families = find_families(
        ["000", "003", "id0_0000", "id1_0000", "id1_0001", "7"],
        ["000_003", "003_000", "id0_id1_0000", "7"],
    )
    sizes = [list(families.values()).count(families[name]) for name in families]
    assert families["000"] == families["003"] == families["003_000"]
    assert families["id0_0000"] == families["id1_0000"] == families["id0_id1_0000"]
    assert sizes == [4, 4, 1, 3, 3, 1, 4, 4, 3]
