"""What a key may see: no door of the service leads to a document of other groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from pipeline.config import ServeSettings
from pipeline.query.access import ALL_GROUPS, NO_GROUPS
from pipeline.serve.guard.gate import header_groups
from pipeline.serve.guard.keys import NO_KEYS, hash_of, load_keys
from tests.faults import stub
from tests.support.grouped import built, records
from tests.support.live import Live, serving

GROUPS = {"staff": "[staff]", "hr": "[hr, unknown]", "owner": "all", "gateway": "header", "nobody": "[]"}
HEADER = "X-Groups"


def seen_by(group: str) -> set[str]:
    """The documents that a group may see."""
    return {one["_id"] for one in records() if group in one.get("groups", ())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with an access field."""
    return built(tmp_path_factory.mktemp("access"), records(), access_field="groups").index_path


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with a key for each of `GROUPS`, which is its name."""
    file = tmp_path_factory.mktemp("keys") / "keys.yaml"
    entries = [
        f"- {{name: {name}, hash: '{hash_of(name)}', groups: {groups}}}\n" for name, groups in GROUPS.items()
    ]
    file.write_text("keys:\n" + "".join(entries))
    keys = load_keys(file, {}, HEADER)
    settings = ServeSettings(refresh_seconds=3600.0, groups_header=HEADER)
    with stub.open_index(folder, groups=ALL_GROUPS) as index, serving({"docs": index}, settings, keys) as live:
        yield live


def ask(service: Live, key: str, groups: str | None = None, **body: Any) -> Any:
    """The answer to a search by a key."""
    headers = {"X-API-Key": key} | ({} if groups is None else {HEADER: groups})
    answer = service.client.post(
        "/v1/search", json={"query": "plums", "k": 500, "mode": "dense", **body}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def found(answer: Any) -> set[str]:
    """The documents in an answer."""
    return {hit["doc_id"] for hit in answer["results"][0]["hits"]}


@pytest.mark.parametrize("key", ["staff", "hr"])
def test_a_key_finds_what_its_groups_may_see(service: Live, key: str) -> None:
    answer = ask(service, key, facets=["doc_id"], explain=True, context=3, facet_limit=100)
    assert found(answer) == seen_by(key)
    assert {one["value"] for one in answer["facets"][0]["values"]} == seen_by(key)
    for mode in ("lexical", "hybrid"):
        assert found(ask(service, key, mode=mode)) <= seen_by(key)
    shown = service.get("/v1/indexes/docs", headers={"X-API-Key": key})
    assert shown["documents"] == len(seen_by(key))
    for number in range(60):
        answer = service.client.get(f"/v1/documents/d{number}", headers={"X-API-Key": key})
        assert answer.status_code == (200 if f"d{number}" in seen_by(key) else 404)


def test_hidden_and_missing_documents_are_told_alike(service: Live) -> None:
    """But for the name, which is the one that was asked for."""

    def told(doc_id: str) -> str:
        answer = service.client.get(f"/v1/documents/{doc_id}", headers={"X-API-Key": "hr"})
        problem = {**answer.json(), "request_id": "", "status": answer.status_code}
        return json.dumps(problem, sort_keys=True).replace(repr(doc_id), "")

    assert told("d1") == told("none")


def test_openais_door_is_watched_too(service: Live) -> None:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="staff", max_retries=0) as client:
        page = client.vector_stores.search("docs", query="plums", max_num_results=50)
        assert {one.file_id for one in page.data} <= seen_by("staff")
        filters: Any = {"type": "eq", "key": "doc_id", "value": "d1"}
        assert client.vector_stores.search("docs", query="plums", filters=filters).data == []


def test_the_owner_sees_all_and_who_has_no_groups_nothing(service: Live) -> None:
    assert found(ask(service, "owner")) == {f"d{number}" for number in range(60)}
    assert found(ask(service, "nobody")) == set()


def test_the_header_counts_for_the_key_that_is_trusted_with_it_alone(service: Live) -> None:
    assert found(ask(service, "gateway")) == set()
    assert found(ask(service, "gateway", "staff")) == seen_by("staff")
    assert found(ask(service, "gateway", "staff, hr")) == seen_by("staff") | seen_by("hr")
    assert found(ask(service, "gateway", "all groups,*,unknown")) == set()
    assert found(ask(service, "staff", "board")) == seen_by("staff")
    assert found(ask(service, "nobody", "board")) == set()


def test_callers_of_many_groups_at_once_are_not_mixed_up(service: Live) -> None:
    from concurrent.futures import ThreadPoolExecutor

    keys = ["staff", "hr", "nobody"] * 20
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda key: found(ask(service, key)), keys))
    assert answers == [seen_by(key) for key in keys]


@pytest.mark.parametrize("groups", [NO_GROUPS, frozenset({"hr"}), ALL_GROUPS])
def test_without_keys_it_is_the_service_that_has_groups(folder: Path, groups: Any) -> None:
    keys = load_keys(None, {}, None, groups)
    with stub.open_index(folder, groups=ALL_GROUPS) as index, serving({"docs": index}, keys=keys) as live:
        wanted = {f"d{n}" for n in range(60)} if groups is ALL_GROUPS else seen_by("hr") if groups else set()
        assert found(ask(live, "")) == wanted
        assert found(ask(live, "", "board")) == wanted


def test_a_service_that_was_told_nothing_shows_nothing(folder: Path) -> None:
    with stub.open_index(folder, groups=ALL_GROUPS) as index, serving({"docs": index}, keys=NO_KEYS) as live:
        assert found(ask(live, "", "board")) == set()


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([], set()),
        (["a"], {"a"}),
        (["a, b", "c"], {"a", "b", "c"}),
        ([" , ,"], set()),
        (["%EC%9D%B8%EC%82%AC,a%2Cb"], {"인사", "a,b"}),
    ],
)
def test_the_groups_in_a_header(values: list[str], groups: set[str]) -> None:
    assert header_groups(values) == groups


def test_agents_and_retrievers_see_what_the_index_was_opened_for(folder: Path) -> None:
    from pipeline.integrations.lending import Followed
    from pipeline.integrations.parameters import SearchParameters
    from pipeline.integrations.source import index_source

    with stub.open_index(folder, groups=["hr"]) as index:
        hits = index_source(index).search("plums", SearchParameters(k=500, mode="dense"))
        assert {hit.doc_id for hit in hits} == seen_by("hr")
        with Followed(index).lent() as lent:
            assert lent.document("d1") == []
        assert json.dumps([hit.metadata for hit in hits]).count("secret") == 0
