"""Encoding speed against the libraries people use today, on the same texts in the same run.

    python bench/encode.py [--texts 512] [--model embedded] [--repeat 2]

Prints a table, then one line of JSON: texts and tokens per second, the ratio to the rival, the mean and least
cosine to the rival's fp32 vectors, and the share of this machine's matrix-product ceiling.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
HANDBOOK = Path(__file__).parent.parent / "data" / "handbook"


@dataclass(frozen=True)
class Contest:
    """Ours and a rival's encode of the same texts. `flop(tokens)`: work of a text of that many tokens."""

    rival_name: str
    ours: Callable[[Sequence[str]], Vectors]
    rival: Callable[[Sequence[str]], Vectors]
    count_tokens: Callable[[Sequence[str]], list[int]]
    flop: Callable[[int], float]


def embedded() -> Contest:
    """The embedded default against `SentenceTransformer.encode` with its defaults."""
    from sentence_transformers import SentenceTransformer

    from pipeline.models.embedded import MAX_TOKENS, embedded_encoder, embedded_tokenizer, package_folder

    reference = SentenceTransformer(str(package_folder()), device="cpu")
    encoder, tokenizer = embedded_encoder(), embedded_tokenizer()

    def ours(texts: Sequence[str]) -> Vectors:
        dense = encoder.encode_documents(texts).dense
        assert dense is not None
        return dense

    def rival(texts: Sequence[str]) -> Vectors:
        return np.asarray(reference.encode(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def count_tokens(texts: Sequence[str]) -> list[int]:
        return [min(len(encoding.ids), MAX_TOKENS) for encoding in tokenizer.encode_batch(list(texts))]

    return Contest("sentence-transformers", ours, rival, count_tokens, transformer_flop(6, 384, 1536))


CONTESTS: dict[str, Callable[[], Contest]] = {"embedded": embedded}


def transformer_flop(layers: int, hidden: int, inner: int) -> Callable[[int], float]:
    """Work of a BERT encoder: four hidden² and two hidden·inner multiply-adds a token and layer, and attention."""
    dense = 2.0 * layers * (4 * hidden * hidden + 2 * hidden * inner)
    return lambda tokens: tokens * (dense + 4.0 * layers * hidden * tokens)


def mixed_texts(count: int, mean_words: int = 105, seed: int = 0) -> list[str]:
    """Texts of mixed length (log-normal, 5 to 400 words) from the handbook's English words, else made-up ones."""
    rng = np.random.default_rng(seed)
    pages = [page.read_text("utf-8") for page in sorted(HANDBOOK.rglob("*.md"))]
    words = [word for page in pages for word in page.split() if word.isascii()]
    if len(words) < 5_000:
        syllables = ["ra", "ti", "on", "sel", "dex", "in", "que", "ry", "seg", "ment", "vec", "tor"]
        words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(20_000)]
    lengths = np.clip(rng.lognormal(np.log(mean_words) - 0.18, 0.6, count), 5, 400).astype(int)
    starts = rng.integers(0, len(words) - 400, count)
    return [" ".join(words[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


def matmul_ceiling() -> tuple[str, float]:
    """Precision and FLOP/s of plain matrix products, as fast as this machine's CPU runtime makes them."""
    from pipeline.models.openvino_import import openvino
    from pipeline.models.openvino_runtime import cpu_precision

    ov, precision = openvino(), cpu_precision()
    op, size, rows, depth = ov.opset13, 1024, 1024, 8
    weights = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32) / np.float32(32)
    given = op.parameter([rows, size], np.float32)
    node = given
    for _ in range(depth):
        node = op.matmul(node, op.constant(weights), False, True)
    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = ov.Core().compile_model(ov.Model([op.result(node)], [given]), "CPU", hints)
    queue = ov.AsyncInferQueue(compiled)
    data = np.ones((rows, size), np.float32)
    best = 0.0
    for _ in range(4):
        start = time.perf_counter()
        for _ in range(16):
            queue.start_async([data])
        queue.wait_all()
        best = max(best, 16 * depth * 2.0 * rows * size * size / (time.perf_counter() - start))
    return precision, best


def timed(encode: Callable[[Sequence[str]], Vectors], texts: Sequence[str]) -> tuple[float, Vectors]:
    start = time.perf_counter()
    vectors = encode(texts)
    return time.perf_counter() - start, vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--model", choices=sorted(CONTESTS), default="embedded")
    parser.add_argument(
        "--repeat", type=int, default=2, help="rounds, ours and rival by turns; the best of each counts"
    )
    options = parser.parse_args()

    contest = CONTESTS[options.model]()
    texts = mixed_texts(options.texts)
    tokens = contest.count_tokens(texts)
    precision, ceiling = matmul_ceiling()
    contest.ours(texts[:8])
    contest.rival(texts[:8])
    ours_s, rival_s = float("inf"), float("inf")
    for _ in range(options.repeat):
        seconds, ours = timed(contest.ours, texts)
        ours_s = min(ours_s, seconds)
        seconds, theirs = timed(contest.rival, texts)
        rival_s = min(rival_s, seconds)

    cosines = (ours * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
    total, work = sum(tokens), sum(contest.flop(n) for n in tokens)
    print(
        f"{len(texts)} texts, {total} tokens (mean {total / len(texts):.0f}), model {options.model}, {precision}\n"
    )
    print(f"{'':24}{'seconds':>10}{'texts/s':>10}{'tokens/s':>10}{'GFLOP/s':>10}")
    for name, seconds in (("hybrid-pipeline", ours_s), (contest.rival_name, rival_s)):
        rates = len(texts) / seconds, total / seconds, work / seconds / 1e9
        print(f"{name:24}{seconds:10.2f}{rates[0]:10.1f}{rates[1]:10.0f}{rates[2]:10.1f}")
    print(f"{'matrix products':24}{'':30}{ceiling / 1e9:10.1f}\n")
    figures = {
        "model": options.model,
        "precision": precision,
        "texts": len(texts),
        "tokens": total,
        "texts_per_s": round(len(texts) / ours_s, 1),
        "tokens_per_s": round(total / ours_s),
        "ratio": round(rival_s / ours_s, 2),
        "rival": contest.rival_name,
        "cosine_mean": round(float(cosines.mean()), 6),
        "cosine_min": round(float(cosines.min()), 6),
        "share_of_ceiling": round(work / ours_s / ceiling, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
