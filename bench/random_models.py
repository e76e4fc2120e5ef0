"""Models of random weights with the files that real ones have: sizes, names and a tokenizer.json of 250,002 pieces.

Usage: python bench/random_models.py small|large FOLDER

The pieces are those of multilingual-e5, which XLM-RoBERTa and BGE-M3 share; the normaliser is SentencePiece's own.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
HEADS = {"sparse_linear": 1, "colbert_linear": 1024}


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an XLM-RoBERTa."""

    layers: int
    hidden: int
    heads: int
    positions: int


E5_SMALL = Shape(layers=12, hidden=384, heads=12, positions=514)
BGE_M3 = Shape(layers=24, hidden=1024, heads=16, positions=8194)


def save_sentence_model(folder: Path, shape: Shape = E5_SMALL) -> None:
    """A sentence-transformers model with mean pooling."""
    _save(folder, shape)
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    described = [
        {"idx": i, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (name, path, kind) in enumerate(modules)
    ]
    pooling = {"word_embedding_dimension": shape.hidden, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    _write_json(folder / "1_Pooling/config.json", pooling)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
    _write_json(folder / "modules.json", described)


def save_bge_m3(folder: Path, shape: Shape = BGE_M3) -> None:
    """A BGE-M3: the transformer and its two heads, as FlagEmbedding stores them."""
    import torch

    _save(folder, shape)
    for name, size in HEADS.items():
        torch.save(torch.nn.Linear(shape.hidden, size).state_dict(), folder / f"{name}.pt")


def _save(folder: Path, shape: Shape) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary()
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    names |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    _write_json(folder / "tokenizer.json", _tokenizer(vocabulary))
    _write_json(folder / "special_tokens_map.json", names)
    limit = {"tokenizer_class": "XLMRobertaTokenizerFast", "model_max_length": shape.positions - 2}
    _write_json(folder / "tokenizer_config.json", limit | names)
    config = {
        "architectures": ["XLMRobertaModel"],
        "model_type": "xlm-roberta",
        "hidden_act": "gelu",
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "hidden_size": shape.hidden,
        "intermediate_size": 4 * shape.hidden,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": shape.positions,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "type_vocab_size": 1,
        "vocab_size": len(vocabulary),
    }
    _write_json(folder / "config.json", config)
    _write_weights(folder / "model.safetensors", dict(_tensors(shape, len(vocabulary))))


def _vocabulary() -> list[tuple[str, float]]:
    from pipeline.models.e5.data_file import E5Data
    from pipeline.models.e5.origin import data_path, read_data

    vocabulary = E5Data(read_data(), str(data_path())).vocabulary
    return [(piece, float(score)) for piece, score in zip(vocabulary.pieces, vocabulary.scores, strict=True)]


def _tokenizer(vocabulary: list[tuple[str, float]]) -> dict[str, Any]:
    def added(token_id: int, content: str) -> dict[str, Any]:
        flags = {"single_word": False, "lstrip": content == "<mask>", "rstrip": False, "normalized": False}
        return {"id": token_id, "content": content, **flags, "special": True}

    start, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name in ("<s>", "</s>"))
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    ends = {name: {"id": name, "ids": [i], "tokens": [name]} for i, name in ((0, "<s>"), (2, "</s>"))}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [*map(added, range(len(SPECIAL)), SPECIAL), added(len(vocabulary) - 1, "<mask>")],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(_charsmap()).decode()},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, first, end],
            "pair": [start, first, end, end, second, end],
            "special_tokens": ends,
        },
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": False},
    }


def _charsmap() -> bytes:
    """SentencePiece's `nmt_nfkc`, which it writes into every model that it trains."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as described

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["some words to train on"] * 20),
        model_writer=written,
        vocab_size=20,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    model: Any = described.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(written.getvalue())
    return bytes(model.normalizer_spec.precompiled_charsmap)


def _tensors(shape: Shape, vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner = shape.hidden, 4 * shape.hidden

    def norm(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from ((f"{name}.weight", (hidden,)), (f"{name}.bias", (hidden,)))

    yield "embeddings.word_embeddings.weight", (vocabulary, hidden)
    yield "embeddings.position_embeddings.weight", (shape.positions, hidden)
    yield "embeddings.token_type_embeddings.weight", (1, hidden)
    yield from norm("embeddings.LayerNorm")
    for layer in range(shape.layers):
        prefix = f"encoder.layer.{layer}"
        maps = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        maps |= {"attention.output.dense": (hidden, hidden), "intermediate.dense": (inner, hidden)}
        maps |= {"output.dense": (hidden, inner)}
        for name, (rows, columns) in maps.items():
            yield from ((f"{prefix}.{name}.weight", (rows, columns)), (f"{prefix}.{name}.bias", (rows,)))
        yield from norm(f"{prefix}.attention.output.LayerNorm")
        yield from norm(f"{prefix}.output.LayerNorm")


def _write_weights(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file, tensor by tensor: 2 GB of weights are never in memory at once."""
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(0)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            if "LayerNorm.weight" in name:
                values = np.ones(shape, np.float32)
            elif len(shape) == 1:
                values = np.zeros(shape, np.float32)
            else:
                values = random.standard_normal(shape, np.float32)
                values *= np.float32(0.02)
            stream.write(values.tobytes())


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    {"small": save_sentence_model, "large": save_bge_m3}[sys.argv[1]](Path(sys.argv[2]))
