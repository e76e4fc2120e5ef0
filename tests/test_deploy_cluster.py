"""The scripts of `deploy/cluster/`, run: with stand-ins for ssh and Slurm, and the commands themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import pipeline
from tests.support.collection import write_documents

CLUSTER = Path(__file__).parent.parent / "deploy/cluster"

PIPELINE = f"""#!/bin/sh
echo "$@" >> "$LOG"
exec {sys.executable} -m pipeline "$@"
"""
SSH = """#!/bin/sh
while [ "$1" != "alpha" ] && [ "$1" != "beta" ]; do shift; done
[ "$1" != "$DOWN" ] || exit 255
exec sh -c "$2"
"""
SBATCH = """#!/bin/sh
echo "sbatch $*" >> "$LOG"
for last; do :; done
case "$*" in
*--array=0-1*) echo "77;cluster"
    for i in 0 1; do SLURM_ARRAY_TASK_ID=$i sh -c "$last" >&2; done ;;
*) sh -c "$last" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents and a configuration, and commands to be found before those of the machine."""
    write_documents(tmp_path / "documents")
    settings = "index: index\nsources: [{path: documents}]\nencoder: {model: none}\nencode: {shard_chunks: 2}\n"
    (tmp_path / "config.yaml").write_text(settings)
    (tmp_path / "bin").mkdir()
    for name, text in {"pipeline": PIPELINE, "ssh": SSH, "sbatch": SBATCH}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = os.pathsep.join(filter(None, (str(Path(pipeline.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "LOG": str(folder / "log"),
        "PYTHONPATH": own,
        "DOWN": "",
        **variables,
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def logged(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def documents(folder: Path) -> int:
    with pipeline.open_index(folder / "index") as index:
        return index.manifest.documents


def test_hosts_over_ssh_build_an_index(folder: Path) -> None:
    script = str(CLUSTER / "ssh.sh")
    without = run(folder, script, "alpha", "beta", DOWN="beta")
    assert without.returncode == 1
    assert "ssh.sh: a worker ended with 255" in without.stderr
    assert "1 shard missing" in without.stderr
    done = run(folder, script, "alpha", "beta")
    assert (done.returncode, documents(folder)) == (0, 6), done.stderr
    first, again = logged(folder)[:4], logged(folder)[4:]
    assert first == ["ingest", "encode --plan", "encode --shard 0/2", "encode --commit"]
    assert sorted(again) == [
        "encode --commit",
        "encode --plan",
        "encode --shard 0/2",
        "encode --shard 1/2",
        "ingest",
    ]
    assert run(folder, script).returncode == 2


def test_a_job_array_of_slurm_builds_an_index(folder: Path) -> None:
    script = str(CLUSTER / "slurm.sh")
    done = run(folder, script, "2", "--gres=gpu:1")
    assert (done.returncode, documents(folder)) == (0, 6), done.stderr
    array, commit = (line for line in logged(folder) if line.startswith("sbatch"))
    assert "--requeue --array=0-1 --gres=gpu:1 --wrap" in array
    assert "--dependency=afterany:77 --wrap" in commit, "the cluster's name does not belong there"
    for wrong in ((), ("0",), ("two",), ("-1",)):
        assert run(folder, script, *wrong).returncode == 2


def jobs(name: str = "kubernetes.yaml") -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text("utf-8")))


def test_the_jobs_of_kubernetes_build_an_index(folder: Path) -> None:
    steps = {job["metadata"]["labels"]["step"]: job for job in jobs()}
    assert list(steps) == ["plan", "encode", "commit"]
    for name, job in steps.items():
        spec = job["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        for number in range(spec.get("completions", 1)):
            done = run(folder, *container["command"], JOB_COMPLETION_INDEX=str(number))
            assert done.returncode == 0, f"{name}: {done.stderr}"
    assert documents(folder) == 6


def test_the_jobs_of_kubernetes_need_no_folder_in_common_with_a_store(folder: Path) -> None:
    settings = (
        (folder / "config.yaml").read_text().replace("index: index", f"index: file://{folder}/store/handbook")
    )
    for job in jobs("kubernetes-store.yaml"):
        spec, step = job["spec"], job["metadata"]["labels"]["step"]
        (container,) = spec["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "search-store"}}]
        for number in range(spec.get("completions", 1)):
            pod = folder / f"{step}-{number}"
            pod.mkdir()
            (pod / "config.yaml").write_text(settings)
            if step == "plan":
                write_documents(pod / "documents")
            variables = {
                "JOB_COMPLETION_INDEX": str(number),
                "HYBRID_PIPELINE_CACHE": str(pod / "cache"),
                "LOG": str(folder / "log"),
                "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            }
            done = run(pod, *container["command"], **variables)
            assert done.returncode == 0, f"{step}: {done.stderr}"
    with pipeline.open_index(
        f"file://{folder}/store/handbook", remote={"cache_folder": str(folder / "r")}
    ) as index:
        assert index.manifest.documents == 6


@pytest.mark.parametrize("name", ["kubernetes.yaml", "kubernetes-store.yaml"])
def test_jobs_of_kubernetes_are_bound_and_agree(name: str) -> None:
    shares = jobs(name)[1]["spec"]
    of = re.search(r"/(\d+)$", shares["template"]["spec"]["containers"][0]["command"][-1])
    assert of is not None
    assert int(of[1]) == shares["completions"] == shares["parallelism"]
    assert shares["completionMode"] == "Indexed"
    for job in jobs(name):
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }


@pytest.mark.parametrize("name", ["ssh.sh", "slurm.sh"])
def test_an_ingest_that_fails_ends_a_script_with_its_code(folder: Path, name: str) -> None:
    (folder / "config.yaml").write_text("index: index\nsurces: []\n")
    done = run(folder, str(CLUSTER / name), *(["alpha"] if name == "ssh.sh" else ["2"]))
    assert done.returncode == 2
    assert logged(folder) == ["ingest"]
