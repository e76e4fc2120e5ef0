"""Every argument of the public functions, given every wrong value: it is taken, or refused in one plain line."""

from __future__ import annotations

import datetime
import inspect
import io
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest

import pipeline
from pipeline.arguments import shown
from pipeline.config import Config, EncoderSettings, FusionSettings, QuerySettings, RerankSettings
from pipeline.errors import ConfigError, PipelineError, QueryError
from pipeline.job import build as builder
from pipeline.progress import silent
from pipeline.query.request import SearchRequest
from pipeline.query.rerank import choose_reranker
from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from tests.support.collection import config_for, write_documents

Call = tuple[Callable[..., Any], dict[str, Any]]
QUESTION = "how are ranks fused?"
VALUES: list[Any] = [
    *(None, True, False, np.bool_(True)),
    *(0, 1, -1, 10**30, 10**5000, np.int64(-1), np.uint8(200)),
    *(0.5, 1.0, -0.0, float("nan"), float("inf"), np.float32("nan"), 1j, Decimal(1), Fraction(1, 2)),
    *("", " ", "1", "no", "two\nlines", "\0", "\ud800", "~nobody/x", "a" * 5000, np.str_("x")),
    *(b"x", bytearray(b"x"), memoryview(b"x")),
    *([], [5], ["a", None], (), ("a",), {}, {"a": 1}, {5: 5}, {"method": "rrf"}, {"model": 5}, {"a"}, range(3)),
    *(np.array(["a", "b"]), np.array([b"a"]), np.array(5), np.array([[1.5]]), np.array(["x"], object), np.zeros(0)),
    *(Path("nothing"), Path("\0"), datetime.date(2024, 1, 1), io.StringIO("x"), object(), object, print, ...),
    *(QuerySettings(), FusionSettings(), RerankSettings(), np, lambda *given: None),
]
OTHER_NAMES = {
    "raw": "config: ",
    "texts": "text",
    "text": "the query",
    "legs": "leg",
    "fields": "facet",
    "name": "leg",
    "where": "filter",
    "encoder": "index → configured",
}
"""What a message says in place of the argument's name."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arguments")
    write_documents(folder / "documents")
    pipeline.build(config_for(folder, encoder={"model": "none"}))
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[Index]:
    with pipeline.open_index(folder / "index") as index:
        yield index


def lookups(index: Index) -> dict[str, Call]:
    """The public functions that write nothing, each with arguments that it takes."""
    return {
        "open_index": (pipeline.open_index, {"path": index.path}),
        "load_config": (pipeline.load_config, {"path": "nowhere.yaml"}),
        "parse_config": (pipeline.parse_config, {"raw": {}}),
        "search": (index.search, {"text": QUESTION}),
        "search_many": (index.search_many, {"texts": [QUESTION]}),
        "answer": (index.answer, {"request": SearchRequest.for_texts(index, [QUESTION])}),
        "rank": (index.rank, {"texts": [QUESTION]}),
        "rank_request": (index.rank_request, {"request": SearchRequest.for_texts(index, [QUESTION])}),
        "trust": (index.trust, {"request": SearchRequest.for_texts(index, [QUESTION])}),
        "leg": (index.leg, {"name": "lexical"}),
        "suggestions": (index.suggestions, {"text": QUESTION}),
        "document": (index.document, {"doc_id": "en/bm25.md"}),
        "facets": (index.facets, {"fields": ["source"]}),
        "similar": (index.similar, {"examples": Examples(texts=(QUESTION,))}),
        "for_groups": (index.for_groups, {"groups": ["staff"]}),
        "encode": (index.encode, {"texts": [QUESTION]}),
        "rank_encoded": (index.rank_encoded, {"queries": index.encode([QUESTION])}),
        "search_encoded": (index.search_encoded, {"queries": index.encode([QUESTION])}),
    }


def jobs(config: Config) -> dict[str, Call]:
    """The functions that bring an index up to date."""
    names = ("build", "ingest", "encode", "publish", "plan")
    return {name: (getattr(builder, name), {"config": config}) for name in names}


def parameters(function: Callable[..., Any]) -> list[str]:
    """Their names, and those of the keywords that a function takes as a `TypedDict`."""
    names: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            (keywords,) = get_args(get_type_hints(function)[name])
            names += keywords.__annotations__
        elif name != "self":
            names.append(name)
    return names


def outcome(function: Callable[..., Any], given: Mapping[str, Any]) -> Exception | None:
    try:
        function(**given)
    except Exception as error:
        return error
    return None


def misdeeds(function: Callable[..., Any], right: Mapping[str, Any]) -> Iterator[str]:
    """What calls do that they should not, with one argument at a time replaced by each of the values."""
    usual = str(outcome(function, right))
    for name in parameters(function):
        for value in VALUES:
            error = outcome(function, {**right, name: value})
            message = str(error)
            named = name in message or OTHER_NAMES.get(name, name) in message
            quoted = isinstance(value, str | Path) and str(PipelineError(value)) in message
            fine = isinstance(error, PipelineError) and len(message.splitlines()) == 1 and (named or quoted)
            if not (error is None or fine or message == usual):
                yield f"{function.__name__}({name}={shown(value)}): {error!r}"


def test_a_lookup_takes_an_argument_or_names_it_in_one_line(index: Index) -> None:
    for function, right in lookups(index).values():
        assert list(misdeeds(function, right)) == []


def test_a_job_takes_an_argument_or_names_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    without_sources = pipeline.parse_config(
        {}, base=tmp_path
    )  # so that a job ends as soon as its arguments are read
    for function, right in jobs(without_sources).values():
        assert list(misdeeds(function, right)) == []


def test_the_table_holds_every_public_function(index: Index) -> None:
    functions = {name for name in pipeline.__all__ if inspect.isfunction(getattr(pipeline, name))}
    methods = {
        name for name, one in vars(Index).items() if name[0] != "_" and inspect.isfunction(one) and parameters(one)
    }
    assert functions | methods <= {*lookups(index), *jobs(Config())}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"fusion": 5},
            "fusion=5: give the name of a method or preset, FusionSettings, or a mapping such as {'method'",
        ),
        ({"fusion": {"methd": "rrf"}}, "fusion: unknown key `methd`; did you mean `method`?"),
        (
            {"rerank": b"x"},
            "rerank=b'x': give the name of a reranker, RerankSettings, or a mapping such as {'model'",
        ),
        ({"rerank": {"top": 5}}, "rerank={'top': 5}: name a model too"),
        ({"rerank": {"model": "none", "top": 0}}, "rerank: `top`: "),
        ({"rerank_top": 2.0}, "rerank_top=2.0: rerank at least one chunk"),
        ({"where": 5}, "where=5: give an SQL condition as text, such as \"lang = 'ko'\""),
        ({"context": "1"}, "context='1': give how many chunks before and after a hit to show, or 0"),
        ({"distinct": "0.8"}, "distinct='0.8': give a similarity above 0 and up to 1, such as 0.8"),
        ({"collapse": "no"}, "collapse='no': give True or False"),
        ({"explain": None}, "explain=None: give True or False"),
        ({"text": b"x"}, "text=b'x': give a query as str, not bytes"),
    ],
)
def test_what_a_search_refuses(index: Index, given: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError) as error:
        index.search(**{"text": QUESTION, **given})
    assert str(error.value).startswith(says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"generation": "1"}, "generation='1': give a whole number, or 'staged'"),
        ({"path": None}, "path=None: give a path, as str or Path"),
        ({"path": b"index"}, "path=b'index': give a str or a Path, such as os.fsdecode makes of bytes"),
        ({"path": "\0"}, r"path='\x00': no file can have this name"),
        ({"settings": 5}, "settings=5: give QuerySettings, or a mapping such as {'k': 10}"),
        ({"settings": {"kk": 5}}, "settings: unknown key `kk`; "),
        ({"verify": "no"}, "verify='no': give True or False"),
    ],
)
def test_what_opening_an_index_refuses(index: Index, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        pipeline.open_index(**{"path": index.path, **given})
    assert str(error.value).startswith(says)


def test_what_configuring_and_building_refuse(tmp_path: Path) -> None:
    config = pipeline.parse_config({}, base=tmp_path)
    refusals: dict[str, Callable[[], Any]] = {
        "path=None: give a path, as str or Path": lambda: pipeline.load_config(None),  # type: ignore[arg-type]
        "raw=[]: give a mapping": lambda: pipeline.parse_config([]),  # type: ignore[arg-type]
        "config: unknown key `base`": lambda: pipeline.parse_config({"base": tmp_path}),
        "Config: `index`: expected a text, got 5": lambda: Config(index=5),  # type: ignore[arg-type]
        "EncoderSettings: unknown key `modle`; did you mean `model`?": lambda: EncoderSettings(modle="x"),  # type: ignore[call-arg]
        "config={}: make a Config of it with `parse_config`": lambda: pipeline.build({}),  # type: ignore[arg-type]
        "full='no': give True or False": lambda: pipeline.build(config, full="no"),  # type: ignore[arg-type]
        r"note='\ud800': has half a character": lambda: pipeline.build(config, note="\ud800"),
        "progress=5: give a callable": lambda: pipeline.build(config, progress=5),  # type: ignore[arg-type]
    }
    for says, call in refusals.items():
        with pytest.raises(ConfigError) as error:
            call()
        assert str(error.value).startswith(says)


def test_a_progress_that_returns_no_bar_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"returned None; a progress bar has `update\(n\)`"):
        builder.plan(config_for(folder, encoder={"model": "none"}), progress=lambda *given: None)  # type: ignore[arg-type, return-value]


def test_lists_of_texts_may_be_anything_that_has_an_order(index: Index) -> None:
    texts = [QUESTION, "토큰", QUESTION]
    usual = index.search_many(texts, 3)
    for given in (tuple(texts), np.array(texts), np.array(texts, object), pd.Series(texts), iter(texts)):
        assert index.search_many(given, 3) == usual
    assert index.encode(np.array(texts)).texts == tuple(texts)
    assert all(type(text) is str for text in index.encode(np.array(texts)).texts)


@pytest.mark.filterwarnings("error")  # such as that of an overflow
def test_numpy_numbers_are_numbers(index: Index) -> None:
    usual = index.search(QUESTION, 3, context=1, distinct=0.5, collapse=True, rerank_top=2)
    assert usual == index.search(
        QUESTION,
        np.int64(3),  # type: ignore[arg-type]
        context=np.uint8(1),  # type: ignore[typeddict-item]
        distinct=np.float32(0.5),  # type: ignore[typeddict-item]
        collapse=np.bool_(True),  # type: ignore[typeddict-item]
        rerank_top=np.int32(2),  # type: ignore[typeddict-item]
    )
    with pipeline.open_index(index.path, generation=np.int64(index.manifest.generation)) as same:  # type: ignore[arg-type]
        assert same.search(QUESTION, 3) == index.search(QUESTION, 3)


def test_a_mapping_stands_for_settings(index: Index) -> None:
    for fusion in (
        {"method": "rrf"},
        {"method": "rrf", "rrf_k": 1},
        {"method": "weighted", "weights": {"lexical": 2.0}},
    ):
        usual = index.search(QUESTION, 3, fusion=FusionSettings.model_validate(fusion))
        assert usual == index.search(QUESTION, 3, fusion=fusion)
    assert index.search(QUESTION, 3, rerank={"model": "none"}) == index.search(QUESTION, 3)
    reranker = {"model": "multivectors", "top": 7}
    assert choose_reranker(RerankSettings(top=5), reranker, None) == RerankSettings(model="multivectors", top=7)
    settings = {"k": 2, "fusion": {"method": "rrf"}}
    with pipeline.open_index(str(index.path), encoder={"model": "none"}, settings=settings) as other:
        assert other.settings == QuerySettings(k=2, fusion=FusionSettings(method="rrf"))
        assert other.search(QUESTION) == index.search(QUESTION, 2, fusion="rrf")


def test_a_configuration_may_be_given_by_its_path(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    path = tmp_path / "config.yaml"
    path.write_text("index: index\nsources: [{path: documents}]\nencoder: {model: none}\n", "utf-8")
    assert builder.plan(str(path), progress=silent) == builder.plan(path)
    assert pipeline.build(str(path)).generation == 1
    assert pipeline.build(path).changed == 0
    with pipeline.open_index(tmp_path / "index") as index:
        assert index.search(QUESTION, 1)
