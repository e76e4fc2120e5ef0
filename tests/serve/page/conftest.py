"""A collection whose documents do what they can to break a page, and what a page says without its markup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from tests.faults import stub
from tests.support.collection import config_for
from tests.support.live import Live, serving

SCRIPT = "<script>alert(1)</script>"
HOSTILE: list[dict[str, Any]] = [
    {
        "_id": f"evil/{SCRIPT}",
        "title": f"{SCRIPT} apples \u202etxt.exe",
        "text": f"apples {SCRIPT} <img src=x onerror=alert(2)> ]]> --> </textarea> &amp; \x00 end",
        "url": "javascript:alert(3)",
        "lang": '"><b>',
        "date": "2024-02-30",
        "tags": ["<i>", "a'b", 'c"d', "100%", "a&b=c"],
        'odd"name': "x",
        "<u>": "y",
        "note": "'; drop table chunks; --",
    },
    {
        "_id": "good",
        "title": "Apples in spring",
        "text": "apples and pears grow in spring",
        "url": "https://www.example.org/apples?a=1&b=2",
        "lang": "en",
        "date": "2024-03-05",
        "year": 2024,
        "ripe": True,
        "tags": ["fruit", "a'b"],
        'odd"name': "x",
        "note": "plain",
    },
    {
        "_id": "한국어 문서?&#",
        "title": "봄 사과",
        "text": "사과는 봄에 자랍니다. apples",
        "url": "//elsewhere.example/x",
        "lang": "ko",
        "date": "2024-03-05T10:00:00",
        "year": 2024,
        "ripe": False,
        "tags": ["fruit"],
        "note": "plain",
    },
    {
        "_id": "long",
        "title": "w" * 400,
        "text": "apples " + "l" * 3000,
        "lang": "en",
        "year": 2023,
        "ripe": True,
        "tags": ["<i>"],
        "note": "other",
    },
    {"_id": "plain", "text": "apples without metadata"},
    {
        "_id": "rtl",
        "title": "\u202b\u05e9\u05dc\u05d5\u05dd apples",
        "text": "apples \u202e gnp.exe",
        "lang": "he",
        "note": "other",
    },
]
GUIDE = f"""---
title: A guide to apples
lang: en
---

Apples, `code`, **bold** and {SCRIPT} <b onclick="x">text</b>.

#### Too deep a heading

| | right |
|---|---:|
| [run](javascript:alert(1)) | ![picture](http://elsewhere.example/p.png) |

## Another

1. [elsewhere](https://www.example.org/guide)
2. [beside](../beside.md)

```js" onload="x
{SCRIPT} and a long line {"of code " * 40}
```

<iframe src="https://elsewhere.example"></iframe>
"""


def hostile_config(base: Path) -> Config:
    """That collection, with its index."""
    folder = base / "documents"
    folder.mkdir()
    lines = [json.dumps(record, ensure_ascii=False) for record in HOSTILE]
    (folder / "hostile.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "guide.md").write_text(GUIDE)
    config = config_for(base)
    stub.build(config, encoder=stub.encoder())
    return config


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The collection, built once."""
    return hostile_config(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def evil(hostile: Config) -> Iterator[Live]:
    """A service over it."""
    with (
        stub.open_index(hostile.index_path, settings=hostile.query) as index,
        serving({"evil": index}) as running,
    ):
        yield running
