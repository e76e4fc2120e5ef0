"""The five sentences and the query of the Korean tutorials of this stack, and what those do with the vectors."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True, slots=True)
class Ranking:
    """`shape`: of the dense matrix. `scores`: inner products with the query. `order`: texts, best first."""

    shape: tuple[int, ...]
    scores: npt.NDArray[np.float32]
    order: list[int]


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


def arguments(description: str, model: str) -> argparse.ArgumentParser:
    """The options that the examples share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=model, metavar="NAME", help=f"hub id or folder (default: {model})")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    return parser
