"""The service keeps what its OpenAPI document says, for requests that fit it and for those that do not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from pipeline.config import Config, ServeLimits, ServeSettings
from pipeline.serve.app import ENDPOINTS
from tests.faults import stub
from tests.support.live import Live, serving


@pytest.fixture(scope="module")
def service(built: Config) -> Iterator[Live]:
    """A service of small limits, so that requests beyond them are drawn too."""
    limits = ServeLimits(k=100, queries=4, query_characters=200, texts=8, facets=3)
    with (
        stub.open_index(built.index_path, settings=built.query) as index,
        serving({"first": index}, ServeSettings(refresh_seconds=3600.0, limits=limits)) as live,
    ):
        yield live


@pytest.fixture(scope="module")
def described(service: Live) -> schemathesis.BaseSchema:
    """What the service says of itself."""
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


def operations() -> list[tuple[str, str]]:
    """Method and path of each address."""
    return [(endpoint.method, re.sub(r":path(?=})", "", endpoint.path)) for endpoint in ENDPOINTS]


@pytest.mark.parametrize(("method", "path"), operations())
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_is_described(
    described: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    """No failure inside, no status, header or body that the document does not have."""
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
        return  # nothing can be wrong with it

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])

    holds()
