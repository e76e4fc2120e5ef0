"""A repository of git for a test: its own configuration, fixed dates."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

FIRST_SECOND = 1_700_000_000
HOUR = 3600


class Repository:
    """Writes files and commits them, an hour between one commit and the next."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.commits = folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "-b", "main", *options)

    def git(self, *arguments: str, author: str = "Ada", data: bytes | None = None) -> str:
        """What a command of git writes."""
        date = f"{FIRST_SECOND + self.commits * HOUR} +0900"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
            **{"GIT_AUTHOR_NAME": author, "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": date},
            **{"GIT_COMMITTER_NAME": "Ci", "GIT_COMMITTER_EMAIL": "c@example.org", "GIT_COMMITTER_DATE": date},
        }
        command = ["git", "-C", os.fspath(self.folder), *arguments]
        return (
            subprocess.run(command, input=data, env=environment, check=True, capture_output=True)
            .stdout.decode()
            .strip()
        )

    def write(self, name: str, content: str | bytes) -> None:
        """A file of the working folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, author: str = "Ada", **files: str) -> str:
        """Commit all there is, with these texts as `NAME.md` first; returns the commit's id."""
        for name, text in files.items():
            self.write(f"{name}.md", text)
        self.commits += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", f"commit {self.commits}", author=author)
        return self.git("rev-parse", "HEAD")
