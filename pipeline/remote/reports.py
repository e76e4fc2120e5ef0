"""What builds told of published generations: uploaded after the publish, found by any machine."""

from __future__ import annotations

import logging

from pipeline.errors import IndexNotFoundError, ObjectStoreError
from pipeline.index import files
from pipeline.remote.layout import report_keys
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import newest

log = logging.getLogger(__name__)

LIMIT_BYTES = 16 << 20
"""A larger list of rejected documents stays where the build ran."""


def push(remote: RemoteIndex, number: int) -> None:
    """Upload the report of a generation that is published, and its list of rejected documents.

    What cannot be uploaded is only warned of: the generation is live.
    """
    for key in report_keys(number):
        path = remote.folder / key
        try:
            if path.stat().st_size > LIMIT_BYTES:
                log.warning("%s: larger than %d bytes, so it is not uploaded", path, LIMIT_BYTES)
                continue
            remote.objects.write(key, path.read_bytes())
        except FileNotFoundError:
            continue  # nothing was rejected
        except (OSError, ObjectStoreError) as error:
            log.warning("what the build tells is only here, not in the store: %s", error)
            return


def fetch(remote: RemoteIndex, number: int | None = None) -> None:
    """Bring the report of a generation, or of the live one, and its rejected documents, unless they are here.

    Where the store does not answer, what is here is as good; a warning says so. Raises `ObjectStoreError` where it
    refuses.
    """
    try:
        wanted = newest(remote) if number is None else number
        report, rejects = report_keys(wanted)
        if (remote.folder / report).exists():
            return
        for key in (rejects, report):  # the report comes last: if it is here, all is
            if (data := remote.objects.read(key)) is not None:
                files.write_file(remote.folder / key, data)
    except IndexNotFoundError:
        return
    except ObjectStoreError as error:
        if not error.unreachable:
            raise
        log.warning("%s; going on with the reports that are here", error)
