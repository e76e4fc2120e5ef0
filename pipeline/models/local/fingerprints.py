"""Fingerprints of transformer encoders: every field that changes what comes out, and nothing else.

Where it runs is not among them. OpenVINO and torch, bf16 and fp32 give vectors that differ by rounding (cosine ≥
0.9998), and an index built on a machine with bf16 must open on a query host without it. So all floating-point
arithmetic on float weights is one precision class, `float`; quantised weights would be another.
"""

from __future__ import annotations

from pipeline.models.local.transformer import TransformerSpec
from pipeline.records import Fingerprint

PRECISION_CLASS = "float"


def dense_fingerprint(
    model: str, revision: str, pooling: str, spec: TransformerSpec, precision: str = PRECISION_CLASS
) -> Fingerprint:
    """Return the fingerprint of dense vectors (and multi-vectors, which come from the same pass)."""
    return Fingerprint.of(
        kind="transformer",
        model=model,
        revision=revision,
        pooling=pooling,
        normalization="l2",
        max_tokens=spec.max_tokens,
        query_instruction=spec.instructions.query,
        document_instruction=spec.instructions.document,
        truncate_dim=spec.truncate_dim or "none",
        precision=precision,
    )


def lexical_fingerprint(kind: str, model: str, revision: str, spec: TransformerSpec) -> Fingerprint:
    """Return the fingerprint of learned lexical weights, keyed by the model's token ids."""
    return Fingerprint.of(
        kind=kind,
        model=model,
        revision=revision,
        max_tokens=spec.max_tokens,
        query_instruction=spec.instructions.query,
        document_instruction=spec.instructions.document,
        precision=PRECISION_CLASS,
    )
