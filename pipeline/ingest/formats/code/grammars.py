"""Languages by suffix, and their grammars, which are packages of the extra `code`."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

INSTALL = "pip install 'hybrid-pipeline[code]'"
_SUFFIXES = {
    "python": ".py .pyi",
    "javascript": ".js .jsx .mjs .cjs",
    "typescript": ".ts",
    "tsx": ".tsx",
    "java": ".java",
    "go": ".go",
    "rust": ".rs",
    "c": ".c .h",
    "cpp": ".cpp .cc .cxx .hpp .hh .hxx",
}
LANGUAGES = {suffix: language for language, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_CPP = re.compile(
    r"^[ \t]*(?:(?:class|struct)[ \t]+\w+(?:[ \t]+final)?[ \t]*:[^:]|class[ \t]+\w+[ \t]*(?:\{|$)"
    r"|(?:inline[ \t]+)?namespace(?:[ \t]+[\w:]+)?[ \t]*(?:\{|$)|template[ \t]*<"
    r"|using[ \t]+(?:namespace[ \t]|\w+[ \t]*=)|(?:public|private|protected)[ \t]*:)",
    re.MULTILINE,
)
"""What a header of C++ has."""
_FOR_C = re.compile(r'extern\s+"C"')
"""What makes a header of C one of C++, too."""

_DEFINITIONS = """
function_definition class_definition function_declaration generator_function_declaration class_declaration
abstract_class_declaration method_definition interface_declaration enum_declaration type_alias_declaration
method_declaration constructor_declaration compact_constructor_declaration record_declaration
annotation_type_declaration type_declaration function_item impl_item trait_item struct_item enum_item union_item
mod_item macro_definition class_specifier struct_specifier union_specifier enum_specifier namespace_definition
type_definition internal_module
"""
DEFINITIONS = frozenset(_DEFINITIONS.split())
"""What has a heading of its own."""
_CONTAINERS = """
class_definition class_declaration abstract_class_declaration interface_declaration enum_declaration
record_declaration impl_item trait_item mod_item class_specifier struct_specifier namespace_definition
internal_module
"""
CONTAINERS = frozenset(_CONTAINERS.split())
"""Definitions in which others are looked for."""
WRAPPERS = frozenset({"decorated_definition", "export_statement", "template_declaration", "expression_statement"})
"""What may stand around a definition and belongs to it."""
_TRANSPARENT = """
preproc_ifdef preproc_if preproc_else preproc_elif linkage_specification declaration_list enum_body_declarations
"""
TRANSPARENT = frozenset(_TRANSPARENT.split())
"""What definitions stand in as if it were not there."""


def language_of(suffix: str, text: str) -> str:
    """The language of a file of code; headers are of C or of C++."""
    is_cpp = suffix == ".h" and _CPP.search(text) is not None and _FOR_C.search(text) is None
    return "cpp" if is_cpp else LANGUAGES[suffix]


@cache
def parser(language: str) -> Any:
    """A parser of a language. Raises `ImportError` if its packages are not installed."""
    import tree_sitter

    package, dialect = ("typescript", f"_{language}") if language in ("typescript", "tsx") else (language, "")
    grammar = importlib.import_module(f"tree_sitter_{package}")
    return tree_sitter.Parser(tree_sitter.Language(getattr(grammar, f"language{dialect}")()))
