"""The layers of the design, held: imports go downward only, and each heavy library has one room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import pipeline
from tests.support import shape

ROOT = Path(pipeline.__file__).parent
LAYERS = [
    {"names", "given"},
    {"records", "errors", "interruption", "progress", "wording", "__init__", "__main__"},
    {"arguments", "arrays", "forking", "startup"},
    {"combining", "openness"},
    {"config"},
    {"index", "models"},
    {"remote"},
    {"ingest", "encode", "query"},
    {"evaluate", "transfer"},
    {"job"},
    {"integrations"},
    {"render"},
    {"serve"},
    {"cli"},
]
ROOMS = {
    "faiss": {"index/dense/search.py"},
    "torch": {"models"},
    "transformers": {"models"},
    "sentence_transformers": {"models"},
    "FlagEmbedding": {"models"},
    "openvino": {"models"},
    "httpx2": {"models", "integrations/service.py", "ingest/fetching/web/client.py"},
    "protego": {"ingest/fetching/web/robots.py"},
    "langchain_core": {"integrations/langchain.py"},
    "llama_index": {"integrations/llama_index.py"},
    "haystack": {"integrations/haystack.py"},
    "mcp": {"integrations/mcp.py", "integrations/agents/server.py", "integrations/agents/pipes.py"},
    "mcp_types": {"integrations/mcp.py", "integrations/agents/server.py", "integrations/agents/pipes.py"},
    "click": {"cli"},
    "obstore": {"remote/objects.py"},
    "duckdb": {"query/filter/engine.py", "ingest/fetching/sql/databases.py"},
    "adbc_driver_manager": {"ingest/fetching/sql/databases.py"},
    "adbc_driver_postgresql": {"ingest/fetching/sql/databases.py"},
    "numba": {"index/lexical/kernel.py", "models/tokens/kernel.py"},
    "tqdm": {"cli"},
    "starlette": {"serve", "integrations/mcp.py"},
    "uvicorn": {"serve/server.py"},
    "prometheus_client": {"serve/metrics.py"},
    "jinja2": {"serve/page/templating.py"},
    "ir_measures": {"evaluate"},
    "kiwipiepy": {"models/bm25/korean_morphemes.py"},
    "py3langid": {"models/bm25/detection.py"},
    "seismic": {"index/lexical/seismic.py"},
    "matplotlib": {"evaluate/plot.py"},
    "pypdfium2": {"ingest/formats/pdf"},
    "rapidocr": {"ingest/formats/ocr/recogniser.py"},
    "tesserocr": {"ingest/formats/ocr/recogniser.py"},
    "cv2": {"ingest/formats/ocr/recogniser.py"},
    "PIL": {"ingest/formats/ocr/images.py"},
    "olefile": {"ingest/formats/hwp", "ingest/formats/mail"},
    "ray": {"job/cluster/on_ray.py"},
    "oxmsg": {"ingest/formats/mail/outlook.py"},
    "tree_sitter": {"ingest/formats/code/grammars.py"},
    "pickle": set(),
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path, runtime_only: bool = True) -> set[str]:
    """Dotted names that a module imports, those under `if TYPE_CHECKING` left out."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and runtime_only and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return names


def test_no_modules_import_each_other() -> None:
    assert shape.circles(shape.import_graph()) == []


def test_circles_are_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert shape.circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_folders_are_small_and_their_files_have_names_of_their_own() -> None:
    folders = Counter(path.parent for path in modules() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in folders.items() if count > 13} == {}
    assert [str(path) for path in modules() if path.stem == path.parent.name] == []


def layer_of(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    for name in imports(path):
        parts = name.split(".")
        if (
            parts[0] != "pipeline"
            or len(parts) < 2
            or not ((ROOT / parts[1]).exists() or (ROOT / f"{parts[1]}.py").exists())
        ):
            continue
        if parts[1] != here:
            assert layer_of(parts[1]) < layer_of(here), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    here = path.relative_to(ROOT).as_posix()
    for name in imports(path, runtime_only=False):
        rooms = ROOMS.get(name.split(".")[0])
        if rooms is not None:
            assert any(here == allowed or here.startswith(f"{allowed}/") for allowed in rooms), f"{here}: {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_files_module_renames_links_and_syncs(path: Path) -> None:
    if path == ROOT / "index/files.py" or room(path) == "models":  # models own a cache outside every index
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"rename", "link", "fsync", "symlink_to", "hardlink_to"}, ast.unparse(node)


def test_public_surface() -> None:
    assert sorted(pipeline.__all__) == [
        "BuildReport",
        "Config",
        "Hit",
        "Index",
        "LegScore",
        "PipelineError",
        "SearchRequest",
        "build",
        "load_config",
        "open_index",
        "parse_config",
    ]
    for name in pipeline.__all__:
        assert getattr(pipeline, name) is not None
    assert (ROOT / "py.typed").exists()


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import pipeline", {"numpy", "pydantic", "click", "faiss", "torch"}),
        (
            "from pipeline.cli import cli\ntry: cli(['--help'])\nexcept SystemExit: pass",
            {"numpy", "pydantic", "faiss", "torch", "transformers"},
        ),
        ("import pipeline.query.searcher", {"pyarrow.compute", "pandas", "duckdb", "torch"}),
    ],
)
def test_starting_up_is_cheap(statement: str, absent: set[str]) -> None:
    script = f"{statement}\nimport sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not absent & set(loaded)
