"""How often the gate without labels raises a false alarm, and which broken nights it finds.

Usage: python bench/nights.py [--nights 200] [--minutes M] [--no-faults] [--model] [--seed 0]. Passages of the
handbook, in English and Korean, are edited at random and built night after night: documents come, go and change,
the collection halves and doubles, lots of one template, of names, of code or of one language arrive, and some
nights build from scratch. No night begins later than `--minutes`. Then ten faults are injected into a healthy
index, a build each. The dense side is made of hashed trigrams, unless `--model` takes the default model. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from pipeline.config import Bm25Settings, Config, EncoderSettings, parse_config
from pipeline.errors import GateRefusedError, PipelineError
from pipeline.job.build import build
from pipeline.job.report.record import load
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder, load_encoder
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Encoded, Fingerprint, Float32, SparseRows

ROOT = Path(__file__).resolve().parent.parent
DIMENSION = 256
Texts = dict[str, str]


class Trigrams:
    """Dense only: the sum of random vectors for every three letters, by the root of how often they occur."""

    lexical_fingerprint = None
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("numpy", "cpu", "f32")
    dimension = DIMENSION
    dense_fingerprint = Fingerprint.of(kind="trigrams", dimension=DIMENSION)

    def __init__(self, seed: int = 0) -> None:
        self._table = np.random.default_rng(seed).standard_normal((65_536, DIMENSION), np.float32)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """The texts' vectors."""
        return Encoded(
            dense=np.stack([self._vector(text) for text in texts])
            if texts
            else np.zeros((0, DIMENSION), np.float32)
        )

    encode_queries = encode_documents

    def _vector(self, text: str) -> Float32:
        words = re.findall(r"\w+", text.casefold())
        plain = f" {' '.join(words)} "
        grams = [
            xxhash.xxh3_64_intdigest(plain[i : i + 3].encode()) % 65_536 for i in range(max(len(plain) - 2, 1))
        ]
        ids, counts = np.unique(grams, return_counts=True)
        row = self._table[ids].T @ np.sqrt(counts).astype(np.float32)
        return np.asarray(row / (np.linalg.norm(row) or 1.0), np.float32)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """There are none."""
        return {}


class Changed:
    """One side of an encoder, what it gives changed: a fault."""

    def __init__(
        self, side: Any, documents: Callable[..., Encoded] | None, queries: Callable[..., Encoded] | None
    ) -> None:
        self._side, self._documents, self._queries = side, documents, queries

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """What the side gives, or what the fault makes of it."""
        return self._documents(self._side, texts) if self._documents else self._side.encode_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """What the side gives, or what the fault makes of it."""
        return self._queries(self._side, texts) if self._queries else self._side.encode_queries(texts)


def passages() -> Texts:
    """The paragraphs of the handbook, three together, in both languages."""
    found: Texts = {}
    for language in ("en", "ko"):
        for page in sorted((ROOT / "data/handbook" / language).glob("*.md")):
            parts = [part for part in re.split(r"\n\s*\n", page.read_text("utf-8")) if len(part.split()) > 3]
            for i in range(0, len(parts), 2):
                found[f"{language}/{page.stem}-{i:03d}"] = "\n\n".join(parts[i : i + 2])
    return found


class Collection:
    """A collection that changes from night to night. `texts`: what it holds now."""

    def __init__(self, pool: Texts, rng: random.Random) -> None:
        self._pool, self._rng, self._made = pool, rng, 0
        self.texts = dict(rng.sample(sorted(pool.items()), len(pool) // 2))

    def night(self) -> str:
        """Change it as a night may; returns what happened."""
        rng = self._rng
        kind = rng.choice(("few", "few", "few", "many", "grow", "shrink", "template", "names", "code", "language"))
        self.edit(0.02 if kind == "few" else 0.2)
        match kind:
            case "grow":
                self._add(min(len(self.texts), 300))
            case "shrink":
                self._drop(int(len(self.texts) * rng.uniform(0.1, 0.45)))
            case "many":
                self._add(len(self.texts) // 5)
                self._drop(len(self.texts) // 5)
            case "template":
                self._put(
                    "Report of day {n}. All systems were checked and no trouble was found at {n} o'clock. "
                    "The next report follows tomorrow, as always, number {n}."
                )
            case "names":
                self._put("Part {n}-{w}")
            case "code":
                self._put(
                    "def {w}_{n}(self, {w}: int) -> None:\n    self.{w}[{n}] = {w} + {n}\n    return {w}({n})\n" * 2
                )
            case "language":
                self._add(40, rng.choice(("en/", "ko/")))
            case _:
                self._add(max(len(self.texts) // 50, 1))
                self._drop(len(self.texts) // 50)
        if len(self.texts) < 200:
            self._add(150)
        if len(self.texts) > 900:
            self._drop(int(len(self.texts) * 0.4))
        return kind

    def edit(self, share: float) -> None:
        """Change some words of this share of the texts."""
        for name in self._rng.sample(sorted(self.texts), int(share * len(self.texts))):
            words = self.texts[name].split(" ")
            for _ in range(max(len(words) // 10, 1)):
                words[self._rng.randrange(len(words))] = self._rng.choice(words)
            self.texts[name] = " ".join(words)

    def _add(self, count: int, prefix: str = "") -> None:
        names = [name for name in sorted(self._pool) if name.startswith(prefix)]
        for name in self._rng.choices(names, k=count):
            self._made += 1
            words = self._pool[name].split(" ")
            start = self._rng.randrange(max(len(words) // 2, 1))
            self.texts[f"{name}-{self._made}"] = " ".join(words[start : start + self._rng.randint(30, 120)])

    def _drop(self, count: int) -> None:
        for name in self._rng.sample(sorted(self.texts), min(count, len(self.texts) - 1)):
            del self.texts[name]

    def _put(self, template: str) -> None:
        words = ("river", "stone", "lamp", "chair", "cloud", "bread", "window", "garden", "letter", "music")
        for _ in range(self._rng.randint(20, 60)):
            self._made += 1
            self.texts[f"new/{self._made}"] = template.format(
                n=self._rng.randrange(10**6), w=self._rng.choice(words)
            )


def write(folder: Path, texts: Texts) -> None:
    """Make the sources hold these texts: a JSONL file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"_id": name, "text": text}, ensure_ascii=False) for name, text in sorted(texts.items()))
    (folder / "texts.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def rows(edit: Callable[[dict[int, float]], dict[int, float]], lexical: SparseRows) -> SparseRows:
    """The rows of a matrix, each changed."""
    return SparseRows.from_dicts(
        [edit(dict(zip(*(part.tolist() for part in lexical.row(i)), strict=True))) for i in range(len(lexical))]
    )


def lexical_fault(
    text: Callable[[str], str] | None = None, edit: Callable[[dict[int, float]], dict[int, float]] | None = None
) -> Callable[[Any], Any]:
    """A lexical side that reads other texts than it is given, or gives other tokens."""

    def fault(side: Any) -> Any:
        def call(name: str) -> Callable[..., Encoded]:
            def encoded(own: Any, texts: Sequence[str]) -> Encoded:
                found = getattr(own, name)([text(one) for one in texts] if text else texts)
                return Encoded(lexical=rows(edit, found.lexical) if edit else found.lexical)

            return encoded

        return Changed(side, call("encode_documents"), call("encode_queries"))

    return fault


def dense_fault(
    documents: Callable[..., Encoded], queries: Callable[..., Encoded] | None = None
) -> Callable[[Any], Any]:
    """A dense side whose documents, or queries too, come out wrong."""
    return lambda side: Changed(side, documents, queries)


def noise(side: Any, texts: Sequence[str]) -> Encoded:
    """A random vector for every text."""
    found = np.random.default_rng(len(texts)).standard_normal((len(texts), side.dimension), np.float32)
    return Encoded(dense=found / np.linalg.norm(found, axis=1, keepdims=True))


def another(side: Any, texts: Sequence[str]) -> Encoded:
    """The vectors of another model: these, turned by a fixed rotation."""
    turn, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((side.dimension, side.dimension)))
    return Encoded(dense=np.asarray(side.encode_documents(texts).dense @ turn, np.float32))


def alike(side: Any, texts: Sequence[str]) -> Encoded:
    """One vector for all."""
    found = side.encode_documents(["alike"]).dense
    return Encoded(dense=np.repeat(found, len(texts), axis=0))


def shuffled(side: Any, texts: Sequence[str]) -> Encoded:
    """The right vectors in the wrong rows."""
    return Encoded(dense=np.roll(side.encode_documents(texts).dense, 1, axis=0))


def cut_short(side: Any, texts: Sequence[str]) -> Encoded:
    """Of every text only the first word."""
    found: Encoded = side.encode_documents([text.split()[0][:3] if text.split() else text for text in texts])
    return found


def no_hangul(text: str) -> str:
    return re.sub(r"[\uac00-\ud7a3]+", " ", text)


FAULTS: dict[str, tuple[str, Any, bool]] = {
    # name: (side, fault, whether the build is a full one); texts: what becomes of each text
    "tokenizer drops Hangul": ("lexical", lexical_fault(text=no_hangul), False),
    "token ids shifted": (
        "lexical",
        lexical_fault(edit=lambda row: {token ^ 1: w for token, w in row.items()}),
        False,
    ),
    "one token for every text": ("lexical", lexical_fault(edit=lambda row: {7: 1.0}), True),
    "another model behind the same name": ("dense", dense_fault(another, another), False),
    "random vectors": ("dense", dense_fault(noise), True),
    "one vector for all": ("dense", dense_fault(alike), True),
    "vectors in the wrong rows": ("dense", dense_fault(shuffled), False),
    "only the first letters encoded": ("dense", dense_fault(cut_short), True),
    "text column holds names only": ("texts", lambda text: text.split()[0], False),
    "the same page instead of every text": (
        "texts",
        lambda text: "Please enable scripts in your browser to read this page, or ask the operator.",
        False,
    ),
}


def encoder(side: str = "", fault: Any = None, dense: Any = None) -> MixedEncoder:
    """Trigrams, or the dense side given, and BM25, one of them broken."""
    sides = {"dense": dense or Trigrams(), "lexical": Bm25Encoder(Bm25Settings())}
    if side in sides:
        sides[side] = fault(sides[side])
    return MixedEncoder(sides["dense"], sides["lexical"])


def config_of(folder: Path) -> Config:
    """The index of a folder, with small segments; nothing but known items and the default shares is judged."""
    return parse_config(
        {
            "index": "index",
            "sources": [{"path": "documents", "id_field": "_id"}],
            "max_delete_ratio": 1.0,
            "chunking": {"max_tokens": 256, "overlap_tokens": 0},
        },
        base=folder,
    )


def honest(folder: Path, nights: int, seconds: float, seed: int, dense: Any) -> dict[str, Any]:
    """Build night after night, none later than `seconds`; returns what was refused, and how low a share came."""
    ending = time.monotonic() + seconds
    rng = random.Random(seed)
    collection = Collection(passages(), rng)
    refused: list[str] = []
    least: list[tuple[float, str, str]] = []
    kinds: dict[str, int] = {}
    built = 0
    for night in range(nights + 1):
        if time.monotonic() > ending:
            break
        what = collection.night() if night else "first"
        write(folder / "documents", collection.texts)
        full = rng.random() < 0.1
        try:
            report = build(config_of(folder), encoder=encoder(dense=dense), full=full)
        except GateRefusedError as error:
            refused.append(f"night {night}, {what}: {error}")
            break
        if not report.published:
            continue
        built += 1
        kinds[what] = kinds.get(what, 0) + 1
        known = load(folder / "index").known_items
        least += [(one.now / one.before, one.name, what) for one in known if one.before]
        if night % 10 == 0:
            print(f"night {night}: {report.chunks} chunks, lowest {min(least)[:2] if least else ''}", flush=True)
    lowest = sorted(least)[:10]
    return {"nights": built - 1, "refused": refused, "comparisons": len(least), "lowest": lowest, "kinds": kinds}


def broken(folder: Path, seed: int, dense: Any) -> dict[str, str]:
    """What the gate says to each fault; "" where it publishes it."""
    said = {}
    healthy = folder / "healthy"
    collection = Collection(passages(), random.Random(seed))
    write(healthy / "documents", collection.texts)
    build(config_of(healthy), encoder=encoder(dense=dense))
    collection.edit(0.15)
    for name, (side, fault, full) in FAULTS.items():
        here = folder / "broken"
        shutil.copytree(healthy, here)
        write(
            here / "documents",
            {key: fault(text) if side == "texts" else text for key, text in collection.texts.items()},
        )
        try:
            build(config_of(here), encoder=encoder(side, fault, dense), full=full)
            said[name] = ""
        except PipelineError as error:
            said[name] = str(error).split(": ", 2)[-1].split("; it stays")[0]
        print(f"{name}: {said[name] or 'NOT FOUND'}", flush=True)
        shutil.rmtree(here)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--no-faults", action="store_true")
    options = parser.parse_args()
    dense = load_encoder(EncoderSettings(lexical="none")) if options.model else None
    started = time.process_time()
    with tempfile.TemporaryDirectory(prefix="nights-") as name:
        result = honest(Path(name), options.nights, options.minutes * 60, options.seed, dense)
    with tempfile.TemporaryDirectory(prefix="nights-") as name:
        said = {} if options.no_faults else broken(Path(name), options.seed, dense)
    print(
        json.dumps(
            {
                **result,
                "faults": len(said),
                "found": sum(map(bool, said.values())),
                "said": said,
                "cpu_seconds": round(time.process_time() - started, 1),
            },
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    main()
