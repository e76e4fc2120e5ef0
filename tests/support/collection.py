"""A small collection and its index, for tests that need a whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Config, parse_config

TEXTS = {
    "en/rollback.md": "# Rolling back\n\nWhen a build went wrong, publish the generation before it again.",
    "en/chunking.md": "# Chunking\n\nLong documents are cut into chunks of some hundred tokens with an overlap.",
    "en/fusion.md": "# Fusion\n\nReciprocal rank fusion adds one over sixty plus the rank of every leg.",
    "en/bm25.md": "# BM25\n\nTerm frequency saturates, and rare words weigh more than frequent words.",
    "ko/tokens.md": "# 토큰\n\n한국어 문장은 두 글자씩 겹쳐 자른 바이그램으로 색인합니다.",
    "ko/rollback.md": "# 되돌리기\n\n잘못된 빌드를 발견하면 이전 세대를 다시 발행합니다.",
}


def write_documents(folder: Path, texts: dict[str, str] | None = None) -> Path:
    """Write documents below `folder` and return it."""
    for name, text in (TEXTS if texts is None else texts).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def config_for(folder: Path, **changes: Any) -> Config:
    """A configuration of `folder/documents` → `folder/index`."""
    return parse_config({"index": "index", "sources": [{"path": "documents"}], **changes}, base=folder)
