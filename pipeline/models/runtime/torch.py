"""Running a BERT-family encoder with torch, for CUDA and MPS (and as a second opinion on the CPU)."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.forking import ThreadsOf
from pipeline.models.files.weights import load_linear
from pipeline.models.runtime.batching import TokenBatch, fitting, out_of_memory
from pipeline.models.runtime.openvino import Outputs
from pipeline.models.runtime.quiet import quiet_libraries, reason
from pipeline.names import DENSE

THREADS = ThreadsOf("torch")


def best_device() -> str:
    """`cuda`, `mps` or `cpu`, found without importing torch."""
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        usable = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except OSError:
        return "cpu"
    return "cuda" if usable and count.value > 0 else "cpu"


def default_precision(device: str) -> str:
    """Name the precision that `TorchEncoder` chooses on a device; torch, which knows the card, is not imported."""
    kind = device.partition(":")[0]
    return {"cpu": "f32", "cuda": "bf16, or f16 on a card without it"}.get(kind, "f16")


def usable_device(device: str) -> Any:
    """The `torch.device`. Raises `EncoderError` if this installation, or this machine, has none of that name."""
    import torch

    kind, _, number = device.partition(":")
    if kind == "cuda":
        is_there = torch.cuda.is_available() and int(number or 0) < torch.cuda.device_count()
    else:
        is_there = kind != "mps" or torch.backends.mps.is_available()
    if not is_there:
        raise EncoderError(
            f"encoder.device={device}: this installation of torch cannot use it; set encoder.device: cpu"
        )
    return torch.device(device)


def dtype_of(device: Any, precision: str | None) -> Any:
    """The `torch.dtype` of a precision; by default bf16 on CUDA where the card has it, else f16, f32 on a CPU."""
    import torch

    if precision is None:
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = "f32" if device.type == "cpu" else "bf16" if has_bf16 else "f16"
    return {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[precision]


class TorchEncoder:
    """The same outputs as `openvino_runtime.OpenVinoEncoder`, computed by transformers on `device`.

    `precision`: `f32`, `bf16` or `f16`; by default bf16 on CUDA where the card has it, f16 on other GPUs, f32 on a
    CPU. Raises `EncoderError` if the device cannot be used or the model cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        outputs: Iterable[str],
        *,
        pooling: str,
        device: str,
        precision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        try:
            import torch
            from transformers import AutoModel
        except ImportError as error:
            raise MissingDependencyError(f"the torch runtime needs torch and transformers ({error})") from error
        self._torch, self._pooling, self._outputs = torch, pooling, frozenset(outputs)
        self._device = usable_device(device)
        dtype = dtype_of(self._device, precision)
        try:
            with quiet_libraries():
                model = AutoModel.from_pretrained(
                    str(folder),
                    dtype=dtype,
                    attn_implementation="sdpa",
                    add_pooling_layer=False,
                    trust_remote_code=trust_remote_code,
                )
        except Exception as error:  # transformers lets through whatever its own libraries raise
            raise EncoderError(f"{folder}: transformers cannot load this model: {reason(error)}") from error
        self._model = model.to(self._device).eval()
        self._most_tokens = sys.maxsize
        self._heads = {
            output: [torch.from_numpy(np.array(part)).to(self._device, dtype) for part in load_linear(folder, name)]
            for output, name in (("token_weights", "sparse_linear"), ("token_vectors", "colbert_linear"))
            if output in self._outputs
        }

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, Outputs]]:
        """Encode batches in order. A batch is handed to the device before the last one's results are awaited.

        Out of memory, the batch is halved and retried, and no later one is larger. Raises `EncoderError`, also in a
        forked child whose parent has encoded.
        """
        THREADS.needed()
        waiting: list[tuple[TokenBatch, dict[str, Any]]] = []
        for batch in batches:
            started = list(self._start(batch))
            yield from map(self._finish, waiting)
            waiting = started
        yield from map(self._finish, waiting)

    def _start(self, batch: TokenBatch) -> Iterator[tuple[TokenBatch, dict[str, Any]]]:
        for part in fitting(batch, self._most_tokens):
            try:
                results = self._forward(part)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise EncoderError(f"encoding failed on a batch of {part.ids.shape} tokens: {error}") from error
                if len(part.rows) == 1:
                    raise EncoderError(
                        f"a text of {part.ids.shape[1]} tokens does not fit on {self._device}; "
                        "lower encoder.max_tokens"
                    ) from error
            else:
                yield part, results
                continue
            self._most_tokens = min(self._most_tokens, part.ids.size // 2)
            if self._device.type == "cuda":
                self._torch.cuda.empty_cache()
            yield from self._start(part)

    def _forward(self, batch: TokenBatch) -> dict[str, Any]:
        torch, functional = self._torch, self._torch.nn.functional
        with torch.inference_mode():
            ids = torch.from_numpy(batch.ids.astype(np.int64)).to(self._device)
            mask = torch.from_numpy(batch.mask.astype(np.int64)).to(self._device)
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            results: dict[str, Any] = {}
            if DENSE in self._outputs and self._pooling == "cls":
                results[DENSE] = hidden[:, 0].float()
            elif DENSE in self._outputs:
                shares = mask.float() / mask.sum(dim=1, keepdim=True)
                results[DENSE] = (hidden.float() * shares[:, :, None]).sum(dim=1)
            if "token_weights" in self._outputs:
                weights = functional.linear(hidden, *self._heads["token_weights"])
                results["token_weights"] = torch.relu(weights)[:, :, 0].float()
            if "token_vectors" in self._outputs:
                results["token_vectors"] = functional.linear(hidden[:, 1:], *self._heads["token_vectors"]).float()
            return results

    def _finish(self, started: tuple[TokenBatch, dict[str, Any]]) -> tuple[TokenBatch, Outputs]:
        batch, results = started
        return batch, {name: value.cpu().numpy() for name, value in results.items()}
