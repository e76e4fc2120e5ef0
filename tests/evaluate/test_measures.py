"""Measures by hand, and judgements as files have them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from pipeline.errors import EvaluationError
from pipeline.evaluate.measures import mean, per_query, summarize
from pipeline.evaluate.qrels import read_qrels


def test_by_hand() -> None:
    qrels = {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}, "q3": {"d": 1}}
    run = {"q1": [("x", 9.0), ("b", 8.0), ("a", 7.0)], "q2": [("c", 1.0)]}
    values = per_query(qrels, run)
    ideal = 2 + 1 / math.log2(3)
    assert values["nDCG@10"] == {
        "q1": pytest.approx((1 / math.log2(3) + 2 / math.log2(4)) / ideal, abs=1e-4),
        "q2": 1.0,
        "q3": 0.0,
    }
    assert values["MRR@10"] == {"q1": 0.5, "q2": 1.0, "q3": 0.0}
    assert values["R@100"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}
    assert mean(values["MRR@10"]) == 0.5


def test_the_order_counts_not_the_scores() -> None:
    run = {"q": [("b", 1.0), ("a", 1.0)]}
    assert per_query({"q": {"a": 1}}, run, ["MRR@10"])["MRR@10"]["q"] == 0.5
    assert per_query({"q": {"b": 1}}, run, ["MRR@10"])["MRR@10"]["q"] == 1.0


def test_unknown_measure() -> None:
    with pytest.raises(EvaluationError, match="unknown measure 'goodness'"):
        per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, ["goodness"])


def test_both_kinds_of_qrels(tmp_path: Path) -> None:
    (tmp_path / "beir.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta b\t2\n1\tc\t0\n")
    (tmp_path / "trec.txt").write_text("1 0 a 2\n1 0 c 0\n")
    assert read_qrels(tmp_path / "beir.tsv") == {"1": {"a b": 2, "c": 0}}
    (tmp_path / "twice.tsv").write_text("1\ta\u2028\t2\n1\ta\u2028\t2\n")
    assert read_qrels(tmp_path / "twice.tsv") == {"1": {"a": 2}}
    (tmp_path / "twice.tsv").write_text("1\ta\t2\n\n1\ta\t1\n")
    with pytest.raises(EvaluationError, match=r"twice.tsv:3: query '1' judges 'a' twice, as 2 and as 1"):
        read_qrels(tmp_path / "twice.tsv")
    assert read_qrels(tmp_path / "trec.txt") == {"1": {"a": 2, "c": 0}}


@pytest.mark.parametrize("text", ["1 0 a yes\n", "1 a\n", "\n", "1 2 3 4 5\n"])
def test_broken_qrels_name_the_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "q").write_text(text)
    with pytest.raises(EvaluationError, match=r"q(:1)?: (expected|no judgements)"):
        read_qrels(tmp_path / "q")


def test_two_names_of_one_measure_both_get_values() -> None:
    values = per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, ["MRR@10", "RR@10"])
    assert values == {"MRR@10": {"q": 1.0}, "RR@10": {"q": 1.0}}


def test_counts_are_summed_and_the_rest_averaged() -> None:
    values = per_query({"q": {"a": 1}, "p": {"b": 1}}, {"q": [("a", 1.0), ("b", 0.5)]}, ["NumRet", "P@2"])
    assert {name: summarize(name, of_queries) for name, of_queries in values.items()} == {"NumRet": 2, "P@2": 0.25}


@pytest.mark.parametrize("name", ["alpha_nDCG@10", "INST", "RBP(p=0.8)"])
def test_a_measure_that_cannot_be_computed_is_named(name: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(name)):
        per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, [name])
