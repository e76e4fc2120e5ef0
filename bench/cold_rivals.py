"""The scripts that `bench/cold_start.py` measures itself against.

Arguments: the index's folder, the model, the query, and for a filter a language and the first year.
"""

_FIRST = """
import sys
from pathlib import Path
import faiss, pyarrow.parquet as pq
index, texts = None, []
for folder in sorted(Path(sys.argv[1], "segments").iterdir()):
    part = faiss.read_index(str(folder / "dense.faiss"))
    if index is None:
        index = part
    else:
        index.merge_from(part, 0)
    columns = ["chunk_id", "text"] + (["metadata"] if len(sys.argv) > 4 else [])
    texts += pq.read_table(str(folder / "chunks.parquet"), columns=columns).to_pylist()
"""
_LAST = """
parameters = None
if len(sys.argv) > 4:
    import json
    facts = [json.loads(text["metadata"]) for text in texts]
    kept = [i for i, fact in enumerate(facts) if fact["lang"] == sys.argv[4] and fact["year"] >= int(sys.argv[5])]
    parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(np.array(kept)))
scores, rows = index.search(np.asarray(vectors, np.float32), 10, params=parameters)
for score, row in zip(scores[0], rows[0]):
    if row >= 0:
        print(score, texts[row]["chunk_id"])
"""
SENTENCE_TRANSFORMERS = f"""{_FIRST}
import numpy as np
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[2], device="cpu")
vectors = model.encode([sys.argv[3]], normalize_embeddings=True)
{_LAST}"""
FLAG_EMBEDDING = f"""{_FIRST}
import numpy as np
from FlagEmbedding import BGEM3FlagModel
model = BGEM3FlagModel(sys.argv[2], use_fp16=False, devices=["cpu"])
vectors = model.encode([sys.argv[3]], return_dense=True, return_sparse=True)["dense_vecs"]
{_LAST}"""
