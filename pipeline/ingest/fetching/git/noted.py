"""The history of a repository's files, as it is noted in the mirror from one night to the next."""

from __future__ import annotations

import json
from typing import Any

from pipeline.ingest.fetching.git.history import Change, Explained, History
from pipeline.ingest.fetching.kept import sealed, unsealed
from pipeline.ingest.fetching.mirror import Mirror

HISTORY = "history.json"
_FORMAT = 1


def load_history(mirror: Mirror) -> History | None:
    """What was noted last; `None` if there is nothing that can be believed."""
    payload = unsealed(mirror.path(HISTORY), _FORMAT, "the history is walked from its beginning")
    if payload is None:
        return None
    noted: dict[str, Any] = json.loads(payload)
    changes = [Change(*one) for one in noted["changes"]]
    files = {
        name: Explained(blob, None if number is None else changes[number])
        for name, (blob, number) in noted["files"].items()
    }
    return History(noted["commit"], noted["view"], noted["newest"], files)


def save_history(mirror: Mirror, history: History) -> None:
    """Note it. About a hundred bytes a file; a commit is written once."""
    changes = sorted({one.commit: one for one in history.changes.values()}.items())
    numbers = {commit: number for number, (commit, _) in enumerate(changes)}
    noted = {
        "commit": history.commit,
        "view": history.view,
        "newest": history.newest,
        "changes": [[one.commit, one.author, one.committed] for _, one in changes],
        "files": {
            name: [one.blob, None if one.change is None else numbers[one.change.commit]]
            for name, one in history.files.items()
        },
    }
    payload = json.dumps(noted, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode("ascii")
    mirror.write(HISTORY, sealed(payload, _FORMAT))
