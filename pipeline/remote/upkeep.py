"""What looks after an index in an object store: rollback, verify and repair."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

from pipeline.errors import CorruptIndexError, IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.choices import AUTO, DenseChoice
from pipeline.index.manifest import Manifest
from pipeline.index.upkeep import repair as local_repair
from pipeline.index.upkeep.repair import RepairReport
from pipeline.index.upkeep.verify import Problem, VerifyReport
from pipeline.index.upkeep.verify import verify as verify_folder
from pipeline.progress import ProgressFactory, silent
from pipeline.remote.download import PART_BYTES
from pipeline.remote.layout import SEGMENTS, generation_key, segment_keys
from pipeline.remote.objects import Objects
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import newest, pull
from pipeline.remote.push import check_writable, restore
from pipeline.remote.writing import publisher

LACKS, DIFFERS = "is missing in the store", "holds something else than it should"


@contextmanager
def manifests_of(remote: RemoteIndex) -> Iterator[Path]:
    """A folder with the manifests of the store and nothing else, for as long as this lasts."""
    with tempfile.TemporaryDirectory(prefix="pipeline-manifests-") as name:
        folder = Path(name)
        for number in remote.generations():
            data = remote.objects.read(generation_key(number))
            if data is not None:  # else it was collected meanwhile
                manifests.manifest_path(folder, number).write_bytes(data)
        yield folder


def rollback(remote: RemoteIndex, target: int | None = None, progress: ProgressFactory = silent) -> Manifest:
    """Publish an earlier generation again, as `store.rollback` does; the live one need not be whole.

    Raises what that raises, `OvertakenError` and `ObjectStoreError`.
    """
    check_writable(remote)
    live = newest(remote)
    if target is None:
        earlier = [number for number in remote.generations() if number < live]
        if not earlier:
            raise IndexNotFoundError(
                f"{remote.url}: no generation is left before the live one ({live}); `pipeline build` makes a new "
                "one, a higher `retain` keeps more"
            )
        target = earlier[-1]
    pull(remote, target, progress=progress)
    follows = remote.manifest(live)
    if follows is None:
        raise remote.missing(live)
    return store.rollback(remote.folder, target, publish=publisher(remote, progress), follows=follows)


def verify(
    remote: RemoteIndex, generation: int | None = None, deep: bool = False, progress: ProgressFactory = silent
) -> VerifyReport:
    """Check that the store has every object of a generation, and that the generation is sound here.

    What is damaged here and sound in the store is fetched again. `deep`: every object is read and compared with its
    checksum, and contents are compared with each other. Raises `IndexNotFoundError`, `ObjectStoreError`.
    """
    number = newest(remote) if generation is None else generation
    try:
        manifest = remote.manifest(number)
    except CorruptIndexError as error:
        problem = Problem(generation_key(number), str(error).removeprefix(f"{remote.url}: "))
        return VerifyReport(remote.url, number, deep, 1, 0, 0, (problem,))
    if manifest is None:
        raise remote.missing(number)
    wanted = {key: file for entry in manifest.segments for key, file in segment_keys(entry).items()}
    stored = {one.key: one.size for one in remote.objects.list(f"{SEGMENTS}/")}
    problems = []
    with progress("verify", len(wanted), "file") as bar:
        for key, file in wanted.items():
            if key not in stored:
                problems.append(Problem(key, LACKS))
            elif stored[key] != file.size:
                problems.append(Problem(key, f"{stored[key]} bytes where the manifest says {file.size}"))
            elif deep and _checksum(remote.objects, key, file.size) != file.checksum:
                problems.append(Problem(key, DIFFERS))
            bar.update()
    if problems:
        size = sum(file.size for file in wanted.values())
        return VerifyReport(remote.url, number, deep, len(wanted), size, manifest.chunks, tuple(problems))
    pull(remote, number, compare=True, progress=progress)
    return verify_folder(remote.folder, number, deep)


def repair(
    remote: RemoteIndex,
    choice: DenseChoice = AUTO,
    drop_damaged: bool = False,
    progress: ProgressFactory = silent,
) -> tuple[RepairReport, int]:
    """Mend the live generation here and in the store, from whichever has a sound file, or by making it anew.

    Returns what was mended here, and how many objects were written again. Raises what `upkeep.repair` raises,
    `ObjectStoreError`, and `CorruptIndexError` where neither has it.
    """
    check_writable(remote)
    number, damaged = newest(remote), False
    try:
        pull(remote, number, compare=True, progress=progress)
    except CorruptIndexError:
        if number not in manifests.generations(remote.folder):
            raise
        damaged = True
    report = local_repair.repair(remote.folder, choice, drop_damaged, publish=publisher(remote, progress))
    if report.lost:
        return report, 0
    return report, restore(remote, manifests.load(remote.folder, report.generation), every_file=damaged)


def _checksum(objects: Objects, key: str, size: int) -> str | None:
    """The checksum of an object, read in parts; `None` where it ends early."""
    digest = xxhash.xxh3_128()
    for start in range(0, size, PART_BYTES):
        length = min(PART_BYTES, size - start)
        data = objects.read_range(key, start, length)
        if data is None or len(data) != length:
            return None
        digest.update(data)
    return digest.hexdigest()
