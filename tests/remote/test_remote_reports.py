"""Reports of published generations are found on other machines, and go with their generations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.errors import ObjectStoreError
from pipeline.remote import reports
from pipeline.remote.collect import collect
from pipeline.remote.layout import report_keys
from tests.remote.proxy import Proxy
from tests.remote.stores import Machine

Pair = tuple[Machine, Machine]


def names(machine: Machine) -> list[str]:
    objects = machine.remote.objects
    return [one.key for kind in ("reports/", "rejects/") for one in objects.list(kind)]


def test_a_report_is_found_on_another_machine(machines: Pair) -> None:
    builder, reader = machines
    (builder.folder / "documents/broken.jsonl").write_text("{")
    assert builder.build().generation == 1
    assert names(builder) == list(report_keys(1))
    for number in (None, 1):
        reports.fetch(reader.remote, number)
    for key in report_keys(1):
        assert (reader.copy / key).read_bytes() == (builder.copy / key).read_bytes()


def test_the_command_tells_it_on_another_machine(machines: Pair, tmp_path: Path) -> None:
    builder, reader = machines
    builder.build()
    settings = f"index: {builder.url}\nremote: {{cache_folder: {reader.settings.cache_folder}}}\n"
    (tmp_path / "config.yaml").write_text(settings)
    told = CliRunner().invoke(cli, ["--config", str(tmp_path / "config.yaml"), "report"])
    assert told.exit_code == 0, told.output
    assert str(reader.copy / "reports/00000001.html") in told.output.replace("\n", "")


def test_reports_go_with_their_generations(machines: Pair) -> None:
    builder, _ = machines
    builder.build()
    for name in ("one.md", "two.md"):
        builder.write(name, f"# {name}\n\nMore about {name}.")
        builder.build()
    assert names(builder) == [report_keys(number)[0] for number in (1, 2, 3)]
    for path in Path(builder.url.removeprefix("file://")).rglob("*"):
        os.utime(path, (path.stat().st_mtime - 1e6,) * 2)
    collect(builder.remote, retain=2)
    assert names(builder) == [report_keys(number)[0] for number in (2, 3)]


def test_a_report_that_cannot_be_uploaded_fails_no_build(
    tmp_path: Path, bucket_url: str, proxy: Proxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.remote.objects.RETRIES", 1)
    builder, reader = Machine(tmp_path / "a", bucket_url), Machine(tmp_path / "b", bucket_url)
    proxy.fail("refuse", "PUT", "/reports/", 1000)
    assert builder.build().generation == 1
    assert "what the build tells is only here" in caplog.text
    proxy.fail("refuse", "GET", "", 1000)
    reports.fetch(reader.remote)
    assert "going on with the reports that are here" in caplog.text


def test_a_list_that_is_too_long_stays_here(
    machines: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "LIMIT_BYTES", 10)
    builder, _ = machines
    builder.build()
    assert names(builder) == []
    assert "larger than 10 bytes" in caplog.text


def test_a_store_that_refuses_is_told(machines: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    builder, reader = machines
    builder.build()

    def refused(*given: object) -> bytes:
        raise ObjectStoreError("permission denied")

    monkeypatch.setattr("pipeline.remote.objects.Objects.read", refused)
    with pytest.raises(ObjectStoreError, match="permission denied"):
        reports.fetch(reader.remote)
