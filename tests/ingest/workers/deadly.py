"""A worker whose chunker does what a document says: it ends the process, hangs, logs or raises."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import EncoderError
from pipeline.ingest.workers.worker import serve
from pipeline.records import Chunk, Document
from tests.faults.stub import OneChunk


class Deadly(OneChunk):
    """Cuts a document into one chunk, unless it says otherwise."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._folder = Path(facts["folder"])

    def chunk(self, document: Document) -> Iterator[Chunk]:
        for word in document.text.split():
            if word == "exits":
                os._exit(3)
            elif word == "crashes":
                ctypes.string_at(0)
            elif word == "starves":
                os.kill(os.getpid(), signal.SIGKILL)
            elif word == "starves-once" and not (self._folder / "starved").exists():
                (self._folder / "starved").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            elif word == "loops":
                while True:
                    pass
            elif word == "fails":
                raise EncoderError("no tokenizer")
            elif word == "breaks":
                raise ZeroDivisionError("of a cut")
            elif word == "logs":
                logging.getLogger("pipeline.ingest.test").warning("of %s", document.doc_id)
            elif word == "prints":
                sys.stdout.write("noise on standard output\n")
        return super().chunk(document)


def make(facts: dict[str, Any]) -> Deadly:
    """Raises what the facts say."""
    if "fails" in facts:
        raise EncoderError("no tokenizer at all")
    if "exits" in facts:
        sys.exit(5)
    return Deadly(facts)


if __name__ == "__main__":
    serve(make)
