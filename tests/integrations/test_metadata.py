"""What frameworks are told of a hit."""

from __future__ import annotations

import json

from pipeline.integrations.metadata import OVERRIDDEN, hit_fields, hit_metadata
from pipeline.records import Hit, LegScore, Metadata, TokenMatch


def hit(metadata: Metadata, **changes: object) -> Hit:
    fields = {
        "rank": 1,
        "score": 0.5,
        "chunk_id": "a.md#0",
        "doc_id": "a.md",
        "ordinal": 0,
        "start": 0,
        "end": 4,
        "text": "text",
        "headings": ("One", "Two"),
        "metadata": metadata,
        "source": "docs/a.md",
        "legs": {"dense": LegScore(0.25, 1), "lexical": LegScore(0.0, None)},
    }
    return Hit(**{**fields, **changes})  # type: ignore[arg-type]


def test_fields_of_the_document_stand_beside_those_of_the_hit() -> None:
    found = hit_metadata(hit({"lang": "ko", "tags": ["a"]}))
    assert found == {
        "lang": "ko",
        "tags": ["a"],
        "doc_id": "a.md",
        "chunk_id": "a.md#0",
        "ordinal": 0,
        "start": 0,
        "end": 4,
        "headings": ["One", "Two"],
        "source": "docs/a.md",
        "rank": 1,
        "score": 0.5,
        "legs": {"dense": {"score": 0.25, "rank": 1}, "lexical": {"score": 0.0, "rank": None}},
    }
    assert json.loads(json.dumps(found)) == found


def test_a_field_whose_name_is_taken_is_kept_elsewhere() -> None:
    own: Metadata = {"source": "the web", "score": 3, "lang": "ko"}
    found = hit_metadata(hit(own))
    assert (found["source"], found["score"], found["lang"]) == ("docs/a.md", 0.5, "ko")
    assert found[OVERRIDDEN] == {"source": "the web", "score": 3}
    assert {**{name: found[name] for name in own}, **found[OVERRIDDEN]} == own


def test_explanations_and_context_are_there_when_they_were_asked_for() -> None:
    explained = hit(
        {},
        legs={"dense": LegScore(0.25, 1, 0.5, 2.0, 1.0)},
        matches=(TokenMatch("build", 1.0, 2.0, 2.0),),
        before="",
        after="next",
    )
    found = hit_fields(explained)
    assert found["legs"]["dense"] == {
        "score": 0.25,
        "rank": 1,
        "normalized": 0.5,
        "weight": 2.0,
        "contribution": 1.0,
    }
    assert found["matches"] == [{"token": "build", "query_weight": 1.0, "passage_weight": 2.0, "contribution": 2.0}]
    assert (found["before"], found["after"]) == ("", "next")
    assert {"matches", "before"}.isdisjoint(hit_fields(hit({})))
