"""The scripts that `bench/cold_start.py` measures itself against.

Arguments: the index's folder, the model, the query, and for a filter a language and the first year.
"""

_FIRST = """
import json, sys
from pathlib import Path
import faiss, numpy as np, pyarrow.parquet as pq
filtered = len(sys.argv) > 4
parts = []
for folder in Path(sys.argv[1], "segments").iterdir():
    columns = ["chunk_id", "text"] + (["metadata"] if filtered else [])
    texts = pq.read_table(str(folder / "chunks.parquet"), columns=columns).to_pylist()
    parts.append((faiss.read_index(str(folder / "dense.faiss")), texts))
"""
_LAST = """
vectors, found = np.asarray(vectors, np.float32), []
for index, texts in parts:
    kept = None
    if filtered:
        facts = [json.loads(text["metadata"]) for text in texts]
        kept = [i for i, one in enumerate(facts) if one["lang"] == sys.argv[4] and one["year"] >= int(sys.argv[5])]
        kept = faiss.IDSelectorBatch(np.array(kept))
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF(sel=kept, nprobe=16)
    else:
        parameters = faiss.SearchParameters(sel=kept)
    scores, rows = index.search(vectors, 10, params=parameters)
    found += [(score, texts[row]["chunk_id"]) for score, row in zip(scores[0], rows[0]) if row >= 0]
for score, chunk_id in sorted(found, reverse=True)[:10]:
    print(score, chunk_id)
"""
SENTENCE_TRANSFORMERS = f"""{_FIRST}
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[2], device="cpu")
vectors = model.encode([sys.argv[3]], normalize_embeddings=True)
{_LAST}"""
FLAG_EMBEDDING = f"""{_FIRST}
from FlagEmbedding import BGEM3FlagModel
model = BGEM3FlagModel(sys.argv[2], use_fp16=False, devices=["cpu"])
vectors = model.encode([sys.argv[3]], return_dense=True, return_sparse=True)["dense_vecs"]
{_LAST}"""
