"""Settings are right or refused, with the key and the cure."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.config import Config, load_config, parse_config
from pipeline.errors import ConfigError
from pipeline.starter import write_starter

ROOT = Path(__file__).parent.parent


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("index: here\nsources: [{path: docs}, {path: /abs}]\n")
    config = load_config(tmp_path / "config.yaml")
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
        ({"query": {"k": 0}}, "`query.k`: .*greater than or equal to 1, got 0"),
        ({"sources": [{}]}, "`sources.0.path`"),
    ],
)
def test_mistakes(raw: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config(raw)


def test_the_shipped_configuration_and_the_starter_hold(tmp_path: Path) -> None:
    assert load_config(ROOT / "config.yaml").sources
    assert load_config(write_starter(tmp_path)).sources[0].path == "documents"


def test_the_documented_defaults_are_the_defaults() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    documented = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    expected = Config(sources=[parse_config({"sources": [{"path": "documents"}]}).sources[0]])
    assert documented == expected.model_dump(mode="json", exclude={"base"})
