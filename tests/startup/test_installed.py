"""A package that is missing is told in one line; a mistake of our own is not called one."""

from __future__ import annotations

import importlib

import pytest

from pipeline.errors import MissingDependencyError
from pipeline.startup.installed import missing, told_what_to_install


@pytest.mark.parametrize(
    ("module", "package"),
    [("faiss", "faiss-cpu"), ("yaml.reader", "PyYAML"), ("duckdb", "duckdb"), ("Stemmer", "PyStemmer")],
)
def test_a_missing_package_is_named_as_pip_knows_it(module: str, package: str) -> None:
    told = pytest.raises(MissingDependencyError, match=f"{package} is not installed.*pip install {package}$")
    with told, told_what_to_install():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


@pytest.mark.parametrize("module", ["pipeline.no_such_module", "json.no_such_module"])
def test_what_no_package_brings_is_raised_as_it_is(module: str) -> None:
    with pytest.raises(ModuleNotFoundError), told_what_to_install():
        importlib.import_module(module)


def test_a_package_that_is_broken_is_not_called_missing() -> None:
    assert missing(ImportError("cannot import name 'x' from 'numpy'", name="numpy")) is None
    assert missing(ModuleNotFoundError("no name")) is None
