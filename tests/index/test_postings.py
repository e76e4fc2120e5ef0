"""Inversion: every weight stands once in the posting list of its token, in chunk order, whatever the blocks are."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.index.lexical import postings
from pipeline.records import SparseRows

rows_of_weights = st.lists(
    st.dictionaries(st.sampled_from([0, 1, 7, 2**40, 2**64 - 1]), st.sampled_from([0.25, 1.0, 3.5]), max_size=5),
    min_size=1,
    max_size=20,
)


@given(rows=rows_of_weights, cuts=st.lists(st.integers(0, 20), max_size=4), tile=st.integers(1, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_postings_are_the_rows_by_token(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[int, float]], cuts: list[int], tile: int
) -> None:
    folder = tmp_path_factory.mktemp("postings")
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "TILE_CHUNKS", tile)
        postings.write(folder, (SparseRows.from_dicts(rows[start:end]) for start, end in itertools.pairwise(edges)))
    batches = pa.ipc.open_file(pa.OSFile(str(folder / postings.POSTINGS_FILE))).read_all().to_batches()
    found = {}
    for number, batch in enumerate(batches):
        tokens = batch.column("token_id").to_pylist()
        assert tokens == sorted(set(tokens))
        for token, chunks, weights in zip(
            tokens, batch.column("chunks").to_pylist(), batch.column("weights").to_pylist(), strict=True
        ):
            assert chunks == sorted(chunks)
            found |= {(token, number * tile + c): w for c, w in zip(chunks, weights, strict=True)}
    assert found == {(token, i): weight for i, row in enumerate(rows) for token, weight in row.items()}
    lengths = np.load(folder / postings.LENGTHS_FILE)
    assert lengths.tolist() == [sum(row.values()) for row in rows]
