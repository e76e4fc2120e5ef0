"""What a kind of encoder says about itself, so that settings, listings and workers need not know it by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.config.encoder import EncoderSettings, Local, Remote
from pipeline.models.contract import Encoder

Load = Callable[[EncoderSettings, Path, int | None], Encoder]
"""From settings, the folder that relative paths start from, and the padded tokens of a batch (`None`: what suits
the model) to an encoder. Cheap: the model itself is loaded by the first encode."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of `pipeline models`.

    `choose`: what to write below `encoder` in config.yaml. `gives`: what comes out. `packages`: what to install,
    and what each is for, empty if it is always needed. `instead`: by package, the variable of the environment that
    may name its file where it is not installed.
    """

    name: str
    choose: str
    gives: str
    packages: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to encode one leg.

    It is chosen by one of its `words`, which stand where a model's name would (in `encoder.model`, for the lexical
    leg in `encoder.lexical`), or it `serves` every model that this machine loads, or that a server runs.
    `load`: imports what it needs when it is called. A dense encoder that also gives lexical weights stands for both
    legs.
    `settings`: those of `EncoderSettings` that it has; a setting that neither leg's kind has is refused.
    `lines`: how `pipeline models` lists it. `variant`: which of them settings come to; by default its name.
    `tokenizer`: of a dense kind, what measures chunks; by default that of `embedded-english`.
    `to_download`: hub models that the first use downloads.
    `has_model`: whether it loads a model, which an index may have to take along to another machine.
    `uses_all_cores`: whether one process occupies the whole CPU, so that a second one gains nothing.
    """

    name: str
    leg: Literal["dense", "lexical"]
    load: Load
    words: tuple[str, ...] = ()
    serves: type[Local] | type[Remote] | None = None
    settings: frozenset[str] = frozenset()
    lines: tuple[Line, ...] = ()
    variant: Callable[[EncoderSettings, Path], str] | None = None
    tokenizer: Callable[[EncoderSettings, Path], Any] | None = None
    to_download: Callable[[EncoderSettings, Path], list[str]] | None = None
    has_model: bool = True
    uses_all_cores: bool = False

    @property
    def asks_a_server(self) -> bool:
        """Whether fingerprint and vectors are known only to an endpoint."""
        return self.serves is Remote
