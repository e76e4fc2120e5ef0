"""What is staged in the object store goes when its generation is published, or when it is old and not needed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from pipeline.errors import IndexStoreError
from pipeline.remote.layout import LATEST_PLAN, PLANS, SHARDS, STAGED, plan_key, staged_key
from pipeline.remote.objects import Stored
from pipeline.remote.place import RemoteIndex
from pipeline.remote.staged.plans import StoredPlan, own, readable

log = logging.getLogger(__name__)


def remove_own(remote: RemoteIndex) -> None:
    """Remove what was staged for the plan that this copy has just published: shards, files, the plan itself.

    Plans of its shards or some of them, which builds that were interrupted made before it, go with it. Others stay.
    What cannot be removed is only warned of; a list that is old may hide objects: a collection removes both.
    """
    try:
        plan = own(remote)
        if plan is None:
            return
        keys = set(plan.record.shards)
        doomed = [one.key for one in remote.objects.list(f"{SHARDS}/") if _shard_of(one.key) in keys]
        markers = sorted(doomed, key=lambda key: not key.endswith(".json"))  # a shard is gone before its files are
        names = [_plan_of(one.key) for one in remote.objects.list(f"{PLANS}/")]
        others = (readable(remote, [name for name in names if name != plan.name]) or {}).values()
        plans = [plan, *(other for other in others if keys.issuperset(other.record.shards))]
        named = {staged_key(file.checksum, file.path) for one in plans for file in one.record.files}
        if remote.objects.read(LATEST_PLAN) in [one.name.encode() for one in plans]:
            remote.objects.delete(LATEST_PLAN)
        with ThreadPoolExecutor(remote.settings.transfers) as pool:
            list(pool.map(remote.objects.delete, [*(plan_key(one.name) for one in plans), *markers, *named]))
    except IndexStoreError as error:
        log.warning("what was staged stays in the store until a collection removes it: %s", error)


def in_progress(remote: RemoteIndex, objects: Iterable[Stored], live: int, long_ago: datetime) -> set[str]:
    """Keys of what is staged that a collection must leave: that of plans which follow the live generation.

    A plan that nobody has worked on since `long_ago` is given up. If a plan cannot be read, all of it stays.
    """
    staged = [one for one in objects if one.key.startswith(f"{STAGED}/")]
    names = [_plan_of(one.key) for one in staged if _is_plan(one.key)]
    plans = readable(remote, names)
    if plans is None:
        return {one.key for one in staged}
    named: set[str] = set()
    for plan in plans.values():
        mine = _of(plan, staged)
        if plan.record.follows == live and any(one.written >= long_ago for one in mine if _is_work(one.key)):
            named |= {LATEST_PLAN, *(one.key for one in mine)}
    return named


def _of(plan: StoredPlan, staged: Sequence[Stored]) -> list[Stored]:
    keys = set(plan.record.shards)
    named = {plan_key(plan.name), *(staged_key(file.checksum, file.path) for file in plan.record.files)}
    return [one for one in staged if one.key in named or _shard_of(one.key) in keys]


def _is_plan(key: str) -> bool:
    return key.startswith(f"{PLANS}/")


def _plan_of(key: str) -> str:
    return key.removeprefix(f"{PLANS}/").removesuffix(".json")


def _is_work(key: str) -> bool:
    """Whether an object is the plan, or what a worker wrote."""
    return _is_plan(key) or key.startswith(f"{SHARDS}/")


def _shard_of(key: str) -> str:
    """The key of the shard that an object belongs to; empty for another object."""
    below = key.removeprefix(f"{SHARDS}/")
    return "" if below == key else below.split("/")[0].removesuffix(".json")
