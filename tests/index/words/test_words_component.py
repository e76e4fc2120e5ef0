"""The words of a segment through its life: written, compared, rebuilt, added to older ones, and not needed."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import pipeline
from pipeline.errors import CorruptIndexError
from pipeline.index import manifest as manifests
from pipeline.index.segment import SEGMENTS, file_entry
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.index.words.derive import VERSION, WORDS_FILE, words_of, write
from pipeline.index.words.spans import spelled_words, word_spans
from pipeline.records import Suggestion
from tests.faults import stub
from tests.support.collection import config_for, write_documents

FORMAT_1 = Path(__file__).parents[1] / "format_1"
SYLLABLES = ("re", "con", "stru", "ta", "li", "mor", "phe", "nis", "gra", "ver", "do", "ple")
BROKEN = 3
"""Slips in a word that is asked for at most."""


def made_up(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return sorted({"".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)})


def mistyped(seed: int, words: list[str]) -> list[str]:
    rng, found = random.Random(seed), []
    for word in rng.sample(words, 24):
        for _ in range(rng.randint(1, BROKEN)):
            place, letter = rng.randrange(len(word) - 1), rng.choice("aeinrstw")
            before, after = word[:place], word[place:]
            slips = (before + letter + after, before + letter + after[1:], before + after[1:])
            word = rng.choice([*slips, before + after[1] + after[0] + after[2:]])
        found.append(word)
    return found


WORDS = made_up(1, 500)
QUERIES = mistyped(2, WORDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("words")
    texts = {f"{i:03}.md": f"{' '.join(WORDS[i : i + 4])} Ärger über Cafés x1_{i}" for i in range(0, len(WORDS), 4)}
    config = config_for(base, encoder={"model": "none"}, segments={"auto_compact": False})
    for part in range(3):
        write_documents(base / "documents", dict(sorted(texts.items())[part::3]))
        pipeline.build(config)
    (base / "documents" / "012.md").unlink()
    pipeline.build(config)
    return config.index_path


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "index")


def files_of(index: Path) -> list[Path]:
    live = manifests.load(index, manifests.latest_generation(index))
    return [index / SEGMENTS / entry.segment_id / WORDS_FILE for entry in live.segments]


def republish(index: Path, keep: Callable[[Path], bool] = lambda path: True) -> None:
    """Publish the live generation with the files as they are now, those to keep."""
    live = manifests.load(index, manifests.latest_generation(index))
    entries = []
    for entry in live.segments:
        paths = [index / SEGMENTS / entry.segment_id / file.name for file in entry.files]
        entries.append(dataclasses.replace(entry, files=tuple(file_entry(path) for path in paths if keep(path))))
    manifests.publish(index, dataclasses.replace(live, generation=live.generation + 1, segments=tuple(entries)))


def without_words(index: Path, *of: Path) -> None:
    """What segments were before there were such files; by default all."""
    republish(index, lambda path: path not in (of or files_of(index)))


def suggested(index: Path) -> list[list[Suggestion]]:
    with pipeline.open_index(index) as opened:
        return [opened.suggestions(query) for query in QUERIES]


def test_suggestions_are_the_same_without_it(index: Path) -> None:
    expected = suggested(index)
    assert sum(bool(found) for found in expected) > len(QUERIES) // 2
    without_words(index, files_of(index)[1])
    assert verify(index, deep=True).ok
    assert suggested(index) == expected
    without_words(index)
    assert suggested(index) == expected


def test_letters_of_no_alphabet_are_found_at_two_slips(index: Path) -> None:
    with pipeline.open_index(index) as opened:
        assert [one.near for one in opened.suggestions("cafezs")] == [("cafés",)]


def test_every_segment_has_it_and_only_words_of_letters_are_in_it(index: Path) -> None:
    assert len(files_of(index)) > 2
    assert verify(index, deep=True).ok
    with pipeline.open_index(index) as opened:
        near = opened.snapshot.words_near("über", 1)
        assert near == {"über"}
        assert opened.snapshot.words_near("x1_0", 1) == set()


def test_an_encoder_with_weights_of_its_own_has_none(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    live = manifests.load(config.index_path, 1)
    has_words = live.lexical.kind == "bm25"
    assert [entry.has(WORDS_FILE) for entry in live.segments] == [has_words] * len(live.segments)
    assert not repair(config.index_path).published


def test_repair_and_compaction_give_it_to_older_segments(index: Path, tmp_path: Path) -> None:
    expected = suggested(index)
    without_words(index)
    for path in index.glob(f"{SEGMENTS}/*/{WORDS_FILE}"):
        path.unlink()
    other = shutil.copytree(index, tmp_path / "other")
    report = repair(index)
    assert report.published
    assert {Path(file).name for file in report.rebuilt} == {WORDS_FILE}
    assert not repair(index).published
    compact(other)
    for mended in (index, other):
        assert all(path.exists() for path in files_of(mended))
        assert verify(mended, deep=True).ok
        assert suggested(mended) == expected


def test_an_index_of_the_first_format_is_given_it(tmp_path: Path) -> None:
    folder = shutil.copytree(FORMAT_1, tmp_path / "copy")
    assert not files_of(folder / "index")[0].exists()
    assert repair(folder / "index").published
    assert all(path.exists() for path in files_of(folder / "index"))
    assert verify(folder / "index", deep=True).ok


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_damage_is_refused_and_mended(index: Path, damage: str) -> None:
    path = files_of(index)[0]
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:-300] + bytes([data[-300] ^ 1]) + data[-299:])
    assert [Path(problem.file).name for problem in verify(index).problems] == [WORDS_FILE]
    with pytest.raises(CorruptIndexError, match=r"words\.arrow.*pipeline repair"):
        suggested(index)
    report = repair(index)
    assert (report.lost, report.published) == ((), False)
    assert path.read_bytes() == data


def test_words_of_other_chunks_are_found_by_a_deep_check(index: Path) -> None:
    write(files_of(index)[0], words_of(["quite", "other"]))
    republish(index)
    assert verify(index).ok
    assert [(Path(one.file).name, one.reason) for one in verify(index, deep=True).problems] == [
        (WORDS_FILE, "differs from what chunks.parquet gives; `pipeline repair` rebuilds it")
    ]


def test_another_version_is_not_read_and_rebuilt(index: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected, path = suggested(index), files_of(index)[0]
    write(path, words_of(["quite"]).replace_schema_metadata({"hybrid-pipeline words": "99"}))
    republish(index)
    assert suggested(index) == expected
    assert "words.arrow: of another version of the format; near words take longer until" in caplog.text
    assert repair(index).published
    assert verify(index, deep=True).ok


@pytest.mark.parametrize(
    "edit",
    [
        lambda batch: batch.rename_columns(["x", *batch.schema.names[1:]]).replace_schema_metadata(VERSION),
        lambda batch: batch.take(pa.array([1, 0])),
    ],
)
def test_what_is_malformed_is_refused_and_rebuilt(
    index: Path, edit: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> None:
    write(files_of(index)[0], edit(words_of(["near", "words"])))
    republish(index)
    assert not verify(index, deep=True).ok
    with pytest.raises(CorruptIndexError, match="pipeline repair"):
        suggested(index)
    assert repair(index).published
    assert verify(index, deep=True).ok


def test_words_are_those_that_stand_in_the_texts() -> None:
    texts = ["Plain WORDS, x_1.", "Straße 검색은 読む cafe\u0301 İx", "", "ß"]
    found = {text[a:b].casefold() for text in texts for a, b in word_spans(text)}
    assert spelled_words(texts) == found - {"검색은", "読む"}


def test_they_are_in_order_and_of_letters_alone() -> None:
    batch = words_of(["zebra", "cafe\u0301", "abcd", "x123", "abc", "a_bcd", "z" * 65, "fünf"])
    assert batch.column("word").to_pylist() == ["abcd", "cafe\u0301", "fünf", "zebra"]
    assert batch.column("length").to_pylist() == [4, 5, 5, 5]
