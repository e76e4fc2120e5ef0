"""Settings are right or refused, with the key and the cure."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.config import Config, load_config, parse_config
from pipeline.config.starter import write_starter
from pipeline.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("index: here\nsources: [{path: docs}, {path: /abs}]\n")
    config = load_config(str(tmp_path / "config.yaml"))
    assert config.index_path == tmp_path / "here"
    assert [config.source_path(source) for source in config.sources] == [tmp_path / "docs", Path("/abs")]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"indx": "a"}, "unknown key `indx`; did you mean `index`?"),
        ({"zzzzzz": 1}, "unknown key `zzzzzz`; known keys: "),
        ({"chunking": {"max_token": 3}}, "unknown key `chunking.max_token`; did you mean `max_tokens`?"),
        ({"sources": [{"path": "a", "includes": []}]}, "`sources.0.includes`; did you mean `include`?"),
        ({"chunking": {"max_tokens": "12"}}, "`chunking.max_tokens`: input should be a valid integer, got '12'"),
        ({"chunking": {"overlap_tokens": 254}}, "overlap_tokens=254 must be below chunking.max_tokens=254"),
        ({"chunking": {"context": "titel"}}, "'titel' is none of title\\+headings, .*; did you mean `title`\\?"),
        ({"chunking": {"context": "{titel}"}}, "a template holds {title} and {headings}, not {titel}"),
        ({"chunking": {"context": "{title!r}"}}, "a template holds {title} and {headings}, not {title"),
        ({"chunking": {"context": "{title"}}, "'{title' is no template: .*; double a brace that stands for itself"),
        ({"chunking": {"context": "x" * 200 + "{title}"}}, "a template of more than 200 characters"),
        ({"query": {"k": 0}}, "`query.k`: .*greater than or equal to 1, got 0"),
        ({"sources": [{}]}, "sources.0: a source has one of `path`, .*, this one names nothing"),
        ({"sources": ["documents"]}, "`sources.0`: expected keys and values, such as `path: documents`, got 'docu"),
        (
            {"sources": "documents"},
            "`sources`: expected a list, such as `\\[a, b\\]` or a line `- …` for each, got",
        ),
        ({"chunking": None}, "`chunking`: expected keys and values, such as `max_tokens: 254`, got nothing"),
        ({"gate": {"minimum": None}}, "`gate.minimum`: expected lines `name: value`, got nothing; remove the key"),
        ({"index": ""}, "`index`: .*at least 1 character, got ''"),
        ({"query": {"fusion": {"method": "rff"}}}, "`query.fusion.method`: .*, got 'rff'; did you mean `rrf`?"),
        ({"query": {"mode": "zzz"}}, "`query.mode`: input should be .*, got 'zzz'$"),
        (
            {"query": {"fusion": {"method": "rrf", "preset": "m3-miracl"}}},
            "query.fusion.preset=m3-miracl weighs raw scores, and query.fusion.method is rrf; give one of them",
        ),
        ({"query": {"fusion": {"weights": {"lexcal": 1.0}}}}, "no leg `lexcal`; did you mean `lexical`?"),
        ({"query": {"fusion": {"weights": {"dense": -1.0}}}}, "query.fusion.weights.dense=-1 must be zero or more"),
        ({"query": {"fusion": {"weights": {"dense": float("inf")}}}}, "weights.dense=inf must be zero or more"),
        ({"ingest": {"processes": 0}}, "ingest.processes"),
        ({"ingest": {"processes": 1025}}, "ingest.processes"),
        ({"ingest": {"processes": "all"}}, "ingest.processes"),
        ({"ingest": {"encodings": ["cp494"]}}, "ingest.encodings: 'cp494' is no .*; did you mean `cp949`?"),
        ({"ingest": {"encodings": ["rot13"]}}, "ingest.encodings: 'rot13' is no text encoding"),
        ({"encoder": {"model": "none", "lexical": "none"}}, "both `none`: there is nothing to index"),
    ],
)
def test_mistakes(raw: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config(raw)


@pytest.mark.parametrize("name", ["cp949", "utf-16", "utf-7", "UTF-8", "latin-1", "idna"])
def test_encodings_that_python_knows(name: str) -> None:
    assert parse_config({"ingest": {"encodings": [name]}}).ingest.encodings == [name]


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("index: a\nquery:\n  k: 3\n  depth: 9\n  k: 4\n")
    with pytest.raises(ConfigError, match=r"config.yaml:5: not valid YAML: the key `k` stands twice"):
        load_config(path)
    path.write_text("sources: [{path: a}, {path: b}]\nquery: {k: 3}\ngate: {expect: []}\n")
    assert load_config(path).query.k == 3
    path.write_text("query: &q {k: 3}\nencode: {<<: {shard_chunks: 5}, shard_chunks: 6}\n")
    assert load_config(path).encode.shard_chunks == 6


def test_the_shipped_configuration_and_the_starter_hold(tmp_path: Path) -> None:
    assert load_config(ROOT / "config.yaml").sources
    assert load_config(write_starter(tmp_path)).sources[0].path == "documents"


def test_the_documented_defaults_are_the_defaults() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    documented = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    expected = Config(sources=[parse_config({"sources": [{"path": "documents"}]}).sources[0]])
    assert documented == expected.model_dump(mode="json", exclude={"base"})


@pytest.mark.parametrize(
    ("yaml_text", "says"),
    [
        (
            "index: x\nretain: 2024-13-01",
            "config.yaml:2: not valid YAML: '2024-13-01' is not a valid timestamp; put",
        ),
        ("index: !!int x", "config.yaml:1: not valid YAML: 'x' is not a valid int"),
        ("index: !!bool x", "config.yaml:1: not valid YAML: 'x' is not a valid bool"),
        ("retain: " + "9" * 5000, "config.yaml:1: not valid YAML: '999"),
        ("[" * 3000, "config.yaml:1: not valid YAML: nested too deeply"),
    ],
)
def test_values_that_yaml_cannot_read_name_their_line(tmp_path: Path, yaml_text: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml_text, "utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{tmp_path}/{says}")
