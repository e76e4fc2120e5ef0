"""What `deploy/` says holds: commands exist, files fit each other, and what can be run here is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
import yaml

import pipeline
from pipeline import parse_config
from pipeline.cli import cli
from pipeline.transfer import requirements
from pipeline.transfer.exporting import ModelSource, export
from tests.support.collection import config_for
from tests.support.command_line import run
from tests.transfer.host import make, required

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
USER = 10001


def kubernetes() -> dict[str, Any]:
    """The objects by kind and name."""
    objects = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in objects}


def pods() -> dict[str, Any]:
    """The specifications of pods by what runs in them."""
    found = kubernetes()
    return {
        "build": found["CronJob/search-build"]["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        "serve": found["Deployment/search"]["spec"]["template"]["spec"],
    }


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def dockerfile() -> list[str]:
    """Its instructions, each on one line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def instruction(word: str) -> list[str]:
    return [line.partition(" ")[2] for line in dockerfile() if line.startswith(f"{word} ")]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that is named, without `pipeline` itself, and where."""
    yield "Dockerfile", json.loads(instruction("CMD")[-1])
    yield "kubernetes.yaml", pods()["serve"]["containers"][0]["args"]
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=(.*)$", unit.read_text("utf-8"), re.MULTILINE):
            yield unit.name, shlex.split(line)[1:]
    for name in ("nightly.sh", "README.md"):
        for line in re.findall(
            r"^ +(?:\(echo keys:; |run )?pipeline ([^|)\n`]*)", (DEPLOY / name).read_text("utf-8"), re.MULTILINE
        ):
            yield name, shlex.split(line, comments=True)
    for line in re.findall(r"`pipeline ([^`]*)`", (DEPLOY / "README.md").read_text("utf-8")):
        yield "README.md", shlex.split(line.partition(" > ")[0])


def test_every_command_and_option_exists() -> None:
    seen = set()
    for where, (name, *arguments) in commands():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, f"{where}: pipeline {name}"
        arguments = arguments[: arguments.index("||")] if "||" in arguments else arguments
        command.make_context(name, list(arguments))  # raises for an option that there is not
        seen.add((where, name))
    assert {
        ("Dockerfile", "serve"),
        ("kubernetes.yaml", "serve"),
        ("search-service.service", "serve"),
        ("search-build.service", "build"),
        *(("nightly.sh", name) for name in ("build", "export", "import")),
        ("README.md", "key"),
    } <= seen


def test_images_are_small_at_the_end_and_run_as_nobody_special() -> None:
    stages = [line.split(" AS ")[1] for line in instruction("FROM")]
    assert {"build", "front", "serve"} <= set(stages)
    assert instruction("USER") == [f"{USER}:{USER}"] * 3
    assert not any("torch" in line for line in required((DEPLOY / "requirements-serve.txt").read_text()))
    for source in instruction("COPY"):
        if not source.startswith("--from="):
            for path in source.split()[:-1]:
                assert (ROOT / path).exists(), path


def test_extras_that_the_build_image_installs_are_extras_of_the_distribution() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    (installed,) = (line.removeprefix("EXTRAS=") for line in instruction("ARG") if line.startswith("EXTRAS="))
    told = re.findall(r"EXTRAS=([\w,-]+)", (DEPLOY / "README.md").read_text("utf-8"))
    assert told
    for names in (installed, *told):
        assert set(names.split(",")) <= known
    assert any('"${wheel}[${EXTRAS}]"' in line for line in instruction("RUN"))


def test_the_service_image_installs_what_any_bundled_index_needs() -> None:
    text = (DEPLOY / "requirements-serve.txt").read_text("utf-8")
    pinned = required(text)
    constraints = dict(re.findall(r"^([^#\s=]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    normal = {requirements._normal(name): version for name, version in constraints.items()}
    assert {name: normal[name] for name in pinned} == pinned
    wanted = [*requirements._ALWAYS.packages, *requirements._DENSE.packages, *requirements._FILTERS.packages]
    wanted += ["openvino", "tokenizers", "PyStemmer", "regex"]
    extra = re.search(r"^serve = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert extra is not None
    wanted += [re.split(r"[><=]", name)[0] for name in json.loads(f"[{extra[1]}]")]
    assert set(requirements._closure(wanted)) == set(pinned)
    for name in pinned:
        assert metadata.version(name)


def test_configurations_hold() -> None:
    mapped = kubernetes()["ConfigMap/search-config"]["data"]["config.yaml"]
    plain = (DEPLOY / "config.yaml").read_text("utf-8")
    assert yaml.safe_load(mapped) == yaml.safe_load(plain)
    config = parse_config(yaml.safe_load(plain), base=Path("/srv/search"))
    assert config.index_path == Path("/srv/index/search")
    assert [source.path for source in config.sources] == ["documents"]


@pytest.mark.parametrize("name", ["build", "serve"])
def test_pods_are_bound_and_what_they_mount_is_there(name: str) -> None:
    pod, known = pods()[name], kubernetes()
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == USER
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == container["resources"].keys()
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    for volume in volumes.values():
        if claim := volume.get("persistentVolumeClaim"):
            assert f"PersistentVolumeClaim/{claim['claimName']}" in known
        if config := volume.get("configMap"):
            assert f"ConfigMap/{config['name']}" in known
    if name == "serve":
        writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"tmp"}


def test_the_probes_ask_what_the_service_answers() -> None:
    from pipeline.serve.routes import health

    deployment = kubernetes()["Deployment/search"]
    (container,) = pods()["serve"]["containers"]
    probes = {
        name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe", "startupProbe")
    }
    assert probes == {"livenessProbe": "/livez", "readinessProbe": "/readyz", "startupProbe": "/readyz"}
    source = Path(str(health.__file__)).read_text() + (ROOT / "pipeline/serve/app.py").read_text()
    assert all(path in source for path in probes.values())
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    service = kubernetes()["Service/search"]["spec"]
    assert service["selector"] == labels
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["ports"][0]["targetPort"] in ports
    assert str(ports["http"]) == container["args"][container["args"].index("--port") + 1]
    drain = parse_config({}).serve.drain_seconds
    assert pods()["serve"]["terminationGracePeriodSeconds"] > drain
    assert int(compose()["services"]["service"]["stop_grace_period"].removesuffix("s")) > drain


def test_builder_and_service_share_a_volume_that_only_the_builder_writes() -> None:
    services, known = compose()["services"], compose()
    mounts = {
        name: dict(volume.rsplit(":", 1) if volume.endswith(":ro") else (volume, "rw") for volume in one["volumes"])
        for name, one in services.items()
    }
    shared = "served:/srv/served"
    assert (mounts["builder"][shared], mounts["service"][shared]) == ("rw", "ro")
    for one in services.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["build"]["target"] in {"build", "serve"}
        for volume in one["volumes"]:
            name = volume.split(":")[0]
            assert name.startswith((".", "$")) or name in known["volumes"]
    written = set(json.loads(instruction("VOLUME")[0]))
    assert {volume.split(":")[1] for volume in mounts["builder"] if mounts["builder"][volume] == "rw"} == written


def test_units_are_ones_that_systemd_accepts(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/srv/search/.venv/bin/pipeline", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    paths = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    for name, most in (("search-service.service", 1.5), ("search-build.service", 2.5)):
        command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
        if found is None:  # an older systemd reads no files
            continue
        assert float(found[1]) <= most, done.stdout


def test_hadolint_has_nothing_to_say() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("needs hadolint")
    done = subprocess.run(["hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


STUB = """#!/bin/sh
echo "$@" >> "$LOG"
case "$1" in
build) exit "$BUILD" ;;
export) mkdir -p "$2"; exit "$EXPORT" ;;
import) [ -d "$2" ] || exit 99; exit "$IMPORT" ;;
esac
"""


@pytest.mark.parametrize(
    ("codes", "expected", "reached"),
    [
        ((0, 0, 0), 0, "import"),
        ((3, 0, 0), 0, "import"),
        ((4, 0, 4), 0, "import"),
        ((1, 0, 0), 1, "build"),
        ((6, 0, 0), 6, "build"),
        ((143, 0, 0), 143, "build"),
        ((0, 1, 0), 1, "export"),
        ((0, 0, 5), 5, "import"),
    ],
)
def test_a_night_hands_over_what_was_built(
    tmp_path: Path, codes: tuple[int, int, int], expected: int, reached: str
) -> None:
    stub = tmp_path / "bin/pipeline"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    served = tmp_path / "served/index"
    environment = {
        "PATH": f"{stub.parent}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "SERVED": str(served),
        **dict(zip(("BUILD", "EXPORT", "IMPORT"), map(str, codes), strict=True)),
    }
    command = ["sh", str(DEPLOY / "nightly.sh"), "--once"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == expected, done.stderr
    handover = served.parent / ".handover"
    every = ["build", f"export {handover} --with-model", f"import {handover} {served}"]
    made = (tmp_path / "log").read_text().splitlines()
    assert made == every[: ["build", "export", "import"].index(reached) + 1]
    if reached == "import":
        assert not handover.exists()


def test_a_signal_reaches_the_build(tmp_path: Path) -> None:
    stub = tmp_path / "bin/pipeline"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\ntrap 'echo told > \"$LOG\"; exit 143' TERM\necho begun\nsleep 60 & wait\n")
    stub.chmod(0o755)
    environment = {"PATH": f"{stub.parent}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    command = ["sh", str(DEPLOY / "nightly.sh")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as night:
        assert night.stdout is not None
        assert night.stdout.readline() == "begun\n"
        night.terminate()
        assert night.wait(30) == 143
    assert (tmp_path / "log").read_text() == "told\n"


def test_the_service_image_s_command_answers(tmp_path: Path) -> None:
    """In an environment of its requirements, with its arguments but for paths and port, and no cache to write."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/a.md").write_text("# Fusion\n\nRank fusion adds up what each leg says.")
    pipeline.build(config_for(tmp_path))
    export(tmp_path / "index", tmp_path / "served", model=ModelSource())
    made = run(tmp_path, "key", "web")
    key = re.search(r"hp_\S+", made.stderr)
    assert key is not None
    (tmp_path / "keys.yaml").write_text("keys:\n" + made.stdout)
    python = make(tmp_path / "venv", (DEPLOY / "requirements-serve.txt").read_text())
    places = {
        "search=/srv/served/index": f"search={tmp_path / 'served'}",
        "/run/secrets/keys.yaml": str(tmp_path / "keys.yaml"),
        "8000": "0",
    }
    arguments = [places.get(one, one) for one in json.loads(instruction("CMD")[-1])]
    environment = {"PATH": os.environ["PATH"], "HYBRID_PIPELINE_CACHE": "/proc/nowhere", "HOME": "/proc/nowhere"}
    command = [str(python), "-m", "pipeline", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as service:
        try:
            assert service.stdout is not None
            port = re.fullmatch(r"listening on http://.*:(\d+)\n", service.stdout.readline())
            assert port is not None
            with httpx2.Client(base_url=f"http://127.0.0.1:{port[1]}") as client:
                assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
                assert client.get("/v1/search?q=fusion").status_code == 401
                found = client.get("/v1/search?q=fusion", headers={"Authorization": f"Bearer {key[0]}"})
                assert found.status_code == 200, found.text
                assert found.json()["results"][0]["hits"][0]["doc_id"] == "a.md"
        finally:
            service.terminate()
        assert service.wait(60) == 0


def test_a_night_with_the_real_command(tmp_path: Path) -> None:
    """Twice: the second has nothing to hand over. What is served is searched without the builder's index."""
    command = tmp_path / "bin/pipeline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pipeline "$@"\n')
    command.chmod(0o755)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/a.md").write_text("# Fusion\n\nRank fusion adds up what each leg says.")
    (tmp_path / "config.yaml").write_text("index: built\nsources: [{path: documents}]\nencoder: {model: none}\n")
    environment = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "SERVED": str(tmp_path / "served"),
    }
    for _ in range(2):
        subprocess.run(["sh", str(DEPLOY / "nightly.sh"), "--once"], cwd=tmp_path, env=environment, check=True)
    shutil.rmtree(tmp_path / "built")
    with pipeline.open_index(tmp_path / "served") as index:
        assert [hit.doc_id for hit in index.search("rank fusion")] == ["a.md"]
        assert index.manifest.generation == 1
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "documents", "config.yaml", "served"}
