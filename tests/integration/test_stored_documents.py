"""What jsonb cannot hold is refused before the database has to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import JSONB

from jobu_core.store.documents import MAX_DEPTH, refusal, storable
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine


def nested(depth: int) -> list[Any]:
    """Return lists inside each other."""
    document: list[Any] = []
    for _ in range(depth - 1):
        document = [document]
    return document


def in_itself() -> list[Any]:
    """Return a list that holds itself."""
    document: list[Any] = []
    document.append(document)
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (nested(MAX_DEPTH + 1), "nested deeper than 100"),
        (nested(100_000), "nested deeper than 100"),
        (in_itself(), "nested deeper than 100"),
        ({"a": ["x\0y"]}, "holds NUL"),
        ({"x\0y": 1}, "holds NUL"),
        ({"a": "\ud800"}, "half of a surrogate pair"),
        ({"a": float("nan")}, "does not fit in JSON"),
        ({"a": float("inf")}, "does not fit in JSON"),
        ({"a": 10**5000}, "does not fit in JSON"),
        ({"a": object()}, "does not fit in JSON"),
        ({"a": "é" * 60}, "has 129 bytes as JSON; the limit is 100"),
    ],
)
def test_what_cannot_be_stored_is_told_without_its_value(document: object, said: str) -> None:
    """Each by its own reason; neither depth nor a cycle ends the process."""
    assert said in (refusal(document, max_bytes=100) or "")


def test_a_text_that_only_looks_like_nul_is_stored() -> None:
    r"""A backslash and u0000 are six characters, no NUL."""
    assert refusal({"a": "\\u0000"}) is None
    assert refusal(nested(MAX_DEPTH)) is None


STRANGE = st.text(st.one_of(st.characters(), st.sampled_from("\0\ud800\udfff\\")), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | STRANGE,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(STRANGE, children, max_size=3)
    ),
    max_leaves=8,
)


@given(document=DOCUMENTS)
@profile(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_database_takes_what_is_not_refused(engine: Engine, document: object) -> None:
    """PostgreSQL itself is the judge of every document that passes."""
    if refusal(document) is not None:
        return
    statement = sa.select(sa.cast(sa.literal(document, sa.JSON), JSONB))
    with transaction(engine) as connection:
        connection.execute(statement).scalar_one()


@given(text=STRANGE)
@profile(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_text_can_be_made_storable(engine: Engine, text: str) -> None:
    """An exception's message may hold anything; the row shows what it held."""
    with transaction(engine) as connection:
        assert connection.execute(sa.select(sa.literal(storable(text)))).scalar_one() is not None
