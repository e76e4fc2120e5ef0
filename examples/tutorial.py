"""The five sentences and the query of the Korean tutorials of this stack, and what those do with the vectors."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pipeline
from pipeline.config import EncoderSettings
from pipeline.models.contract import Encoder

TEXTS = [
    "안녕, 만나서 반가워.",
    "LangChain simplifies the process of building applications with large language models",
    "랭체인 한국어 튜토리얼은 LangChain의 공식 문서, cookbook 및 다양한 실용 예제를 바탕으로 하여 사용자가 "
    "LangChain을 더 쉽고 효과적으로 활용할 수 있도록 구성되어 있습니다. ",
    "LangChain은 초거대 언어모델로 애플리케이션을 구축하는 과정을 단순화합니다.",
    "Retrieval-Augmented Generation (RAG) is an effective technique for improving AI responses.",
]
QUERY = "LangChain 에 대해서 알려주세요."
RAG_PROMPT = "Answer from these passages.\n\nPassages:\n{context}\n\nQuestion: {question}"


@dataclass(frozen=True, slots=True)
class Ranking:
    """`shape`: of the dense matrix. `scores`: inner products with the query. `order`: texts, best first."""

    shape: tuple[int, ...]
    scores: npt.NDArray[np.float32]
    order: list[int]


@dataclass(frozen=True, slots=True)
class Answer:
    """A chain's answer, and the documents it was made from, best first."""

    text: str
    sources: list[str]

    def show(self) -> None:
        """Print both."""
        print(f"\n[answer] {self.text}\n[sources] {', '.join(self.sources)}")


def stand_in(prompt: str) -> str:
    """What a language model would answer to `RAG_PROMPT`, if it only ever repeated the first passage."""
    return prompt.split("Passages:\n", 1)[1].split("\n\n", 1)[0].strip()


def dense_ranking(encoder: Encoder) -> Ranking:
    """Encode texts and query, rank the texts by inner product, and print both."""
    documents = encoder.encode_documents(TEXTS).dense
    query = encoder.encode_queries([QUERY]).dense
    assert documents is not None
    assert query is not None
    scores = documents @ query[0]
    order = np.argsort(-scores, kind="stable").tolist()
    print(f"dense vectors: {documents.shape}")
    print_ranking(order, scores)
    return Ranking(documents.shape, scores, order)


def print_ranking(order: list[int], scores: npt.NDArray[np.float32]) -> None:
    """One line a text, best first."""
    print(f"\n[query] {QUERY}")
    for rank, i in enumerate(order):
        print(f"[{rank}] {scores[i]:.4f}  {TEXTS[i]}")


def print_sentences(texts: list[str]) -> None:
    """The tutorial's listing: the query, and the sentences, best first."""
    print(f"[Query] {QUERY}\n====================================")
    for i, text in enumerate(texts):
        print(f"[{i}] {text}")


@contextmanager
def index_of(settings: EncoderSettings) -> Iterator[pipeline.Index]:
    """An index of the sentences in a temporary folder; `doc_id` is `0` to `4`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({"id": str(i), "text": text}, ensure_ascii=False) for i, text in enumerate(TEXTS)]
        (folder / "texts.jsonl").write_text("\n".join(lines), "utf-8")
        encoder = settings.model_dump(mode="json", exclude_unset=True)
        config = pipeline.parse_config({"sources": [{"path": "texts.jsonl"}], "encoder": encoder}, base=folder)
        pipeline.build(config)
        with pipeline.open_index(config.index_path) as index:
            yield index


def lexical_scores(index: pipeline.Index) -> tuple[float, float]:
    """Lexical score of text 0 with itself and with text 1, whatever gives the weights; 0 without a shared token."""
    hits = index.search(TEXTS[0], k=len(TEXTS), mode="lexical")
    found = {hit.doc_id: hit.lexical.score for hit in hits if hit.lexical}
    scores = found.get("0", 0.0), found.get("1", 0.0)
    print(f"\nlexical score of text 0 with itself: {scores[0]:.4f}, with text 1: {scores[1]:.4f}")
    return scores


def hybrid_ranking(index: pipeline.Index) -> list[pipeline.Hit]:
    """All texts, best first, with the score and the rank of each leg."""
    hits = index.search(QUERY, k=len(TEXTS))
    print(f"\n[query] {QUERY}")
    for hit in hits:
        legs = ", ".join(f"{leg} {score.score:.4f} (#{score.rank})" for leg, score in hit.legs.items())
        print(f"[{hit.rank}] {hit.score:.4f}  {hit.text.strip()}\n      {legs}")
    return hits


def local(model: str) -> str:
    """A folder as an absolute path, since the index is built elsewhere; anything else as it is."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def arguments(description: str, model: str) -> argparse.ArgumentParser:
    """The options that the examples share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=model, metavar="NAME", help=f"hub id or folder (default: {model})")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    return parser
