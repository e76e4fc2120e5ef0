"""What a manifest keeps of the build behind its generation: its speed, the calibration, the gate's verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, SerializerFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRecord:
    """A record that other versions of this program may know more fields of.

    In JSON a field that is `None` is absent, and the fields of `other` stand beside the rest: what a manifest says
    is kept when the next one takes it over, whether this version knows it or not.
    """

    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read and write a record in the form that the class's docstring tells of."""
        known = {one.name for one in dataclasses.fields(cls)} - {"other"}

        def sorted_out(data: Any) -> Any:
            if not isinstance(data, dict):
                return data
            fields = {name: value for name, value in data.items() if name in known}
            return {**fields, "other": {name: value for name, value in data.items() if name not in known}}

        def flat(record: Any, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
            body: dict[str, Any] = dump(record)
            other: dict[str, Any] = body.pop("other")
            return {name: value for name, value in body.items() if value is not None} | other

        return core_schema.no_info_before_validator_function(
            sorted_out, handler(source), serialization=core_schema.wrap_serializer_function_ser_schema(flat)
        )


@dataclass(frozen=True, slots=True)
class EncodingRate(OpenRecord):
    """How long an encoder took for how many chunks."""

    chunks: int
    seconds: float

    @property
    def chunks_per_second(self) -> float:
        """Chunks encoded in a second; 0 if nothing was measured."""
        return self.chunks / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Circumstances(OpenRecord):
    """What a generation does not show of the build that made it: documents read and rejected, and whether however
    few documents are left is fine."""

    read: int = 0
    rejected: int = 0
    allow_deletes: bool = False


@dataclass(frozen=True, slots=True)
class Verdict(OpenRecord):
    """What the quality gate found of a generation. `refusals`: every reason not to publish it, a line each.

    `measures`: by name; empty if the gate had no queries. `inputs` changes with anything that changes what is
    measured. `circumstances`: under which it was judged. `collapsed`: `True` if a leg no longer finds passages by
    their own words, so that what was encoded is not to be believed.
    """

    inputs: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    circumstances: Circumstances | None = None
    collapsed: bool | None = None


@dataclass(frozen=True, slots=True)
class Statistics(OpenRecord):
    """What is known of a generation besides its content.

    `calibration`: as `query/fusion/calibration.py` writes it. `encoded_chunks` and `reused_chunks`: of the build.
    `encoding`: of this build, or of an earlier one if this one encoded too little to tell. `gate`: `None` if it
    measured nothing and refused nothing. `known_items`: as `evaluate/known_items.py` writes them.
    """

    calibration: Mapping[str, Any] | None = None
    encoded_chunks: int | None = None
    reused_chunks: int | None = None
    encoding: EncodingRate | None = None
    gate: Verdict | None = None
    known_items: Mapping[str, Any] | None = None

    @property
    def measures(self) -> Mapping[str, float]:
        """What the gate measured; empty if it had no queries."""
        return self.gate.measures if self.gate else {}

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the gate refused the generation; empty if it did not."""
        return self.gate.refusals if self.gate else ()

    @property
    def circumstances(self) -> Circumstances:
        """Under which the gate judged the generation, as far as that was recorded."""
        return (self.gate and self.gate.circumstances) or Circumstances()

    def judged(self, verdict: Verdict, known_items: Mapping[str, Any] | None = None) -> Statistics:
        """The same with another verdict of the gate, and the known items that it was found by."""
        tells = verdict.measures or verdict.refusals
        return dataclasses.replace(self, gate=verdict if tells else None, known_items=known_items)
