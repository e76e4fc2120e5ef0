"""Measures by hand, and judgements as files have them."""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ir_measures
import pytest

from pipeline.errors import EvaluationError
from pipeline.evaluate.measures import check_measures, mean, parse_measure, per_query, summarize
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


@pytest.mark.parametrize(
    "name",
    [
        "NumRet",
        "nDCG@10",
        "P(cutoff=3)",
        "ERR(cutoff=4)@3",
        "IPrec@0.1",
        "P(rel=2)@5",
        "SetF(beta=0.5)",
        "AP(judged_only=True)",
        "nDCG(dcg='exp-log2')@5",
        "nDCG(gains={0: 0, 1: 5})@10",
    ],
)
def test_names_are_read_as_ir_measures_reads_them(name: str) -> None:
    if not hasattr(ast, "Num"):
        pytest.skip("ir_measures.parse_measure needs ast.Num, which this Python no longer has")
    ours, theirs = parse_measure(name), ir_measures.parse_measure(name)
    assert (type(ours), ours.params) == (type(theirs), theirs.params)


def test_names_are_read_by_a_python_without_ast_num() -> None:
    reading = """
import ast
for name in ("Num", "Str", "Bytes", "NameConstant", "Ellipsis"):
    try:
        delattr(ast, name)  # as Python 3.14 did
    except AttributeError:
        pass
from pipeline.evaluate.measures import per_query
print(per_query({"q": {"a": 1}}, {"q": [("b", 2.0), ("a", 1.0)]}, ["MRR@10", "P(rel=1)@2"]))
"""
    process = subprocess.run([sys.executable, "-c", reading], capture_output=True, text=True, check=False)
    assert process.stdout.strip() == "{'MRR@10': {'q': 0.5}, 'P(rel=1)@2': {'q': 0.5}}", process.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("goodness@10", "no measure is called goodness"),
        ("nDCG(gain=1)@10", "nDCG has no parameter gain"),
        ("Bpref@10", "Bpref has no parameter cutoff"),
        ("P(**{'rel': 1})@3", "P has no parameter **"),
        ("P(1)@3", "a measure is written as Name(parameter=value)@cutoff"),
        ("P(rel=os.sep)@3", "malformed node"),
        ("P@3, R@3", "a measure is written as Name(parameter=value)@cutoff"),
        ("P@", "invalid syntax"),
    ],
)
def test_a_name_that_stands_for_no_measure_says_why(name: str, reason: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(f"unknown measure {name!r} ({reason}")):
        check_measures([name])


def test_a_cutoff_that_is_no_number_is_refused() -> None:
    with pytest.raises(EvaluationError, match="cannot be computed: invalid param cutoff='ten'"):
        check_measures(["nDCG@'ten'"])


def test_unknown_measure() -> None:
    with pytest.raises(EvaluationError, match="unknown measure 'goodness'"):
        per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, ["goodness"])


@pytest.mark.parametrize("name", ["nDCG@0", "R@0", "P(rel=2)@0", "Judged@0"])
def test_a_cutoff_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(f"{name!r}: its cutoff must be 1 or more")):
        per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, [name])


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval is written in perl")
def test_a_provider_that_takes_only_numbers_gets_them() -> None:
    # ERR@2 with grades of 0 to 4: (2^g - 1) / 16 at the first rank, half of what is left at the second.
    qrels = {"어떤 질문": {"a b.md": 1, "c": 0}, "q-2": {"a b.md": 4, "d": 4}, "none": {"x": 1}}
    run = {"어떤 질문": [("a b.md", 2.0)], "q-2": [("c", 9.0), ("d", 9.0)], "unjudged": [("a", 1.0)]}
    found = per_query(qrels, run, ["ERR@2"])["ERR@2"]
    assert found == pytest.approx({"어떤 질문": 1 / 16, "q-2": 15 / 32, "none": 0.0}, abs=1e-5)


def test_who_would_compute_it() -> None:
    with pytest.raises(EvaluationError, match=r"RBP\(p=0.8\) cannot be computed: .*cwl_eval computes it") as error:
        per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, ["RBP(p=0.8)"])
    assert "asked as RBP(rel=…, …)" in str(error.value)
    if importlib.util.find_spec("cwl") is None:
        assert "pip install ir-measures[cwl_eval]" in str(error.value)
    with pytest.raises(EvaluationError, match="Accuracy cannot be computed"):
        per_query({"q": {"a": 1}}, {"q": [("a", 1.0)]}, ["Accuracy"])


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


@pytest.mark.parametrize("grade", [-1, -5, -100_000])
def test_a_grade_below_zero_counts_as_none(grade: int) -> None:
    names = ["nDCG@10", "R@100", "AP", "RR@10"]
    run = {"q": [("a", 2.0), ("b", 1.0)], "only": [("a", 1.0)]}
    kept = per_query({"q": {"a": 0, "b": 1}, "only": {"a": 0}}, run, names)
    assert per_query({"q": {"a": grade, "b": 1}, "only": {"a": grade}}, run, names) == kept


def test_a_provider_is_given_no_grade_below_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def calculated(measures: object, qrels: object, run: object) -> list[object]:
        given.append(qrels)
        return []

    monkeypatch.setattr(ir_measures, "iter_calc", calculated)
    per_query({"q": {"a": -5, "b": 2}}, {"q": [("a", 1.0)]}, ["nDCG@10"])
    assert given == [{"1": {"1": 0, "2": 2}}]


@pytest.mark.parametrize("grade", [2**31, 2**62, 10**400])
def test_a_grade_beyond_all_reason_is_refused(tmp_path: Path, grade: int) -> None:
    with pytest.raises(EvaluationError, match="at most 1,000,000"):
        per_query({"q": {"a": grade}}, {"q": [("a", 1.0)]})
    path = tmp_path / "qrels.tsv"
    path.write_text(f"q\ta\t1\nq\tb\t{grade}\n")
    with pytest.raises(EvaluationError, match=r"qrels\.tsv:2: a grade is at most|qrels\.tsv:2: expected"):
        read_qrels(path)
