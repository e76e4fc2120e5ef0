"""One hybrid ranking: the five sentences as documents of an index in a temporary folder, searched with the query.

    python examples/hybrid.py [--model NAME]

With the embedded default it downloads nothing, and BM25 is the lexical leg. With `--model BAAI/bge-m3` (2.3 GB,
downloaded once) dense vectors and lexical weights are both the model's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tutorial import QUERY, TEXTS, arguments

import pipeline


def main(argv: Sequence[str] | None = None) -> list[pipeline.Hit]:
    """Build, search, print; see the module's text."""
    options = arguments(__doc__, "embedded").parse_args(argv)
    model = options.model if not Path(options.model).is_dir() else str(Path(options.model).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({"id": str(i), "text": text}, ensure_ascii=False) for i, text in enumerate(TEXTS)]
        (folder / "texts.jsonl").write_text("\n".join(lines), "utf-8")
        raw = {"sources": [{"path": "texts.jsonl"}], "encoder": {"model": model, "device": options.device}}
        config = pipeline.parse_config(raw, base=folder)
        pipeline.build(config)
        with pipeline.open_index(config.index_path) as index:
            hits = index.search(QUERY, k=len(TEXTS))
    print(f"[query] {QUERY}")
    for hit in hits:
        legs = ", ".join(f"{leg} {score.score:.4f} (#{score.rank})" for leg, score in hit.legs.items())
        print(f"[{hit.rank}] {hit.score:.4f}  {hit.text.strip()}\n      {legs}")
    return hits


if __name__ == "__main__":
    main()
