"""Texts that begin with s3://: which objects they name, and which are refused unasked."""

from __future__ import annotations

import pytest

from jobu_core.config import BucketSettings
from jobu_core.errors import PathRefused
from jobu_core.pipeline.places.buckets import Buckets
from jobu_core.pipeline.places.s3_names import matches, object_name

BUCKETS = Buckets(
    {
        "lake": BucketSettings(prefixes=("raw/", "out/daily")),
        "whole": BucketSettings(),
    }
)
"""Never connected to: what is refused is refused before."""


@pytest.mark.parametrize(
    "text",
    [
        "s3://lake/raw/a.csv",
        "s3://lake/out/daily/2026/a b+c%20d#é?&=.parquet",
        "s3://whole/a.csv",
        "s3://whole/" + "x" * 1024,
        "s3://whole/back\\slash",
        "s3://whole/e\u0301",
    ],
)
def test_a_key_is_taken_as_it_is(text: str) -> None:
    """Nothing is decoded, collapsed or normalised: two spellings are two objects."""
    place = BUCKETS.place(text)
    assert place.name == text
    assert place.key.key == text.split("/", 3)[3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://", "names no bucket"),
        ("s3:///a.csv", "names no bucket"),
        ("s3://whole", "names no object"),
        ("s3://whole/", "names no object"),
        ("s3://whole/raw/", "that is a folder"),
        ("s3://whole//a.csv", "an empty part"),
        ("s3://whole/raw//a.csv", "an empty part"),
        ("s3://whole/raw/../a.csv", "'..' are not allowed"),
        ("s3://whole/./a.csv", "'..' are not allowed"),
        ("s3://whole/a\n.csv", "control characters"),
        ("s3://whole/a\0.csv", "control characters"),
        ("s3://whole/\ud800.csv", "not valid Unicode"),
        ("s3://whole/" + "é" * 513, "at most 1024 bytes"),
        ("s3://other/a.csv", "its bucket is not among: s3://lake/out/daily/, s3://lake/raw/"),
        ("s3://WHOLE/a.csv", "its bucket is not among"),
        ("s3://user:secret@whole/a.csv", "is not among"),
        ("s3://lake/a.csv", "is not below one of"),
        ("s3://lake/rawdata/a.csv", "is not below one of"),
        ("s3://lake/raw", "is not below one of"),
        ("s3://lake/out/a.csv", "is not below one of"),
        ("s3://lake/*/a.csv", "is not below one of"),
        ("s3://lake/r*/a.csv", "is not below one of"),
        ("s3://lake/**/a.csv", "is not below one of"),
        ("s3://whole/raw/**", "means folders"),
        ("s3://whole/raw/a**", "not a usable pattern"),
    ],
)
def test_what_is_unclear_or_not_allowed_is_refused(text: str, said: str) -> None:
    """Before anything is connected to, by a message that says why or what is allowed."""
    with pytest.raises(PathRefused) as caught:
        BUCKETS.expand(text)
    assert said in str(caught.value)


def test_a_pattern_below_a_prefix_is_looked_up() -> None:
    """The folder of a prefix itself may be listed."""
    assert matches("raw/a.csv", object_name("s3://lake/raw/*.csv"))


def test_many_stars_take_no_long_time() -> None:
    """A pattern of a stranger costs at most its length times the key's."""
    pattern = object_name("s3://whole/" + "**/" * 300 + "a")
    assert matches("x/" * 500 + "a", pattern)
    assert not matches("x/" * 500 + "b", pattern)
