"""A worker's side without a cluster: it answers with what is wrong rather than raising, and encodes what fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.encode.shard_plan import ShardPlan
from pipeline.index import staging
from pipeline.job import build as builder
from pipeline.job.cluster import orders, shares
from tests.support.collection import config_for, write_documents


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Config, ShardPlan]:
    write_documents(tmp_path / "documents")
    config = config_for(tmp_path, encoder={"model": "none"}, encode={"shard_chunks": 4})
    builder.ingest(config)
    return config, shares.plan_shards(config)


def test_a_worker_encodes_and_answers_with_the_checksum_of_what_is_stored(
    planned: tuple[Config, ShardPlan],
) -> None:
    config, plan = planned
    worker = orders.ShardEncoder(orders.written(config, plan.terms))
    assert json.loads(worker.problem()) is None
    for shard in plan.shards:
        place = staging.shard_folder(config.index_path, shard.key)
        answer = json.loads(worker.encode(orders.as_text(shard)))
        assert answer == {"checksum": staging.shard_checksum(place)}
        assert json.loads(worker.encode(orders.as_text(shard))) == answer, "a second time costs nothing"


def test_what_goes_wrong_with_a_shard_is_the_answer(planned: tuple[Config, ShardPlan]) -> None:
    config, plan = planned
    worker = orders.ShardEncoder(orders.written(config, plan.terms))
    staging.clear(config.index_path)
    answer = json.loads(worker.encode(orders.as_text(plan.shards[0])))
    assert "though it is planned" in answer["error"]


def test_a_worker_says_what_it_lacks(planned: tuple[Config, ShardPlan]) -> None:
    config, plan = planned

    def problem(config: Config) -> dict[str, object]:
        found: dict[str, object] = json.loads(orders.ShardEncoder(orders.written(config, plan.terms)).problem())
        return found

    unknown = config.cluster.model_copy(update={"imports": ["nowhere.to_be_found"]})
    said = problem(config.model_copy(update={"cluster": unknown}))
    assert said == {"error": "ModuleNotFoundError: No module named 'nowhere'", "refuses": False}
    elsewhere = problem(config.model_copy(update={"index": "another"}))
    assert "has to see the index under this path" in str(elsewhere["error"])
    other = config.model_copy(update={"encoder": config.encoder.model_copy(update={"model": "embedded-english"})})
    said = problem(other)
    assert said["refuses"]
    assert "dense: kind: (absent) → " in str(said["error"])
