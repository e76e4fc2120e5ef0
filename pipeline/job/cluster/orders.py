"""What a build tells its workers, and what one does with it: check that it fits, load the encoder once, encode.

Orders and answers are JSON, so no object of a worker is ever loaded by a build.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.config import Config, RemoteSettings
from pipeline.encode.shard_plan import PlannedShard, Terms
from pipeline.errors import IncompatibleIndexError, PipelineError
from pipeline.job.cluster.places import InFolder, InStore, ShardPlace
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.contract import Encoder
from pipeline.remote.place import RemoteIndex

_SECTIONS = ("encoder", "segments", "chunking", "encode", "cluster")


def written(config: Config, terms: Terms, plan: str = "") -> str:
    """The orders for workers that encode on these terms. Secrets are no part of a configuration, nor of this.

    `plan`: its name, where the index is in an object store; workers find the rest there.
    """
    sections = {name: getattr(config, name).model_dump(mode="json") for name in _SECTIONS}
    return json.dumps(
        {
            "index": config.index_url if plan else str(config.index_path.absolute()),
            "plan": plan,
            "remote": config.remote.model_dump(mode="json"),
            "base": str(config.base.absolute()),
            "config": {**sections, "encode": {**sections["encode"], "devices": []}},
            "terms": terms.parts,
        }
    )


class ShardEncoder:
    """A worker's side. It does not raise: what is wrong is its answer."""

    def __init__(self, orders: str) -> None:
        self._problem: dict[str, Any] | None = None
        try:
            self._read(json.loads(orders))
        except PipelineError as error:
            self._problem = {"error": str(error), "refuses": isinstance(error, IncompatibleIndexError)}
        except (
            Exception
        ) as error:  # of a library or a module of `imports`: a worker that raised would only be replaced
            reason = next(iter(str(error).splitlines()), "")
            self._problem = {"error": f"{type(error).__name__}: {reason}", "refuses": False}

    def _read(self, orders: dict[str, Any]) -> None:
        self._terms = Terms(orders["terms"])
        self._terms.check_version("this worker")  # before settings are read that another version may not know
        self._config = Config.model_validate({**orders["config"], "base": Path(orders["base"])})
        self._place = _place(orders, self._config.base)
        for module in self._config.cluster.imports:
            importlib.import_module(module)
        self._encoder: Encoder = load_encoder(
            self._config.encoder, base=self._config.base, batch_tokens=self._config.encode.batch_tokens
        )
        self._terms.check(Terms.of(self._config, self._encoder), "this worker")
        self._place.check()

    def problem(self) -> str:
        """Why it will not encode: JSON with `error` and `refuses`; or `null`."""
        return json.dumps(self._problem)

    def encode(self, shard: str) -> str:
        """Encode a planned shard (JSON); the answer is JSON with its `checksum` or an `error`."""
        planned = TypeAdapter(PlannedShard).validate_json(shard)
        try:
            self._place.encode(self._terms, planned, self._encoder, self._config.segments)
            checksum = self._place.checksum(planned)
        except (PipelineError, OSError, MemoryError) as error:
            return json.dumps({"error": str(error) or type(error).__name__})
        return json.dumps({"checksum": checksum})


def _place(orders: dict[str, Any], base: Path) -> ShardPlace:
    """Where a worker finds its texts, and leaves its shards."""
    if not orders["plan"]:
        return InFolder(Path(orders["index"]))
    settings = RemoteSettings.model_validate(orders["remote"])
    return InStore(RemoteIndex.at(orders["index"], settings, base), orders["plan"])


def as_text(shard: PlannedShard) -> str:
    """A planned shard as `ShardEncoder.encode` takes it."""
    return json.dumps(dataclasses.asdict(shard))
