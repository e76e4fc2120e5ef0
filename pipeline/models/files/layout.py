"""What a model's files say it is, before a library guesses: what it guesses wrong comes with random weights."""

from __future__ import annotations

from pipeline.errors import EncoderError
from pipeline.models.files.locate import LocalModel

BGE_M3_HEADS = ("sparse_linear", "colbert_linear")
_GRAPH_TYPES = {"bert", "roberta", "xlm-roberta"}
_GRAPH_MODULES = {"Transformer", "Pooling", "Normalize"}
_SPARSE_MODULES = {"MLMTransformer", "SpladePooling", "SparseAutoEncoder", "SparseStaticEmbedding"}
_COUNTS_FROM_PADDING = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec-text",
}


def missing_heads(model: LocalModel) -> list[str]:
    """The files of BGE-M3's heads that the folder lacks."""
    return [
        f"{head}.pt"
        for head in BGE_M3_HEADS
        if not any((model.folder / f"{head}.{suffix}").exists() for suffix in ("pt", "safetensors"))
    ]


def is_bge_m3(model: LocalModel) -> bool:
    """Whether the folder has BGE-M3's two heads."""
    return not missing_heads(model)


def refuse_half_bge_m3(model: LocalModel, key: str, otherwise: str = "") -> None:
    """Raise `EncoderError` for a BGE-M3 that lost a head; `otherwise`: another cure than to fetch it again."""
    missing = missing_heads(model)
    if len(missing) == 1:
        raise EncoderError(
            f"{key}: {model.folder} is a BGE-M3 that lacks {missing[0]}; fetch the model again{otherwise}"
        )


def refuse_sparse(model: LocalModel, key: str, *, is_told: bool) -> None:
    """Raise `EncoderError` for a sparse encoder where a dense one is wanted.

    A masked language model without modules.json is either; `is_told`: the settings say that it is dense.
    """
    if _saved_type(model) == "SparseEncoder" or module_names(model) & _SPARSE_MODULES:
        raise EncoderError(
            f"{key}: {model.folder} is a sparse encoder, as its modules.json says, and gives no dense vectors; "
            "name it in encoder.lexical, and a dense model here"
        )
    if _is_bare_language_model(model) and not is_told:
        raise EncoderError(
            f"{key}: {model.folder} has no modules.json, and its config.json names a masked language model: it may "
            "be a SPLADE; name it in encoder.lexical, or set encoder.kind: sentence-transformers to use it as dense"
        )


def refuse_dense(model: LocalModel, key: str) -> None:
    """Raise `EncoderError` for what is no sparse encoder: sentence-transformers puts a random head on it."""
    names = module_names(model)
    if (names and _saved_type(model) == "SparseEncoder") or _is_bare_language_model(model):
        return
    has = (
        f"modules.json names {', '.join(sorted(names))}" if names else "config.json names no masked language model"
    )
    raise EncoderError(
        f"{key}: {model.folder} is neither a sparse encoder nor a BGE-M3: its {has}; name a SPLADE or a BGE-M3 "
        "here, or set encoder.lexical: bm25"
    )


def module_names(model: LocalModel) -> set[str]:
    """Class names of the modules that modules.json lists; empty if there is no such file."""
    return {str(module.get("type", "")).rpartition(".")[2] for module in model.json("modules.json").get("list", [])}


def max_positions(model: LocalModel) -> int | None:
    """Tokens that the model has positions for; `None` where config.json does not tell."""
    config = model.json("config.json")
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return None
    if config.get("model_type") not in _COUNTS_FROM_PADDING:
        return positions
    padding = config.get("pad_token_id")
    return positions - (1 if padding is None else int(padding)) - 1


def graph_pooling(model: LocalModel) -> str | None:
    """The pooling of a sentence-transformers model that is a BERT-family transformer, pooling, and nothing else.

    `None` for every other: those run through the library.
    """
    config = model.json("config.json")
    modules = model.json("modules.json").get("list", [])
    if config.get("model_type") not in _GRAPH_TYPES or config.get("hidden_act") != "gelu":
        return None
    if module_names(model) - _GRAPH_MODULES or model.json("sentence_bert_config.json").get("do_lower_case"):
        return None
    where = next((m.get("path", "") for m in modules if str(m.get("type", "")).endswith("Pooling")), "1_Pooling")
    pooling = model.json(f"{where}/config.json")
    if not pooling.get("include_prompt", True):
        return None
    legacy = {
        name.removeprefix("pooling_mode_")
        for name, on in pooling.items()
        if name.startswith("pooling_mode_") and on
    }
    mode = pooling.get("pooling_mode") or {"cls_token": "cls", "mean_tokens": "mean"}.get(" ".join(legacy))
    if not pooling and not modules:
        mode = "mean"
    return mode if mode in ("cls", "mean") else None


def _saved_type(model: LocalModel) -> str:
    return str(model.json("config_sentence_transformers.json").get("model_type") or "")


def _is_bare_language_model(model: LocalModel) -> bool:
    architectures = model.json("config.json").get("architectures") or []
    return not module_names(model) and any(str(name).endswith("ForMaskedLM") for name in architectures)
