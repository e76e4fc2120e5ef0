"""The side of a shard: its share of the live generation and of the one before, and answers in bytes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from pipeline.errors import IndexStoreError, PipelineError, QueryError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.query.access import ALL_GROUPS, AllGroups, Groups
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.query.shards.panel import FAILED, GONE, QUERY, error_answer, groups_of
from pipeline.query.shards.part import Part
from pipeline.query.shards.partition import Share

log = logging.getLogger(__name__)

KEPT = 2
"""So many generations are open: a front that has not moved on yet is answered."""


class ServedShare:
    """A share of an index that moves on with it. For any number of threads."""

    def __init__(self, path: Path, share: Share, verify: bool = True) -> None:
        """Open the live generation. Raises `IndexNotFoundError`, `CorruptIndexError`, `IncompatibleIndexError`."""
        self.path, self.share = path, share
        self._verify = verify
        self._parts: list[Part] = [manifests.with_live(path, self._opened)]
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._refused = 0

    def _opened(self, manifest: Manifest) -> Part:
        return Part(self.path, manifest, self.share, self._verify)

    @property
    def manifest(self) -> Manifest:
        """The newest generation that it answers for."""
        return self._parts[-1].manifest

    def look(self) -> bool:
        """Open the live generation if it is a newer one; whether it did. Raises nothing."""
        with self._looking:
            try:
                newest = manifests.live_number(self.path)
                if newest <= self.manifest.generation:
                    return False
                fresh = manifests.with_live(self.path, self._opened)
            except (PipelineError, OSError) as error:
                if newest != self._refused:
                    log.error("%s: goes on at generation %d: %s", self.path, self.manifest.generation, error)
                self._refused = newest
                return False
            with self._lock:
                self._parts.append(fresh)
                gone, self._parts = self._parts[:-KEPT], self._parts[-KEPT:]
            for part in gone:
                part.close()
            log.info("%s: shard %s is at generation %d", self.path, self.share, fresh.manifest.generation)
            return True

    def close(self) -> None:
        """Answer no more; what was begun ends well."""
        for part in self._parts:
            part.close()

    def answer(self, data: bytes, caller: Groups = ALL_GROUPS) -> bytes:
        """The answer to a front, or why there is none. `caller`: the groups of whose key it came with."""
        return self.outcome(data, caller)[1]

    def outcome(self, data: bytes, caller: Groups = ALL_GROUPS) -> tuple[str | None, bytes]:
        """The same, after which kind of refusal it is, `None` for an answer."""
        try:
            question = Message.of_bytes(data)
            answer = self._answer(question, groups_of(question.fields.get("groups")), caller)
            return answer.fields.get("error"), answer.to_bytes()
        except _GoneError as error:
            return GONE, error_answer(GONE, str(error))
        except QueryError as error:
            return QUERY, error_answer(QUERY, str(error))
        except NoMessageError as error:
            return FAILED, error_answer(FAILED, f"the question {error}")
        except IndexStoreError as error:
            log.error("%s", error)
            return FAILED, error_answer(FAILED, "could not read its index; its log says why")
        except Exception as error:
            log.error("a question failed", exc_info=error)
            return FAILED, error_answer(FAILED, "something went wrong; its log says what")

    def _answer(self, question: Message, groups: Groups, caller: Groups) -> Message:
        if self.manifest.access_field is not None and not isinstance(caller, AllGroups):
            words = f"shows documents by their {self.manifest.access_field}: a front needs a key with `groups: all`"
            return Message({"error": FAILED, "words": f"{words}, or a shard without keys --all-groups"})
        if question.text("share") != str(self.share):
            return Message({"error": FAILED, "words": f"is shard {self.share}, and was asked as another"})
        if question.text("ask") == "state":
            return Message({"generations": {str(part.manifest.generation): part.identity for part in self._parts}})
        part = self._part(question.whole("generation"), question.fields.get("identity"))
        if question.text("ask") == "manifest":
            return Message({"manifest": manifests.to_bytes(part.manifest).decode()})
        return part.answer(question, groups)

    def _part(self, generation: int, identity: object) -> Part:
        for part in self._parts:
            if part.manifest.generation == generation and identity in (None, part.identity):
                return part
        has = ", ".join(str(part.manifest.generation) for part in self._parts)
        raise _GoneError(
            f"shard {self.share} does not have generation {generation} as the front knows it; it has {has}"
        )


class _GoneError(Exception):
    """The generation is not here."""
