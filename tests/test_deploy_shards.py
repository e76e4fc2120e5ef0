"""The sharded service of `deploy/`: its commands exist and fit each other, and they answer when they are run."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx2
import pytest
import yaml

import pipeline
from pipeline import parse_config
from pipeline.cli import cli
from pipeline.serve.guard.gate import OPEN
from pipeline.serve.shards.client import KEY_VARIABLE
from tests.support.collection import config_for
from tests.support.command_line import run

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
GRACE = parse_config({}).serve.drain_seconds


@dataclass(frozen=True)
class Deployed:
    """One service as a file describes it. `name`: by which a front calls it."""

    name: str
    arguments: list[str]
    environment: Mapping[str, Any]
    port: int
    options: dict[str, Any] = field(default_factory=dict)


def read(name: str, arguments: list[str], environment: Mapping[str, Any]) -> Deployed:
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None
    options = command.make_context(arguments[0], list(arguments[1:])).params  # raises for an option there is not
    return Deployed(name, arguments, environment, options["port"], options)


def in_compose() -> list[Deployed]:
    services = yaml.safe_load((DEPLOY / "compose-shards.yaml").read_text("utf-8"))["services"]
    return [
        read(name, one["command"], one.get("environment", {}))
        for name, one in services.items()
        if name != "builder"
    ]


def objects() -> dict[str, Any]:
    listed = yaml.safe_load_all((DEPLOY / "kubernetes-shards.yaml").read_text("utf-8"))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in listed}


def in_kubernetes() -> list[Deployed]:
    shards, front = objects()["StatefulSet/search-shards"]["spec"], objects()["Deployment/search-front"]["spec"]
    (shard,), (asking,) = (one["template"]["spec"]["containers"] for one in (shards, front))
    assert (
        shard["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    )
    found = []
    for number in range(shards["replicas"]):
        arguments = [one.replace(f"$({shard['env'][0]['name']})", str(number)) for one in shard["args"]]
        found.append(read(f"search-shards-{number}.{shards['serviceName']}", arguments, {}))
    environment = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in asking["env"]}
    return [*found, read("front", asking["args"], environment)]


@pytest.mark.parametrize("deployed", [in_compose, in_kubernetes])
def test_the_front_asks_every_shard_in_order(deployed: Any) -> None:
    *shards, front = deployed()
    assert [one.options["share"] for one in shards] == [f"{i}/{len(shards)}" for i in range(len(shards))]
    assert len(shards) > 1
    asked = [urlsplit(url) for url in front.options["urls"].split(",")]
    assert [(url.scheme, url.hostname, url.port) for url in asked] == [
        ("http", one.name, one.port) for one in shards
    ]
    assert front.environment.keys() == {KEY_VARIABLE}
    for one in (*shards, front):
        assert one.options["host"] == "0.0.0.0"
        assert one.options["key_file"]
        assert one.environment.keys() <= {KEY_VARIABLE}


def test_compose_mounts_what_its_commands_name() -> None:
    whole = yaml.safe_load((DEPLOY / "compose-shards.yaml").read_text("utf-8"))
    plain = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    services = whole["services"]
    assert services.pop("builder") == plain["services"]["builder"]
    for one in services.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert int(one["stop_grace_period"].removesuffix("s")) > GRACE
        mounted = {volume.split(":")[0]: volume.split(":")[1:] for volume in one["volumes"]}
        assert mounted.keys() <= whole["volumes"].keys()
        keys = Path(one["command"][one["command"].index("--keys") + 1])
        assert (str(keys.parent), [keys.name]) == ("/run/secrets", one["secrets"])
        assert keys.name in whole["secrets"]
        if "--shard" in one["command"]:
            assert mounted == {"served": ["/srv/served", "ro"]}
            assert one["build"]["target"] == "serve"
            assert one["command"][one["command"].index("--index") + 1].startswith("search=/srv/served/")
        else:
            assert one["build"]["target"] == "front"
            assert "served" not in mounted
    stages = re.findall(r"^FROM .* AS (\S+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert {one["build"]["target"] for one in services.values()} <= set(stages)


def test_pods_are_bound_mounted_and_probed() -> None:
    known = objects()
    shards, front = known["StatefulSet/search-shards"]["spec"], known["Deployment/search-front"]["spec"]
    for one, service in ((shards, "Service/search-shards"), (front, "Service/search")):
        pod = one["template"]["spec"]
        (container,) = pod["containers"]
        assert one["selector"]["matchLabels"] == one["template"]["metadata"]["labels"]
        assert known[service]["spec"]["selector"] == one["selector"]["matchLabels"]
        assert known[service]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
        assert (
            str(container["ports"][0]["containerPort"]) == container["args"][container["args"].index("--port") + 1]
        )
        probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        assert set(probes.values()) == OPEN
        assert pod["terminationGracePeriodSeconds"] > GRACE
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) == volumes.keys()
        keys = Path(container["args"][container["args"].index("--keys") + 1])
        assert volumes[mounts[str(keys.parent)]]["secret"]["secretName"].startswith("search-")
    assert known["Service/search-shards"]["spec"]["clusterIP"] == "None"
    assert known["Service/search-shards"]["spec"]["ports"][0]["port"] == 8000
    assert shards["serviceName"] == "search-shards"
    claim = shards["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]
    assert (claim["readOnly"], f"PersistentVolumeClaim/{claim['claimName']}" in known) == (True, True)
    assert known["PersistentVolumeClaim/search-shards"]["spec"]["accessModes"] == ["ReadWriteMany"]


@contextlib.contextmanager
def running(folder: Path, deployed: Deployed, places: Mapping[str, str], key: str) -> Iterator[str]:
    """A service by its command, with other paths and a free port: its address."""
    arguments = [places.get(one, one) for one in deployed.arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict.fromkeys(deployed.environment, key)}
    command = [sys.executable, "-m", "pipeline", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert process.stdout is not None
            port = re.fullmatch(r"listening on http://.*:(\d+)\n", process.stdout.readline())
            assert port is not None
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            process.terminate()
        assert process.wait(60) == 0


def made_key(folder: Path, name: str) -> str:
    """A key in a file of its own."""
    made = run(folder, "key", name)
    (folder / f"{name}.yaml").write_text("keys:\n" + made.stdout)
    key = re.search(r"hp_\S+", made.stderr)
    assert key is not None
    return key[0]


def test_the_commands_of_compose_answer(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    for name in ("fusion", "gates", "shards"):
        (tmp_path / f"documents/{name}.md").write_text(f"# All about {name}\n\nHere stands what {name} are for.")
    pipeline.build(config_for(tmp_path, segments={"max_chunks": 1, "auto_compact": False}))
    reader, front_key = made_key(tmp_path, "reader"), made_key(tmp_path, "front")
    places = {
        "search=/srv/served/index": f"search={tmp_path / 'index'}",
        "/run/secrets/shard-keys.yaml": str(tmp_path / "front.yaml"),
        "/run/secrets/keys.yaml": str(tmp_path / "reader.yaml"),
        "8000": "0",
    }
    *shards, front = in_compose()
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(running(tmp_path, one, places, "")) for one in shards]
        places[front.options["urls"]] = ",".join(urls)
        url = stack.enter_context(running(tmp_path, front, places, front_key))
        with httpx2.Client(timeout=60) as client:
            for one in (*urls, url):
                assert {client.get(f"{one}{path}").status_code for path in OPEN} == {200}
            assert client.get(f"{url}/v1/search?q=gates").status_code == 401
            found = client.get(f"{url}/v1/search?q=gates", headers={"Authorization": f"Bearer {reader}"})
            assert found.status_code == 200, found.text
            assert len(found.json()["results"][0]["hits"]) == 3
            assert found.json()["results"][0]["hits"][0]["doc_id"] == "gates.md"
