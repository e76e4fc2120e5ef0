"""The starter configuration that `pipeline init` writes."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import DEFAULT_NAME
from pipeline.errors import ConfigError

_STARTER = """\
# Configuration of hybrid-pipeline. Paths are relative to this file. docs/configuration.md describes every key.

index: indexes/documents

sources:
  - path: documents          # a folder or a file: .txt .md .jsonl .csv .tsv .parquet; more with the extra `docs`
    # include: ["**/*.md"]
    # exclude: ["drafts/**"]

chunking:
  max_tokens: 254            # tokens of the encoder's tokenizer; the default model reads up to 508
  overlap_tokens: 32
  context: title+headings    # encoded with every chunk; none: its text alone

encoder:
  model: embedded            # multilingual-e5-small and BM25, any language. Linux with x86-64 needs no download;
                             # elsewhere HYBRID_PIPELINE_E5 names a file (docs/encoders.md), or choose
                             # embedded-english (all-MiniLM-L6-v2, English, twice as fast)

query:
  k: 10
  mode: hybrid               # hybrid, dense or lexical

retain: 3                    # generations kept for rolling back
"""


def write_starter(folder: Path) -> Path:
    """Write a starter configuration and an empty documents folder. Raises `ConfigError` if there is one already."""
    path = folder / DEFAULT_NAME
    try:
        (folder / "documents").mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_STARTER)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; edit it, or choose another folder") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None
    return path
