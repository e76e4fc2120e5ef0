"""A build that an endpoint fails pays again for no more than the shard it was at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import EncoderError
from pipeline.job import build as builder
from pipeline.job.injected import Injected
from pipeline.job.prepare import sources
from tests.models.endpoint_server import DIMENSION, EndpointServer, Fault
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture
from tests.support.collection import config_for

DOCUMENTS = 600


def sent(server: EndpointServer) -> list[str]:
    return [text for _, _, body in server.posts for text in body["inputs"]]


def test_a_second_build_does_not_send_what_finished_shards_hold(server: EndpointServer, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    rows = [json.dumps({"id": str(i), "text": f"document number {i}"}) for i in range(DOCUMENTS)]
    (tmp_path / "documents" / "all.jsonl").write_text("\n".join(rows))
    endpoint = {"protocol": "tei", "url": server.url, "dimension": DIMENSION, "attempts": 1}
    config = config_for(tmp_path, encoder={"model": "test/model", "endpoint": endpoint})
    server.choose = lambda _: Fault("status", status=400) if server.answered.total() >= 300 else None
    with pytest.raises(EncoderError, match="status 400"):
        builder.build(config)
    answered = set(server.answered)
    assert sources.ENDPOINT_SHARD_CHUNKS < len(answered) < DOCUMENTS
    server.reset()
    builder.build(config)
    again = sent(server)
    assert len(again) == len(set(again)) == DOCUMENTS - sources.ENDPOINT_SHARD_CHUNKS
    assert len(set(again) | answered) == DOCUMENTS


@pytest.mark.parametrize(("concurrency", "chunks"), [(4, 256), (1, 256), (16, 1024), (512, 4096)])
def test_a_shard_holds_enough_for_the_requests_in_flight(concurrency: int, chunks: int, tmp_path: Path) -> None:
    endpoint = {"protocol": "openai", "concurrency": concurrency}
    config = config_for(tmp_path, encoder={"model": "m", "endpoint": endpoint})
    assert sources.shard_chunks(config, Injected().encoder(config)) == chunks
