"""Cross-encoders: models that read query and passage together and give one score."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import RerankSettings
from pipeline.config.search import RERANK, RERANKER_WORDS
from pipeline.errors import EncoderError
from pipeline.models.contract import Reranker


def load_reranker(settings: RerankSettings, base: Path = Path()) -> Reranker:
    """The configured cross-encoder. `base` is where a relative folder starts; the first use loads the model.

    Raises `EncoderError` for a model that cannot be had or is no cross-encoder, `ConfigError` for an endpoint's
    settings that make no sense.
    """
    if settings.endpoint is not None:
        from pipeline.models.endpoint.reranker import endpoint_reranker

        return endpoint_reranker(settings, settings.endpoint)
    from pipeline.models.files.locate import locate

    model = locate(settings.model, settings.revision, base, key=f"{RERANK}.model", words=RERANKER_WORDS)
    config = model.json("config.json")
    architectures = [str(name) for name in config.get("architectures") or []]
    if not (model.folder / "modules.json").exists() and not any(
        name.endswith("ForSequenceClassification") for name in architectures
    ):
        raise EncoderError(
            f"{RERANK}.model={settings.model!r}: {model.folder} is no cross-encoder: its config.json names "
            f"{', '.join(architectures) or 'no architecture'}; use one such as BAAI/bge-reranker-v2-m3"
        )
    if (labels := len(config.get("id2label") or [0])) != 1:
        raise EncoderError(
            f"{RERANK}.model={settings.model!r}: {model.folder} gives {labels} scores a pair, not one; "
            "use a model that was trained for ranking"
        )
    from pipeline.models.local.cross_encoder import local_reranker

    return local_reranker(settings, model)
