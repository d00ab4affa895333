"""Which numbers and names are allowed from outside, and how that is said."""

import pytest

from files.bounds import (
    COUNT,
    DATASET_NAME,
    INNER_SHARE,
    PROPER_SHARE,
    RUN_NAME,
    SEED,
    SHARE,
    Bounds,
)

POSITIVE = Bounds(0, 9, above=True)
TAKEN = [
    (SHARE, "0", 0.0),
    (SHARE, "1", 1.0),
    (PROPER_SHARE, "0", 0.0),
    (INNER_SHARE, "1e-9", 1e-9),
    (POSITIVE, "9", 9.0),
    (COUNT, "1", 1),
    (SEED, str(2**63 - 1), 2**63 - 1),
    (RUN_NAME, "lr_0-1", "lr_0-1"),
    (RUN_NAME, "last_one", "last_one"),
    (DATASET_NAME, "my faces.v2//", "my faces.v2"),
]
REFUSED = [
    (SHARE, ["-0.1", "1.1", "nan", "inf", "x", "", "0.0_5"], "a number from 0 to 1"),
    (PROPER_SHARE, ["1"], "a number from 0 up to, not including, 1"),
    (INNER_SHARE, ["0", "1"], "a number above 0 up to, not including, 1"),
    (POSITIVE, ["0", "9.1"], "a number above 0, at most 9"),
    (COUNT, ["0", "1.5", "2e9"], "a whole number from 1 to 1,000,000,000"),
    (SEED, ["-1", str(2**64)], "a whole number from 0 to 9,223,372,036,854,775,807"),
    (RUN_NAME, ["a b", "../a", "a.1", "", "last", "a_last", "a" * 61], "at most 60"),
    (DATASET_NAME, ["", "a/b", "..", ".", "a\0"], "the name of a folder"),
]


@pytest.mark.parametrize(("allowed", "text", "value"), TAKEN)
def test_parse_takes_what_is_allowed(allowed, text, value):
    assert allowed.parse(text) == value
    assert type(allowed.parse(text)) is type(value)


@pytest.mark.parametrize(("allowed", "texts", "words"), REFUSED)
def test_parse_refuses_the_rest_and_says_what_is_allowed(allowed, texts, words):
    for text in texts:
        with pytest.raises(ValueError, match=f"^expected {words}.*, got ") as error:
            allowed.parse(text)
        assert str(error.value).endswith(repr(text))


@pytest.mark.parametrize(
    "value", [True, False, None, "0.5", [0.5], 0.5 + 0j, float("nan"), 10**400]
)
def test_bounds_hold_numbers_alone(value):
    assert value not in SHARE
    assert value not in COUNT
    assert 1 in SHARE
    assert 1.0 not in COUNT
