"""A collection whose documents are for some groups each, and an index of it in several segments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import Config
from tests.faults import stub
from tests.support.collection import config_for

WORDS = ["plums", "apples", "pears", "사과", "number", "document", "harvest"]


def records() -> list[dict[str, Any]]:
    """Documents of some groups each, of none, and of one group that is no list."""
    found = []
    for number in range(60):
        words = " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 6))
        record: dict[str, Any] = {
            "_id": f"d{number}",
            "text": f"{words} {number}. " * (1 + number % 4 * 12),
            "year": 2000 + number % 7,
        }
        match number % 5:
            case 0:
                record["groups"] = ["staff", "all"]
            case 1:
                record["groups"] = ["board"]
                record |= {"secret_key": f"secret {number}", "year": "never", "text": f"secret {record['text']}"}
            case 2:
                record["groups"] = ["all"]
            case 3:
                record["groups"] = ["hr", "board"]
        found.append(record)
    return found


def built(base: Path, documents: list[dict[str, Any]], **settings: Any) -> Config:
    """An index of these documents, in several segments."""
    (base / "documents").mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one) + "\n" for one in documents)
    (base / "documents" / "records.jsonl").write_text(lines, "utf-8")
    config = config_for(base, segments={"max_chunks": 25, "auto_compact": False}, **settings)
    stub.build(config)
    return config
