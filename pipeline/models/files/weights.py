"""Reading model weights with numpy alone: safetensors files, one or sharded, memory-mapped."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import EncoderError
from pipeline.models.runtime.quiet import reason
from pipeline.startup.installed import told_what_to_install

Array = npt.NDArray[np.generic]

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I8": "i1",
    "U8": "u1",
}


class SafeTensors(Mapping[str, Array]):
    """Tensors of one safetensors file by name; reading one touches only its pages. bfloat16 comes as float32.

    Raises `EncoderError` naming the file if it is not a whole safetensors file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            (length,) = struct.unpack("<Q", self._data[:8])
            self._start = 8 + length
            header = json.loads(self._data[8 : self._start])
            header.pop("__metadata__", None)
            self._entries: dict[str, tuple[str, list[int], int, int]] = {
                name: (_DTYPES[e["dtype"]], e["shape"], *e["data_offsets"])
                for name, e in header.items()
                if e["dtype"] in _DTYPES
            }
            self._bfloat16 = {name for name, e in header.items() if e["dtype"] == "BF16"}
            end = max((e["data_offsets"][1] for e in header.values()), default=0)
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise EncoderError(
                f"{path}: not a readable safetensors file: {error}; fetch the model again"
            ) from error
        if self._start + end > len(self._data):
            raise EncoderError(f"{path}: truncated safetensors file; fetch the model again")

    def __getitem__(self, name: str) -> Array:
        dtype, shape, start, end = self._entries[name]
        count = (end - start) // np.dtype(dtype).itemsize
        flat = np.frombuffer(self._data, dtype, count, self._start + start).reshape(shape)
        if name in self._bfloat16:
            return (flat.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return flat

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class ShardedTensors(Mapping[str, Array]):
    """Tensors spread over several safetensors files, as `model.safetensors.index.json` lists them."""

    def __init__(self, index: Path) -> None:
        try:
            self._shard_of: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
        except (OSError, ValueError, KeyError) as error:
            raise EncoderError(
                f"{index}: not a readable safetensors index: {error}; fetch the model again"
            ) from error
        self._shards = {name: SafeTensors(index.parent / name) for name in sorted(set(self._shard_of.values()))}

    def __getitem__(self, name: str) -> Array:
        return self._shards[self._shard_of[name]][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shard_of)

    def __len__(self) -> int:
        return len(self._shard_of)


def strip_prefix(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The same tensors without a leading `bert.`, `roberta.` or `model.` before `embeddings.` and `encoder.`."""
    for prefix in ("bert.", "roberta.", "model."):
        if f"{prefix}embeddings.word_embeddings.weight" in tensors:
            return {name.removeprefix(prefix): tensors[name] for name in tensors}
    return tensors


class TorchTensors(Mapping[str, Array]):
    """Tensors of a torch checkpoint (`.bin`, `.pt`), read with `weights_only=True`: no pickled code is ever run.

    Imports torch. Raises `EncoderError` if the file holds anything but tensors.
    """

    def __init__(self, *paths: Path) -> None:
        with told_what_to_install():
            import torch

        self._tensors: dict[str, Any] = {}
        for path in paths:
            try:
                self._tensors.update(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
            except Exception as error:  # pickle, zip and torch errors alike
                raise EncoderError(
                    f"{path}: not a plain torch checkpoint: {reason(error)}; use safetensors"
                ) from error

    def __getitem__(self, name: str) -> Array:
        array: Array = self._tensors[name].float().numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def load_tensors(folder: Path) -> Mapping[str, Array]:
    """A transformers model's weights: safetensors if there is any, else a torch checkpoint."""
    if (folder / "model.safetensors").exists():
        return SafeTensors(folder / "model.safetensors")
    if (folder / "model.safetensors.index.json").exists():
        return ShardedTensors(folder / "model.safetensors.index.json")
    if paths := sorted(folder.glob("pytorch_model*.bin")):
        return TorchTensors(*paths)
    raise EncoderError(f"{folder}: there is neither model.safetensors nor pytorch_model.bin in it")


def load_linear(folder: Path, name: str) -> tuple[Array, Array]:
    """Weight and bias of one linear layer kept as `name.safetensors` or `name.pt`. Raises `EncoderError`."""
    path = folder / f"{name}.safetensors"
    tensors: Mapping[str, Array] = SafeTensors(path) if path.exists() else TorchTensors(folder / f"{name}.pt")
    try:
        return tensors["weight"], tensors["bias"]
    except KeyError as error:
        raise EncoderError(f"{folder}/{name}: has no tensor {error.args[0]!r}; fetch the model again") from error
