"""Tries that are mapped, against dictionaries."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.models.tokens.trie import Trie, write_trie

PIECES = st.text("ab한\U0001f600\0", min_size=1, max_size=6).filter(lambda piece: not piece.endswith("\0"))


def written(texts: list[str], ids: list[int]) -> tuple[Trie, list[int]]:
    with tempfile.TemporaryDirectory() as name:
        nodes, count = write_trie(texts, np.array(ids), Path(name))
        trie = Trie(Path(name))
    assert len(trie) == count
    return trie, nodes.tolist()


@given(st.lists(PIECES, min_size=1), st.lists(st.text("ab한\U0001f600\0")))
@example(["a", "a"], ["a", ""])
@example(["\U0010ffff", "\uffff"], ["\U0010ffff"])
def test_a_trie_knows_its_pieces_and_no_others(texts: list[str], others: list[str]) -> None:
    trie, nodes = written(texts, list(range(100, 100 + len(texts))))
    known = {text: 100 + i for i, text in enumerate(texts)}  # of equal texts the last one counts
    for text in [*texts, *others]:
        assert trie.find(text) == known.get(text, -1)
    assert [trie.text(node) for node in nodes] == texts
    assert [trie.walk(text) for text in texts] == nodes


def test_a_step_leads_to_a_child_or_to_nowhere() -> None:
    trie, nodes = written(["ab", "b"], [7, 8])
    a = trie.step(0, ord("a"))
    assert trie.pieces[a] == -1
    assert trie.step(a, ord("b")) == nodes[0]
    assert (trie.step(a, ord("a")), trie.step(0, ord("z")), trie.step(nodes[1], ord("b"))) == (0, 0, 0)


@pytest.mark.parametrize("name", ["trie-points.npy", "trie-first.npy", "trie-pieces.npy"])
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, name: str) -> None:
    write_trie(["ab", "b"], np.array([0, 1]), tmp_path)
    np.save(tmp_path / name, np.zeros(9, np.int32))
    with pytest.raises(ValueError, match="do not fit together"):
        Trie(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(OSError):
        Trie(tmp_path)
