"""Every kind of broken source in one collection, built end to end: what is good is found, what is bad listed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.index.upkeep.verify import verify
from pipeline.ingest.readers import discover, read_documents
from tests.faults import stub
from tests.ingest import test_malformed as malformed

GOOD = 80
"""Documents beside the broken ones, so that the gate lets so many rejections pass."""


def rejects(config: Config, generation: int) -> list[tuple[str, str]]:
    """Source and reason of what a build rejected, as listed in the index."""
    lines = (config.index_path / f"rejects/{generation:08d}.jsonl").read_text("utf-8").splitlines()
    return [(row["source"], row["reason"]) for row in map(json.loads, lines)]


def check_rejects(config: Config, generation: int) -> None:
    found = rejects(config, generation)
    wanted: list[Any] = list(malformed.expected(2))
    assert len({name for name, _ in wanted}) >= 30
    assert [source for source, _ in found] == [
        f"documents/{name}" if line is None else f"documents/{name}:{line}" for name, (line, _) in wanted
    ]
    for (source, reason), (_, (_, part)) in zip(found, wanted, strict=True):
        assert part.replace("src/", "documents/") in reason, source


def words(text: str) -> list[str]:
    """What a text says, heading or not."""
    return re.findall(r"\w+", text.casefold())


def check_documents(config: Config) -> None:
    """Each good document is the best hit for its own text, or comes after one that says the same."""
    documents = list(read_documents(discover(config), config.ingest, lambda _: None))
    good = {document.doc_id for document in documents}
    assert {name for _, name in malformed.expected(1)} == {name for name in good if name not in written()}
    assert written() <= good
    with stub.open_index(config.index_path) as index:
        assert index.manifest.documents == len(good)
        every = index.search_many([document.text for document in documents], 20)
        for document, hits in zip(documents, every, strict=True):
            best = {hit.doc_id for hit in hits if hit.text == document.text}
            assert document.doc_id in best
            assert words(hits[0].text) == words(document.text)


def written() -> set[str]:
    """The good documents beside the broken ones, as `write_texts` names them."""
    return {f"{number:03d}.txt" for number in range(GOOD)}


def test_the_good_is_found_and_the_bad_is_listed_each_time(base: Path) -> None:
    stub.write_texts(base, 0, GOOD)
    malformed.write(base / "documents")
    config = stub.stub_config(
        base, sources=[{"path": "documents", "include": ["**/*"]}], ingest={"max_document_mb": 0.3}
    )
    report = stub.build(config)
    answers = stub.answers(config.index_path)
    check_rejects(config, 1)
    assert len(report.rejections) == len(rejects(config, 1))

    again = stub.build(config, full=True)
    assert (again.generation, again.documents, again.rejections) == (2, report.documents, report.rejections)
    assert rejects(config, 2) == rejects(config, 1)
    check_documents(config)
    assert stub.answers(config.index_path) == answers
    assert verify(config.index_path, deep=True).problems == ()
