"""Settings that every test shares: no model hub is ever asked, and shared machines make no test flaky."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"
os.environ.pop("COLUMNS", None)  # tables are as wide as where nobody looks
settings.register_profile("offline", deadline=None)
settings.load_profile("offline")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT_LEVEL, OUR_LEVEL = logging.getLogger().level, logging.getLogger("pipeline").level


@pytest.fixture(scope="session", autouse=True)
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Converted models go to a folder of this test run, never to the user's cache."""
    folder = tmp_path_factory.mktemp("model-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRID_PIPELINE_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands set the levels of loggers for their process, which here is the process of all tests."""
    root, ours = logging.getLogger(), logging.getLogger("pipeline")
    handlers = list(root.handlers)
    root.setLevel(ROOT_LEVEL)  # a fixture of a whole module may have run a command
    ours.setLevel(OUR_LEVEL)
    yield
    root.handlers[:] = handlers
