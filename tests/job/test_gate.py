"""The gate's judgement: what is refused, at which value exactly, and what is not its business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import GateSettings, QuerySettings, parse_config
from pipeline.errors import ConfigError
from pipeline.index.statistics import Circumstances, Verdict
from pipeline.job.gate import Evidence, judge, refusals
from pipeline.job.golden import load_golden


def settings(**changes: Any) -> GateSettings:
    return GateSettings(**changes)


def test_nothing_known_is_nothing_to_refuse() -> None:
    assert refusals(settings(), Evidence(documents=1)) == ()


@pytest.mark.parametrize(
    ("gate", "good", "bad", "says"),
    [
        (
            {},
            Evidence(documents=5, live_documents=10),
            Evidence(documents=4, live_documents=10),
            "4 documents where the live generation has 10, below gate.min_document_ratio=0.5",
        ),
        (
            {"max_reject_ratio": 0.25},
            Evidence(documents=1, read=3, rejected=1),
            Evidence(documents=1, read=2, rejected=1),
            "1 of 3 documents were rejected, above gate.max_reject_ratio=0.25",
        ),
        (
            {},
            Evidence(documents=1, new_chunks=100, empty_vectors=1),
            Evidence(documents=1, new_chunks=99, empty_vectors=1),
            "1 of 99 new chunks have an empty vector, above gate.max_empty_vector_ratio=0.01",
        ),
        (
            {},
            Evidence(documents=1, new_chunks=2, empty_lexical=1),
            Evidence(documents=1, new_chunks=3, empty_lexical=2),
            "2 of 3 new chunks have no lexical weight, above gate.max_empty_lexical_ratio=0.5",
        ),
        (
            {"minimum": {"nDCG@10": 0.5}},
            Evidence(documents=1, measures={"nDCG@10": 0.5}),
            Evidence(documents=1, measures={"nDCG@10": 0.4999}),
            "nDCG@10 is 0.4999, below gate.minimum=0.5",
        ),
        (
            {"max_drop": {"nDCG@10": 0.25}},
            Evidence(documents=1, measures={"nDCG@10": 0.5}, live_measures={"nDCG@10": 0.75}),
            Evidence(documents=1, measures={"nDCG@10": 0.25}, live_measures={"nDCG@10": 0.75}),
            "nDCG@10 fell from 0.7500 to 0.2500, by more than gate.max_drop=0.25",
        ),
        (
            {},
            Evidence(documents=1, measures={"expected": 1.0}),
            Evidence(documents=1, measures={"expected": 0.5}, missed=("'q' does not find a.md",)),
            "expected is 0.5000, below gate.minimum=1 ('q' does not find a.md)",
        ),
    ],
)
def test_each_threshold_at_its_edge(gate: dict[str, Any], good: Evidence, bad: Evidence, says: str) -> None:
    assert refusals(settings(**gate), good) == ()
    assert refusals(settings(**gate), bad) == (says,)


def test_reasons_add_up() -> None:
    facts = Evidence(documents=1, live_documents=10, read=0, rejected=3, new_chunks=1, empty_vectors=1)
    assert len(refusals(settings(), facts)) == 3


def test_few_documents_are_fine_where_that_was_asked_for() -> None:
    evidence = Evidence(documents=1, live_documents=10, allow_deletes=True)
    assert refusals(settings(), evidence) == ()


def test_a_verdict_keeps_what_it_takes_to_judge_again() -> None:
    evidence = Evidence(documents=1, read=1, rejected=3, inputs="f0", measures={"nDCG@10": 0.5})
    verdict = judge(settings(minimum={"nDCG@10": 0.75}), evidence)
    assert verdict == Verdict(
        "f0", {"nDCG@10": 0.5}, refusals(settings(minimum={"nDCG@10": 0.75}), evidence), Circumstances(1, 3, False)
    )
    assert len(verdict.refusals) == 2


def test_without_a_live_generation_nothing_falls() -> None:
    facts = Evidence(documents=1, measures={"nDCG@10": 0.0})
    assert refusals(settings(max_drop={"nDCG@10": 0.0}), facts) == ()


def test_a_minimum_for_expectations_may_be_lower_than_all() -> None:
    facts = Evidence(documents=1, measures={"expected": 0.5})
    assert refusals(settings(minimum={"expected": 0.5}), facts) == ()


def test_thresholds_on_what_is_not_measured_are_refused_early(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("1\trank fusion\n")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta.md\t1\n")
    (tmp_path / "others.tsv").write_text("query-id\tcorpus-id\tscore\n2\ta.md\t1\n")

    def load(**changes: Any) -> None:
        load_golden(settings(**changes), QuerySettings(), tmp_path)

    with pytest.raises(ConfigError, match=r"nDCG@10 needs gate\.queries"):
        load(minimum={"nDCG@10": 0.5})
    with pytest.raises(ConfigError, match=r"expected needs gate\.expect"):
        load(max_drop={"expected": 0.5})
    with pytest.raises(ConfigError, match="unknown measure"):
        load(queries="q.tsv", qrels="qrels.tsv", minimum={"unheard": 1})
    with pytest.raises(ConfigError, match="none of its queries is judged"):
        load(queries="q.tsv", qrels="others.tsv")
    with pytest.raises(ConfigError, match="go together"):
        parse_config({"gate": {"queries": "q.tsv"}})


def test_what_was_measured_is_known_again_by_its_inputs(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("1\trank fusion\n")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta.md\t1\n")
    gate = settings(queries="q.tsv", qrels="qrels.tsv")
    first = load_golden(gate, QuerySettings(), tmp_path).inputs
    assert load_golden(gate, QuerySettings(), tmp_path).inputs == first
    assert load_golden(gate, QuerySettings(depth=50), tmp_path).inputs != first
    (tmp_path / "q.tsv").write_text("1\trank fusions\n")
    assert load_golden(gate, QuerySettings(), tmp_path).inputs != first
