"""Tests of the words that mean real or fake."""

import pytest

from files.classes import read_labels


@pytest.mark.parametrize(
    ("words", "real_labels", "expected"),
    [
        (["real", " Fake", "REAL"], (), [0, 1, 0]),
        (["0", "1", "1"], (), [0, 1, 1]),
        (["0", "1", "1"], ["1"], [1, 0, 0]),
        (["original", "youtube", "FaceSwap"], ["Original", "youtube"], [0, 0, 1]),
    ],
)
def test_read_labels_takes_usual_words_or_those_given(words, real_labels, expected):
    assert read_labels(words, real_labels) == expected


@pytest.mark.parametrize(
    ("words", "real_labels", "says"),
    [
        (["real", "cat", "dog"], (), "label 'cat' is not real or fake"),
        (["cat", "dog"], ["dog", "mouse"], "no label is 'mouse', as --real-labels"),
    ],
)
def test_read_labels_refuses_what_is_not_clear(words, real_labels, says, refused):
    with refused(says) as error:
        read_labels(words, real_labels)
    assert "'cat', 'dog'" in str(error.value)
