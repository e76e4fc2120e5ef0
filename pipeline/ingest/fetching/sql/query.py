"""The rows of a database query as a source, spooled as JSON lines.

With `updated_field` only rows whose value there is another than last time are asked for; the others are taken over
from the last spool, if it is as it was left, and of the same database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO

from pipeline.errors import SourceError
from pipeline.index import files
from pipeline.ingest.fetching.contract import RECORDS, Fetching
from pipeline.ingest.fetching.redaction import redacted, secrets_in_environment, secrets_in_url
from pipeline.ingest.fetching.sql.databases import Database, Row, connected
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import Columns
from pipeline.ingest.sources import FetchedFile

log = logging.getLogger(__name__)

_STATE = "state.json"
_IDS = 500
"""How many rows are asked for by their ids at once."""
_WHOLE_SHARE = 0.5
"""From where on all rows are asked for: one query reads a table faster than many do."""

Telling = Callable[[str], SourceError]


def fetch_query(fetching: Fetching) -> Iterator[FetchedFile]:
    """Ask the database, and spool the rows."""
    source, mirror = fetching.source, fetching.mirror
    assert source.dsn_env is not None
    url = os.environ.get(source.dsn_env, "")
    if not url:
        raise SourceError(
            f"{source.label}: the environment variable {source.dsn_env} is not set; set it to the database's URL, "
            "such as postgresql://user:password@host/database or sqlite:///file.db"
        )
    secrets = [url, *secrets_in_url(url), *secrets_in_environment()]

    def telling(what: str) -> SourceError:
        cure = "nothing of it was taken. Correct `sql` or the database's URL, and see that it can be reached"
        return SourceError(f"{source.label}: {redacted(what, secrets)}; {cure}")

    with connected(url, fetching.base, telling) as database:
        query = _Query.of(fetching, database, telling)
        known = None if query.updated is None or not _is_as_left(fetching, url) else query.listed()
        with mirror.stream(RECORDS) as stream:
            query.spool(stream, known)
    if query.updated is not None:
        mirror.write(_STATE, _state(fetching, url))
    yield fetching.records(RECORDS)


def _state(fetching: Fetching, url: str) -> bytes:
    """Which database the spool is of, and what it holds."""
    place = re.sub(r"://[^/@]*@", "://", url).encode()
    origin = hashlib.blake2b(place, digest_size=16).hexdigest()
    return json.dumps({"origin": origin, "spool": files.checksum(fetching.mirror.path(RECORDS))}).encode()


def _is_as_left(fetching: Fetching, url: str) -> bool:
    try:
        return fetching.mirror.path(_STATE).read_bytes() == _state(fetching, url)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Query:
    """A query, and what its columns are for. `identity` is not `None` where `updated` is not."""

    text: str
    identity: str | None
    updated: str | None
    fetching: Fetching
    database: Database

    @classmethod
    def of(cls, fetching: Fetching, database: Database, telling: Telling) -> _Query:
        """Raises `SourceError` if the columns are not those that are needed."""
        source = fetching.source
        text = (source.sql or "").strip().rstrip(";")
        names = database.columns(text)
        if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
            raise telling(f"the query gives two columns `{twice}`; name one of them otherwise (AS)")
        try:
            identity = Columns.choose(names, source).identity
        except UnreadableError as error:
            raise telling(f"the query has {error}") from None
        if source.updated_field is not None and source.updated_field not in names:
            raise telling(f"the query has no column `{source.updated_field}`, which `updated_field` names")
        if source.updated_field is not None and identity is None:
            raise telling("`updated_field` needs a column with the id; name it with `id_field`")
        return cls(text, identity, source.updated_field, fetching, database)

    def listed(self) -> dict[str, str] | None:
        """The value of `updated` by id, both as JSON; `None` if rows cannot be told apart by their ids."""
        assert self.identity is not None
        assert self.updated is not None
        found: dict[str, str] = {}
        names = f"{_name(self.identity)}, {_name(self.updated)}"
        for row in self.database.rows(f"SELECT {names} FROM ({self.text}\n) AS wanted"):
            identity = _plain(row[self.identity])
            if isinstance(identity, bool) or not isinstance(identity, str | int):
                return None
            key = json.dumps(identity)
            if key in found:
                return None
            found[key] = json.dumps(_plain(row[self.updated]))
        return found

    def spool(self, stream: BinaryIO, known: dict[str, str] | None) -> None:
        """Write all rows: of those that are `known`, only what has changed is asked for."""
        kept = 0
        if known is not None:
            changed = dict(known)
            for line in self._taken_over(changed):
                stream.write(line)
                kept += 1
            if len(changed) <= _WHOLE_SHARE * len(known):
                asked = self._write(stream, self._with_ids(list(changed)))
                log.info("%s: %d rows fetched, %d taken over", self.fetching.source.label, asked, kept)
                return
            stream.seek(0)
            stream.truncate()
        asked = self._write(stream, self.database.rows(self.text))
        log.info("%s: %d rows fetched", self.fetching.source.label, asked)

    def _taken_over(self, changed: dict[str, str]) -> Iterator[bytes]:
        """The lines of the last spool that are as the database has them, which leave `changed`."""
        with self.fetching.mirror.path(RECORDS).open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                key, updated = json.dumps(record[self.identity]), record[self.updated]
                if updated is not None and changed.get(key) == json.dumps(updated):
                    del changed[key]
                    yield line

    def _with_ids(self, keys: Sequence[str]) -> Iterator[Row]:
        for start in range(0, len(keys), _IDS):
            wanted = ", ".join(_literal(json.loads(key)) for key in keys[start : start + _IDS])
            condition = f"{_name(str(self.identity))} IN ({wanted})"
            yield from self.database.rows(f"SELECT * FROM ({self.text}\n) AS wanted WHERE {condition}")

    def _write(self, stream: BinaryIO, rows: Iterator[Row]) -> int:
        count, without = 0, set[str]()
        for row in rows:
            binary = [name for name, value in row.items() if isinstance(value, bytes | bytearray | memoryview)]
            without.update(binary)
            record = {name: _plain(value) for name, value in row.items() if name not in binary}
            stream.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            self.fetching.update(1)
            count += 1
        if without:
            names = ", ".join(sorted(without))
            log.warning("%s: binary columns left out: %s", self.fetching.source.label, names)
        return count


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _plain(value: Any) -> Any:
    """A value of a row as JSON has it: dates as ISO text, numbers of any precision as numbers, else as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return str(value)
