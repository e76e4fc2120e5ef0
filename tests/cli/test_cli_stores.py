"""Commands on an index in an object store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.collection import write_documents
from tests.support.command_line import refused, run


def hits(folder: Path, *options: str) -> object:
    return json.loads(run(folder, "query", "--json", *options, "how are ranks fused?").stdout)["hits"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text(
        f"index: file://{tmp_path}/store/handbook\n"
        "sources: [{path: documents}]\n"
        "encoder: {model: none}\n"
        "remote: {cache_folder: copies, keep_hours: 0.0}\n"
        "retain: 2\n"
    )
    return tmp_path


def test_every_command_takes_an_address(folder: Path) -> None:
    url = f"file://{folder}/store/handbook"
    refused(folder, "query", "ranks", code=1, says="there is no such folder")
    assert run(folder, "build", "--dry-run").exit_code == 0
    assert run(folder, "build").exit_code == 0
    assert run(folder, "build").exit_code == 4
    found = hits(folder)
    assert found == hits(folder, "--index", url)
    assert json.loads(run(folder, "status", "--json").stdout)["index"] == url
    write_documents(folder / "documents", {"en/new.md": "# New\n\nPlums."})
    assert run(folder, "build", "--dry-run").exit_code == 0
    assert run(folder, "ingest").exit_code == 0
    assert json.loads(run(folder, "status", "--json").stdout)["generation"] == 1
    assert run(folder, "encode").exit_code == 0
    assert run(folder, "rollback").exit_code == 0
    listed = run(folder, "generations", "--json", "--index", url).stdout.splitlines()
    assert [json.loads(line)["generation"] for line in listed] == [3, 2, 1]
    assert found == hits(folder)
    assert "generation 3 is sound" in run(folder, "verify", "--deep").stdout
    assert "nothing to repair: generation 3" in run(folder, "repair").stdout
    assert "generations left: [3]" in run(folder, "gc", "--retain", "1").stdout
    assert run(folder, "report").exit_code == 0
    assert run(folder, "export", "--index", url, str(folder / "export")).exit_code == 0
    other = f"file://{folder}/store/other"
    assert run(folder, "import", str(folder / "export"), other).exit_code == 0
    assert found == hits(folder, "--index", other)
    assert run(folder, "import", str(folder / "export"), other).exit_code == 4
    assert run(folder, "compact", "--index", other).exit_code == 4


def test_what_is_wrong_in_the_store_is_named(folder: Path) -> None:
    assert run(folder, "build").exit_code == 0
    (rows,) = (folder / "store").rglob("rows.bin")
    rows.unlink()
    result = run(folder, "verify")
    assert result.exit_code == 1
    assert "rows.bin: is missing in the store" in result.stdout
    assert "1 object written again to the store" in run(folder, "repair").stdout
    assert run(folder, "verify", "--deep").exit_code == 0


def test_an_address_that_cannot_be_used_is_refused(folder: Path) -> None:
    refused(folder, "query", "--index", "ftp://host/a", "x", code=2, says="ftp:// is no object store")
    refused(folder, "status", "--index", "s3://key:secret@bucket/a", code=2, says="neither credentials nor options")
    refused(folder, "generations", "--index", f"file://{folder}", code=1, says="no index here")
