"""The BERT family (BERT, RoBERTa, XLM-RoBERTa) as an OpenVINO graph, built from arrays without torch.

Embeddings stay outside: the caller looks them up in memory-mapped tables (`embeddings.Embeddings`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipeline.errors import EncoderError
from pipeline.models.files.weights import Array
from pipeline.models.runtime.bf16 import bf16_bits
from pipeline.models.runtime.openvino_import import openvino
from pipeline.names import DENSE

GRAPH_VERSION = 2
Layers = Literal["f32", "bf16", "int8"]
"""In what the matrices of the layers are kept."""
_MASKED = -65504.0


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """What config.json says about a BERT-family encoder. `position_offset`: row of the first token's position."""

    layers: int
    heads: int
    hidden: int
    layer_norm_eps: float
    position_offset: int
    max_positions: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], origin: str) -> TransformerShape:
        """From a parsed config.json. Raises `EncoderError` if the architecture is not one of the BERT family."""
        kind = config.get("model_type")
        offsets = {"bert": 0, "roberta": 1, "xlm-roberta": 1}
        problem = ""
        if kind not in offsets:
            problem = f"model_type {kind!r} is not one of {', '.join(offsets)}"
        elif config.get("position_embedding_type", "absolute") != "absolute":
            problem = f"position_embedding_type {config['position_embedding_type']!r} is not supported"
        elif config.get("hidden_act") != "gelu":
            problem = f"hidden_act {config.get('hidden_act')!r} is not supported"
        if problem:
            raise EncoderError(f"{origin}: {problem} by the CPU runtime; set encoder.runtime: torch")
        offset = offsets[str(kind)] and int(config.get("pad_token_id", 1)) + 1
        return cls(
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            hidden=int(config["hidden_size"]),
            layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
            position_offset=offset,
            max_positions=int(config["max_position_embeddings"]) - offset,
        )


@dataclass(frozen=True, slots=True)
class Heads:
    """What the graph gives from one pass.

    `dense`: pooling (`mean` or `cls`) of the sentence vector (batch, hidden). `token_weights`: relu of a linear map
    of each token, hidden → 1 (batch, tokens). `token_vectors`: a linear map of each token but the first (batch,
    tokens - 1, dimension). `score`: two linear maps of the first token with tanh between them (batch, 1), as cross-
    encoders have. Linear maps are (weight, bias). Vectors are not normalised here: in bf16 the rows would
    come out up to 0.4% too long or too short, so the caller does it in float32.
    """

    dense: str | None = "mean"
    token_weights: tuple[Array, Array] | None = None
    token_vectors: tuple[Array, Array] | None = None
    score: tuple[tuple[Array, Array], tuple[Array, Array]] | None = None


def build_graph(
    tensors: Mapping[str, Array], shape: TransformerShape, heads: Heads, *, layers: Layers = "f32"
) -> Any:
    """An `openvino.Model`: `embeddings` float32 (batch, tokens, hidden) and `mask` float32 (batch, tokens) → heads.

    Padding must be on the right. `layers`: `bf16` for a runtime that computes in it, which would have to round
    float32 each time it is loaded; `int8` with a scale for each row, where the runtime then computes with int8
    activations if that is fast. Raises `EncoderError` if a tensor is missing.
    """
    try:
        return _Builder(tensors, shape, layers).build(heads)
    except KeyError as error:
        raise EncoderError(
            f"the model's weights have no tensor {error.args[0]!r}; is this a BERT-family model?"
        ) from error


class _Builder:
    def __init__(self, tensors: Mapping[str, Array], shape: TransformerShape, layers: Layers) -> None:
        self.ov = openvino()
        self.op = self.ov.opset13
        self.tensors, self.shape, self.layers = tensors, shape, layers

    def build(self, heads: Heads) -> Any:
        op = self.op
        embeddings = self.input("embeddings", [-1, -1, self.shape.hidden])
        mask = self.input("mask", [-1, -1])
        attention_mask = op.multiply(op.subtract(self.constant(1.0), mask), self.constant(_MASKED))
        attention_mask = op.unsqueeze(attention_mask, self.axes(1, 2))
        hidden = self.norm(embeddings, "embeddings.LayerNorm")
        for layer in range(self.shape.layers):
            hidden = self.layer(hidden, attention_mask, f"encoder.layer.{layer}.")
        results = []
        if heads.dense:
            results.append(self.named(DENSE, self.pool(hidden, mask, heads.dense)))
        if heads.token_weights:
            weights = op.squeeze(op.relu(self.affine(hidden, *heads.token_weights)), self.axes(2))
            results.append(self.named("token_weights", weights))
        if heads.token_vectors:
            rest = op.slice(hidden, self.axes(1), self.axes(2**31 - 1), self.axes(1), self.axes(1))
            results.append(self.named("token_vectors", self.affine(rest, *heads.token_vectors)))
        if heads.score:
            first, last = heads.score
            inner = op.tanh(self.affine(self.pool(hidden, mask, "cls"), *first))
            results.append(self.named("score", self.affine(inner, *last)))
        return self.ov.Model(results, [embeddings, mask], "encoder")

    def layer(self, hidden: Any, attention_mask: Any, prefix: str) -> Any:
        op, shape = self.op, self.shape
        size = shape.hidden // shape.heads
        source = self.in_precision(hidden)
        query, key, value = (
            op.transpose(
                op.reshape(
                    self.linear(source, f"{prefix}attention.self.{part}"), self.axes(0, 0, shape.heads, size), True
                ),
                self.axes(0, 2, 1, 3),
            )
            for part in ("query", "key", "value")
        )
        scale = self.constant(1.0 / math.sqrt(size))
        mixed = op.scaled_dot_product_attention(query, key, value, attention_mask, scale)
        mixed = op.reshape(op.transpose(mixed, self.axes(0, 2, 1, 3)), self.axes(0, 0, shape.hidden), True)
        attended = op.add(self.linear(self.in_precision(mixed), f"{prefix}attention.output.dense"), hidden)
        attended = self.norm(attended, f"{prefix}attention.output.LayerNorm")
        inner = op.gelu(self.linear(self.in_precision(attended), f"{prefix}intermediate.dense"), "erf")
        outer = self.linear(self.in_precision(inner), f"{prefix}output.dense")
        return self.norm(op.add(outer, attended), f"{prefix}output.LayerNorm")

    def pool(self, hidden: Any, mask: Any, pooling: str) -> Any:
        op = self.op
        if pooling == "cls":
            return op.gather(hidden, self.index(0), self.index(1))
        if pooling != "mean":
            raise EncoderError(
                f"pooling {pooling!r} is not supported by the CPU runtime; set encoder.runtime: torch"
            )
        # A matrix product, so that bf16 hardware still adds up the tokens in fp32.
        total = op.reduce_sum(mask, self.axes(1), True)
        share = op.unsqueeze(op.divide(mask, op.maximum(total, self.constant(1e-9))), self.axes(1))
        return op.squeeze(op.matmul(share, hidden, False, False), self.axes(1))

    def norm(self, hidden: Any, name: str) -> Any:
        op = self.op
        centred = op.mvn(hidden, self.axes(-1), True, self.shape.layer_norm_eps, "INSIDE_SQRT")
        return op.add(op.multiply(centred, self.weight(f"{name}.weight")), self.weight(f"{name}.bias"))

    def linear(self, hidden: Any, name: str) -> Any:
        """A linear map of what `in_precision` gave."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        if self.layers == "bf16":
            mapped = self.op.add(self.op.matmul(hidden, self.bf16(weight), False, True), self.bf16(bias))
            return self.op.convert(mapped, self.ov.Type.f32)
        matrix = self.int8(weight) if self.layers == "int8" else self.constant(weight)
        return self.op.add(self.op.matmul(hidden, matrix, False, True), self.constant(bias))

    def in_precision(self, hidden: Any) -> Any:
        return self.op.convert(hidden, self.ov.Type.bf16) if self.layers == "bf16" else hidden

    def affine(self, hidden: Any, weight: Array, bias: Array) -> Any:
        return self.op.add(self.op.matmul(hidden, self.constant(weight), False, True), self.constant(bias))

    def bf16(self, weight: Array) -> Any:
        bits = bf16_bits(np.asarray(weight, np.float32))
        tensor = self.ov.Tensor(self.ov.Type.bf16, self.ov.Shape(list(bits.shape)))
        tensor.data[:] = bits.view(tensor.data.dtype)
        return self.op.constant(tensor)

    def int8(self, weight: Array) -> Any:
        matrix = np.asarray(weight, np.float32)
        scales = np.maximum(np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127), np.float32(1e-12))
        values = self.op.constant(np.rint(matrix / scales).astype(np.int8))
        return self.op.multiply(self.op.convert(values, self.ov.Type.f32), self.constant(scales))

    def weight(self, name: str) -> Any:
        return self.constant(self.tensors[name])

    def constant(self, value: Array | float) -> Any:
        return self.op.constant(np.asarray(value, dtype=np.float32))

    def axes(self, *values: int) -> Any:
        return self.op.constant(np.asarray(values, dtype=np.int64))

    def index(self, value: int) -> Any:
        return self.op.constant(np.asarray(value, dtype=np.int64))

    def input(self, name: str, shape: list[int]) -> Any:
        node = self.op.parameter(shape, np.float32, name)
        node.output(0).get_tensor().set_names({name})
        return node

    def named(self, name: str, node: Any) -> Any:
        node.output(0).get_tensor().set_names({name})
        return self.op.result(node, name=name)
