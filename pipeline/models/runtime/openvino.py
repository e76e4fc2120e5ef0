"""Running a converted encoder on the CPU with OpenVINO: compiled once per mode, several requests in flight."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.errors import ConfigError, EncoderError
from pipeline.forking import ThreadsOf
from pipeline.models.files import cache
from pipeline.models.runtime.batching import TokenBatch, fitting, out_of_memory
from pipeline.models.runtime.embeddings import Embeddings
from pipeline.models.runtime.openvino_import import core, openvino

Mode = Literal["throughput", "latency"]
Outputs = Mapping[str, npt.NDArray[np.float32]]

MODEL_FILE, WEIGHTS_FILE = "model.xml", "model.bin"
THREADS = ThreadsOf("OpenVINO")
CPU_DESCRIPTION = Path("/proc/cpuinfo")


def cpu_precision() -> Literal["bf16", "f32"]:
    """bf16 where it is faster than f32: in matrix units (AMX), and on AMD's cores with AVX512-BF16.

    Intel's cores with AVX512-BF16 but no AMX encode slower in bf16 (docs/benchmarks.md has both measured).
    """
    try:
        described = CPU_DESCRIPTION.read_text()
    except OSError:  # no Linux
        return "f32"
    fast = " amx_bf16 " in described or (" avx512_bf16 " in described and "AuthenticAMD" in described)
    return "bf16" if fast else "f32"


@functools.cache
def cpu_capabilities() -> frozenset[str]:
    """The arithmetic that OpenVINO has on this CPU, in its own words: `FP32`, `BF16`, `FP16`, …"""
    return frozenset(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def usable_precision(precision: str | None) -> str:
    """What the CPU computes in when told `precision`: the best where nothing is told, f32 on a CPU without bf16."""
    if precision == "bf16" and "BF16" not in cpu_capabilities():
        return "f32"  # more exact than was asked for: a configuration with bf16 holds on a query host without it
    return precision or cpu_precision()


def layers_in(precision: str | None) -> Literal["f32", "bf16"]:
    """In what a graph should keep the matrices of its layers that is to compute in `precision`."""
    return "bf16" if usable_precision(precision) == "bf16" else "f32"


def refuse_precision(precision: str | None, key: str) -> None:
    """Raise `ConfigError` for f16 on a CPU without it, where OpenVINO would compute in bf16 or f32 instead."""
    if precision == "f16" and "FP16" not in cpu_capabilities():
        raise ConfigError(f"{key}: this CPU does not compute in f16; set auto, f32 or bf16")


def save_graph(model: Any, embeddings: Embeddings, folder: Path) -> None:
    """Write a graph and its embeddings where `OpenVinoEncoder` finds them; weights stay as they are."""
    openvino().save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)
    embeddings.save(folder)


class OpenVinoEncoder:
    """A compiled graph of `graph.build_graph` and its embeddings.

    `throughput` keeps several requests in flight, for builds; `latency` gives one request all cores, for queries.
    `outputs`: heads to compute; the others are cut off before compiling. Raises `EncoderError` if the folder's
    files cannot be loaded.
    """

    def __init__(self, folder: Path, mode: Mode, outputs: Iterable[str], precision: str | None = None) -> None:
        try:
            self._embeddings = Embeddings.open(folder)
            self._compiled = _compile(folder, mode, frozenset(outputs), usable_precision(precision))
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise EncoderError(
                f"{folder}: the converted model cannot be loaded: {reason}; delete that folder"
            ) from error
        self._names = [output.get_any_name() for output in self._compiled.outputs]
        in_flight = 1
        if mode == "throughput":
            in_flight = 1 + int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._most_tokens = sys.maxsize
        self._requests = [self._compiled.create_infer_request() for _ in range(in_flight)]

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, Outputs]]:
        """Encode batches; results come in the order of the batches, with a few of them computed ahead.

        The next batches are drawn while earlier ones are computed. Out of memory, the batch is halved and retried,
        and no later one is larger. Raises `EncoderError`, also in a forked child whose parent has encoded.
        """
        THREADS.needed()
        free = list(self._requests)
        running: deque[tuple[TokenBatch, Any, Any]] = deque()
        try:
            for batch in (part for whole in batches for part in fitting(whole, self._most_tokens)):
                if not free:
                    done = running.popleft()
                    free.append(done[1])
                    yield from self._finish(*done)
                request = free.pop()
                inputs = self._inputs(batch)
                request.start_async(inputs, share_inputs=True)
                running.append((batch, request, inputs))
            while running:
                yield from self._finish(*running.popleft())
        finally:
            for _, request, _ in running:
                with contextlib.suppress(RuntimeError, MemoryError):  # the error that led here is the one to tell
                    request.wait()

    def _inputs(self, batch: TokenBatch) -> dict[str, Any]:
        return {"embeddings": self._embeddings(batch.ids), "mask": batch.mask}

    def _finish(self, batch: TokenBatch, request: Any, _inputs: Any) -> Iterator[tuple[TokenBatch, Outputs]]:
        try:
            request.wait()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or len(batch.rows) == 1:
                raise EncoderError(f"encoding failed on a batch of {batch.ids.shape} tokens: {error}") from error
        else:
            yield batch, {name: request.get_tensor(name).data.copy() for name in self._names}
            return
        self._most_tokens = min(self._most_tokens, batch.ids.size // 2)
        for part in fitting(batch, self._most_tokens):
            inputs = self._inputs(part)
            request.start_async(inputs, share_inputs=True)
            yield from self._finish(part, request, inputs)


def _compile(folder: Path, mode: Mode, outputs: frozenset[str], precision: str) -> Any:
    ov, cpu = openvino(), core()
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": mode.upper(),
        "CACHE_MODE": "OPTIMIZE_SIZE",
    }
    machine = [cpu.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    key = repr((ov.__version__, sorted(settings.items()), sorted(outputs), machine))
    blob_path = folder / "compiled" / f"{mode}-{xxhash.xxh3_64_hexdigest(key.encode())}.blob"
    # The blob holds the optimised graph and refers to the weights file: small, and the weights stay memory-mapped.
    if (blob := cache.read_blob(blob_path)) is not None:
        try:
            return cpu.import_model(blob, "CPU", {**settings, "WEIGHTS_PATH": str(folder / WEIGHTS_FILE)})
        except RuntimeError:
            pass  # written by another build of OpenVINO: compile again
    model = cpu.read_model(str(folder / MODEL_FILE))
    for result in model.get_results():
        if not result.output(0).names & outputs and not result.input_value(0).names & outputs:
            model.remove_result(result)
    compiled = cpu.compile_model(model, "CPU", settings)
    cache.write_blob(blob_path, compiled.export_model().getvalue())
    return compiled
