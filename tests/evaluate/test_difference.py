"""What changed between two generations, and which cause is told for which change."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluate.difference import CHANGED, GONE, IDF, NEW, OTHERS, Counts, Difference, difference
from pipeline.evaluate.own_queries import own_queries
from pipeline.job.report.differences import section
from pipeline.job.report.record import load
from pipeline.query.files.batch import Query
from tests.faults import stub
from tests.support.collection import config_for, write_documents
from tests.support.command_line import run

FRUIT = {f"{name}.txt": f"{name} grows in the garden of fruit" for name in ("apple", "pear", "plum", "quince")}
ASK = [Query("q", "plum")]
LEXICAL = {"query": {"mode": "lexical"}}


def compare(folder: Path, first: dict[str, str], second: dict[str, str], queries: list[Query] = ASK) -> Difference:
    for texts in (first, second):
        documents = folder / "documents"
        for old in documents.glob("*"):
            old.unlink()
        write_documents(documents, texts)
        stub.build(config_for(folder, max_delete_ratio=1.0, **LEXICAL), allow_deletes=True)
    options = {"settings": {"mode": "lexical"}}
    index = folder / "index"
    with stub.open_index(index, generation=1, **options) as before, stub.open_index(index, **options) as after:
        return difference(before, after, queries)


def test_documents_that_came_went_and_changed(tmp_path: Path) -> None:
    later = FRUIT | {"plum.txt": "another story", "fig.txt": "a fig"}
    del later["quince.txt"]
    found = compare(tmp_path, FRUIT, later)
    assert found.documents == found.chunks == Counts(added=1, deleted=1, changed=1)
    assert found.changed_documents == {NEW: ("fig.txt",), CHANGED: ("plum.txt",), GONE: ("quince.txt",)}


def test_why_a_hit_came_or_went(tmp_path: Path) -> None:
    later = FRUIT | {"plum.txt": "no such fruit", "fig.txt": "a plum beside a fig"}
    (query,) = compare(tmp_path, FRUIT, later).queries
    assert {(hit.doc_id, hit.before, hit.after, hit.causes) for hit in query.hits} == {
        ("fig.txt", None, 1, (NEW,)),
        ("plum.txt", 1, None, (CHANGED,)),
    }
    gone = dict(FRUIT)
    del gone["plum.txt"]
    (query,) = compare(tmp_path / "other", FRUIT, gone).queries
    assert [(hit.doc_id, hit.causes) for hit in query.hits] == [("plum.txt", (GONE,))]


def test_a_document_that_is_as_it_was_is_pushed_out_by_others(tmp_path: Path) -> None:
    first = {f"{i:02d}.txt": "plum " + "filler " * i for i in range(10)}
    found = compare(tmp_path, first, first | {"new.txt": "plum plum plum"})
    (query,) = found.queries
    causes = {hit.doc_id: hit.causes for hit in query.hits}
    assert causes == {"new.txt": (NEW,), "09.txt": (IDF, OTHERS)}
    assert found.causes == {NEW: 1, IDF: 1, OTHERS: 1}


def test_nothing_changed_is_nothing_told(tmp_path: Path) -> None:
    found = compare(tmp_path, FRUIT, FRUIT | {"zebra.txt": "an animal"})
    assert found.asked == 1
    assert found.queries == ()


@settings(max_examples=8, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "two", "three"]), min_size=1), st.data())
def test_the_counts_are_those_of_the_sources(first: dict[str, str], data: st.DataObject) -> None:
    import tempfile

    second = data.draw(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "four"]), min_size=1))
    if first == second:
        return
    with tempfile.TemporaryDirectory() as name:
        documents = [{f"{key}.txt": text for key, text in texts.items()} for texts in (first, second)]
        counts = compare(Path(name), *documents, queries=[]).documents
    assert counts.added == len(second.keys() - first.keys())
    assert counts.deleted == len(first.keys() - second.keys())
    assert counts.changed == sum(first[key] != second[key] for key in first.keys() & second.keys())


def test_an_index_asks_itself_what_it_holds(tmp_path: Path) -> None:
    stub.build_two_generations(tmp_path)
    with stub.open_index(tmp_path / "index") as index:
        asked = own_queries(index, 5)
        assert len(asked) == 5
        assert all(one.text in index.document(one.query_id.rsplit("#", 1)[0])[0].text for one in asked)
        assert own_queries(index, 0) == []


def test_the_command_and_the_report_tell_the_same(tmp_path: Path) -> None:
    stub.build_two_generations(tmp_path)
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    told = run(tmp_path, "diff", "--json", options=stub.options())
    assert told.exit_code == 0, told.output
    record = json.loads(told.stdout)
    assert (record["before"], record["after"]) == (1, 2)
    assert record["documents"] == {"added": 1, "deleted": 1, "changed": 5}
    kept = load(tmp_path / "index").difference
    assert kept is not None
    assert (kept.before, kept.documents) == (1, Counts(1, 1, 5))
    assert [query["query_id"] for query in record["queries"]][:20] == [query.query_id for query in kept.queries]
    assert "What queries find now" in section(kept)
    text = run(tmp_path, "diff", "1", "2", options=stub.options())
    assert "documents: 1 added, 1 deleted, 5 changed" in text.stdout


def test_there_must_be_a_generation_before(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0)
    stub.build(stub.stub_config(tmp_path))
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    told = run(tmp_path, "diff", options=stub.options())
    assert told.exit_code == 1
    assert "no generation is left before 1; `pipeline build` makes a new one" in " ".join(told.stderr.split())
