"""Workers as actors of Ray: each loads the encoder once, and encodes one shard after the other.

Everything of Ray is here. Only text goes through it: orders, shards and answers; vectors go to storage.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config import Config
from pipeline.encode.shard_plan import PlannedShard
from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.ingest.workers.program import Elsewhere
from pipeline.job.cluster import orders
from pipeline.job.cluster.readers_on_ray import RayProgram
from pipeline.job.cluster.workers import Answer

log = logging.getLogger(__name__)


class Actor:
    """What runs on a worker. Its package is the one that is installed there."""

    def __init__(self, told: str) -> None:
        self._encoder = orders.ShardEncoder(told)

    def begin(self) -> str:
        """Where it runs, and why it will not encode, if so."""
        import socket

        return json.dumps([f"{socket.gethostname()}:{os.getpid()}", json.loads(self._encoder.problem())])

    def encode(self, shard: str) -> str:
        """One shard."""
        return self._encoder.encode(shard)


@dataclass(frozen=True, slots=True)
class Room:
    """What each worker needs, and how many of them a cluster has room for."""

    cpus: float
    gpus: float
    workers: int

    @classmethod
    def found(cls, config: Config, machines: Sequence[dict[str, float]]) -> Room:
        """The room on machines with these resources; `cluster` and the named devices say what is needed."""
        wanted, settings = config.cluster, (config.encoder.device, *config.encode.devices)
        named = any(device.startswith("cuda") for device in settings)
        gpus = wanted.gpus if wanted.gpus is not None else float(named)
        whole = min((machine.get("CPU", 0.0) for machine in machines if machine.get("CPU")), default=1.0)
        cpus = wanted.cpus if wanted.cpus is not None else 1.0 if gpus else whole
        fitting = sum(
            int(
                min(
                    machine.get("CPU", 0.0) / cpus if cpus else 1e9, machine.get("GPU", 0.0) / gpus if gpus else 1e9
                )
            )
            for machine in machines
            if cpus or gpus
        )
        return cls(cpus, gpus, wanted.workers or max(fitting, 1))


@dataclass(slots=True)
class _Member:
    actor: Any
    name: str
    shard: str = ""
    has_begun: bool = False


@dataclass(slots=True)
class RayWorkers:
    """The actors of one build."""

    ray: Any
    config: Config
    told: str
    room: Room
    _members: dict[str, _Member] = field(default_factory=dict)
    _pending: dict[Any, str] = field(default_factory=dict)
    _started: int = 0
    _wanted: int = 0

    def begin(self, shards: int) -> None:
        """Start actors; those that find no room yet wait for it."""
        self._wanted = min(self.room.workers, shards)
        for _ in range(self._wanted):
            self._start()

    def _start(self) -> None:
        remote = self.ray.remote(num_cpus=self.room.cpus, num_gpus=self.room.gpus, max_restarts=0)(Actor)
        actor = remote.remote(self.told)
        self._started += 1
        name = f"worker {self._started}"
        self._members[name] = _Member(actor, name)
        self._pending[actor.begin.remote()] = name

    def _replace(self, name: str) -> None:
        """Another one for one that is gone: as long as there are not many more of these than workers."""
        if member := self._members.pop(name, None):
            self.ray.kill(member.actor)  # one that is only out of reach must not come back
        if self._started < self._wanted * (1 + self.config.cluster.attempts) + self.config.cluster.attempts:
            self._start()

    def idle(self) -> Sequence[str]:
        """Those that have begun and have no shard."""
        return [name for name, member in self._members.items() if member.has_begun and not member.shard]

    def alive(self) -> int:
        """Those that work, wait or start."""
        return len(self._members)

    def give(self, worker: str, shard: PlannedShard) -> None:
        """Give a shard to one that waits."""
        member = self._members[worker]
        member.shard = shard.key
        self._pending[member.actor.encode.remote(orders.as_text(shard))] = worker

    def answers(self, seconds: float) -> Sequence[Answer]:
        """Wait for answers, at most this long."""
        if not self._pending:
            time.sleep(min(seconds, 0.1))
            return []
        ready, _ = self.ray.wait(list(self._pending), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self.ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        found = (self._answer(reference, self._pending.pop(reference)) for reference in ready)
        return [answer for answer in found if answer is not None]

    def _answer(self, reference: Any, name: str) -> Answer | None:
        member = self._members.get(name)
        if member is None:
            return None
        shard, member.shard = member.shard, ""
        try:
            said = json.loads(self.ray.get(reference))
            if shard:
                return Answer(name, shard, str(said.get("checksum", "")), str(said.get("error", "")))
            where, problem = said
        except (self.ray.exceptions.RayActorError, self.ray.exceptions.NodeDiedError) as error:
            self._replace(name)
            return Answer(name, shard, error=_in_words(error))
        except (self.ray.exceptions.RayError, ValueError, TypeError, AttributeError) as error:
            if not shard:
                self._members.pop(name)
            return Answer(name, shard, error=_in_words(error))
        self._members.pop(name)
        member.name = f"{name} ({where})"
        if problem is not None:
            return Answer(member.name, error=str(problem["error"]), refuses=bool(problem["refuses"]))
        member.has_begun = True
        self._members[member.name] = member
        return None

    def dismiss(self, worker: str) -> None:
        """Kill an actor and start another."""
        member = self._members.get(worker)
        if member is not None:
            self._pending = {reference: name for reference, name in self._pending.items() if name != worker}
            self._replace(worker)

    def close(self) -> None:
        """Kill all actors."""
        for member in self._members.values():
            self.ray.kill(member.actor)
        self._members.clear()
        self._pending.clear()


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A cluster that this process has reached. `joined`: it went there, and leaves when it is done."""

    ray: Any
    joined: bool

    def workers(self, config: Config, told: str) -> RayWorkers:
        """Workers with these orders, as many as the cluster has room for."""
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return RayWorkers(self.ray, config, told, Room.found(config, machines))

    def readers(self, config: Config) -> Elsewhere:
        """Room for programs that read and cut: one a CPU, `cluster.workers` at most."""
        alive = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        cpus = int(sum(machine.get("CPU", 0.0) for machine in alive))
        count = min(max(cpus, 1), config.cluster.workers or max(cpus, 1))
        return Elsewhere(count, lambda module: RayProgram(self.ray, module, config.cluster.start_seconds))

    def leave(self) -> None:
        """Disconnect, and stop what was started here."""
        if self.joined:
            self.ray.shutdown()


def connect(address: str) -> RayCluster:
    """Reach the cluster at `address`; if it is empty, that of the environment, or one on this machine.

    Raises `MissingDependencyError` without Ray, `EncoderError` if the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingDependencyError("--cluster ray needs Ray; pip install 'hybrid-pipeline[ray]'") from None
    if ray.is_initialized():
        return RayCluster(ray, joined=False)
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, RuntimeError, ValueError) as error:
        where = address or "the cluster of this machine"
        raise EncoderError(f"--cluster: {where} cannot be reached or started: {_in_words(error)}") from None
    return RayCluster(ray, joined=True)


def _in_words(error: Exception) -> str:
    """One line of what Ray says in many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if line.startswith("The actor is dead") or "preempt" in line), None)
    text = telling or (lines[-1] if lines else "")
    return f"{type(error).__name__}: {text[:300]}"
