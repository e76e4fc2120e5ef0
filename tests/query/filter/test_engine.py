"""A database is lent to one filter at a time, and used again if all went well: none sees what befell another."""

from __future__ import annotations

import os

import duckdb
import pyarrow as pa
import pytest

from pipeline.errors import QueryError
from pipeline.forking import PerProcess
from pipeline.query.filter import engine
from pipeline.query.filter.allowed import Limits
from pipeline.query.filter.conditions import where_of, with_where
from pipeline.query.filter.engine import Database, database
from pipeline.query.filter.functions import CLOCKS, FUNCTIONS

LIMITS = Limits()
TABLE = pa.table({"a": [1, 2, None], "__row": [0, 1, 2]})


@pytest.fixture(autouse=True)
def _none_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_idle", PerProcess[list[Database]](list))


def lent(limits: Limits = LIMITS) -> Database:
    with database("true", ["a"], limits) as found:
        assert found.satisfying(TABLE, "a > 1").tolist() == [1]
        return found


def test_it_is_used_again_under_the_same_limits() -> None:
    first = lent()
    assert lent() is first
    assert lent(Limits(memory="500MB")) is not first


def test_two_at_once_have_one_each() -> None:
    with database("true", [], LIMITS) as one, database("true", [], LIMITS) as other:
        assert one is not other


def test_what_failed_is_given_up() -> None:
    first = lent()
    with pytest.raises(QueryError), database("b = 1", ["a"], LIMITS) as failed:
        assert failed is first
        failed.satisfying(TABLE, "b = 1")
    assert lent() is not first


def test_where_an_interrupt_may_still_wait_no_later_filter_runs() -> None:
    late = Limits(seconds=0.0)
    with database("true", [], late) as first:
        pass
    with database("true", [], late) as other:
        assert other is not first


def test_it_keeps_nothing_of_the_filter_before() -> None:
    lent()
    with pytest.raises(QueryError), database("a = 1", ["a"], LIMITS) as again:
        again._connection.execute("SELECT a FROM chunks")


def test_a_forked_child_starts_its_own() -> None:
    lent()
    child = os.fork()
    if child == 0:
        os._exit(0 if engine._idle.made() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_part_that_fails_is_none_and_harms_nothing() -> None:
    table = pa.table({"a": ["1", "x"], "b": [1, 2], "__row": [0, 1]})
    with database("true", ["a", "b"], LIMITS) as found:
        tree = found.tree("b = 1 and a::int = 1")
        whole = where_of(tree)
        assert whole is not None
        first, second = whole["children"]
        rows = found.satisfying_part(table, with_where(tree, first))
        assert rows is not None
        assert rows.tolist() == [0]
        assert found.satisfying_part(table, with_where(tree, second)) is None
        assert found.satisfying(table, "b = 2").tolist() == [1]


def test_nothing_outside_can_be_read() -> None:
    with pytest.raises(QueryError), database("true", [], LIMITS) as found:
        found._connection.execute("SELECT * FROM read_text('/etc/hostname')")


def test_every_function_that_knows_the_time_is_known() -> None:
    listed = duckdb.sql("SELECT DISTINCT function_name, stability FROM duckdb_functions()").fetchall()
    changing = {name for name, stability in listed if stability not in (None, "CONSISTENT")}
    assert {"now", "today", "current_date"} <= changing & FUNCTIONS <= CLOCKS
