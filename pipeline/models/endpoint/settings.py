"""Settings of a remote endpoint, checked where they are made; of the token they hold the variable only."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import SplitResult, quote, urlsplit

from pipeline.errors import ConfigError
from pipeline.names import DENSE, LEXICAL

EndpointProtocol = Literal["huggingface", "tei", "openai"]
EndpointLeg = Literal["dense", "lexical", "rerank"]

DEFAULT_URLS: dict[str, str] = {
    "huggingface": "https://router.huggingface.co/hf-inference",
    "openai": "https://api.openai.com/v1",
}
TOKEN_VARIABLES: dict[str, tuple[str, ...]] = {
    "huggingface": ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN"),
    "openai": ("OPENAI_API_KEY",),
    "tei": (),
}
PLACEHOLDER = "{text}"
ENCODER_KEYS = frozenset({"revision", "query_instruction", "document_instruction", "truncate_dim", "max_tokens"})
"""Settings that stand beside `endpoint` in config.yaml, because local encoders have them too."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One model behind one server. Raises `ConfigError` for values that make no sense.

    `url`: base of the service, http or https, with neither credentials nor a query; empty for the vendor's own.
    `leg`: `lexical` asks a text-embeddings-inference server's `/embed_sparse`, `rerank` its `/rerank`.
    `token_variable`: environment variable of the token; `None` for the protocol's usual ones, empty for no token.
    `revision`: what is served, where the server does not tell; a commit hash is compared with what it tells.
    `query_instruction`, `document_instruction`: templates with `{text}`; without it, put verbatim before the text.
    `dimension`: columns the server must answer with; `None` asks it once. `truncate_dim`: columns kept of them.
    `max_tokens`: where the server cuts texts, if it does not tell.
    `batch_texts`, `batch_tokens`: bounds of one request. `concurrency`: requests in flight.
    `timeout_seconds`: of one request. `attempts`: of one request, the first included.
    `max_wait_seconds`: longest pause between two attempts, whatever `Retry-After` asks for.
    """

    model: str
    protocol: EndpointProtocol
    url: str = ""
    leg: EndpointLeg = DENSE
    token_variable: str | None = None
    revision: str = ""
    query_instruction: str = ""
    document_instruction: str = ""
    dimension: int | None = None
    truncate_dim: int | None = None
    max_tokens: int | None = None
    batch_texts: int = 32
    batch_tokens: int = 8192
    concurrency: int = 4
    timeout_seconds: float = 60.0
    attempts: int = 6
    max_wait_seconds: float = 60.0

    def __post_init__(self) -> None:
        self._require(
            self.protocol in get_args(EndpointProtocol), "protocol", "choose one of: huggingface, tei, openai"
        )
        self._require(self.leg in get_args(EndpointLeg), "leg", "choose one of: dense, lexical, rerank")
        self._require(
            self.leg == DENSE or self.protocol == "tei",
            "leg" if self.leg == LEXICAL else "protocol",
            "only the protocol tei has a lexical leg" if self.leg == LEXICAL else "only tei can rerank",
        )
        self._require(bool(self.model.strip()), "model", "name the model that the server runs")
        for name in ("query_instruction", "document_instruction"):
            template: str = getattr(self, name)
            self._require(template.count(PLACEHOLDER) <= 1, name, f"must hold {PLACEHOLDER} only once")
        for name in (
            "dimension",
            "truncate_dim",
            "max_tokens",
            "batch_texts",
            "batch_tokens",
            "concurrency",
            "attempts",
        ):
            number: int | None = getattr(self, name)
            self._require(number is None or number >= 1, name, "must be at least 1")
        self._require(self.timeout_seconds > 0, "timeout_seconds", "must be above 0")
        self._require(self.max_wait_seconds >= 0, "max_wait_seconds", "must not be negative")
        if self.dimension is not None and self.truncate_dim is not None:
            self._require(
                self.truncate_dim <= self.dimension, "truncate_dim", f"must not exceed dimension={self.dimension}"
            )
        self._require(
            self.leg == DENSE or self.truncate_dim is None, "truncate_dim", "means nothing for the lexical leg"
        )
        _check_url(self.base_url, self.key("url"))

    def key(self, name: str) -> str:
        """Where a setting stands in config.yaml, for errors."""
        if self.leg == "rerank":
            own = name in ("model", "revision", "max_tokens")
            return f"query.rerank.{name}" if own else f"query.rerank.endpoint.{name}"
        if name == "model":
            return "encoder.lexical" if self.leg == LEXICAL else "encoder.model"
        if name in ENCODER_KEYS:
            return f"encoder.{name}"
        return f"encoder.lexical_endpoint.{name}" if self.leg == LEXICAL else f"encoder.endpoint.{name}"

    def _require(self, holds: bool, name: str, cure: str) -> None:
        if not holds:
            raise ConfigError(f"{self.key(name)}: {cure}")

    @property
    def base_url(self) -> str:
        """The service's base, with no slash at its end."""
        return (self.url or DEFAULT_URLS.get(self.protocol, "")).rstrip("/")

    @property
    def encode_url(self) -> str:
        """Where texts are sent."""
        base = self.base_url
        if self.protocol == "huggingface":
            return f"{base}/models/{quote(self.model, safe='/')}/pipeline/feature-extraction"
        if self.protocol == "tei":
            return base + {DENSE: "/embed", LEXICAL: "/embed_sparse", "rerank": "/rerank"}[self.leg]
        if not urlsplit(base).path:
            base = f"{base}/v1"
        return base if base.endswith("/embeddings") else f"{base}/embeddings"

    @property
    def info_url(self) -> str | None:
        """Where the server tells about itself, if the protocol has such a place."""
        return f"{self.base_url}/info" if self.protocol == "tei" else None

    @property
    def token_variables(self) -> tuple[str, ...]:
        """Environment variables to look the token up in, in order. The usual ones never go out unencrypted."""
        if self.token_variable is not None:
            return (self.token_variable,) if self.token_variable else ()
        return TOKEN_VARIABLES[self.protocol] if not self.is_unencrypted else ()

    @property
    def is_unencrypted(self) -> bool:
        """Whether requests leave this machine in clear text."""
        parts = urlsplit(self.base_url)
        return parts.scheme.lower() == "http" and not _is_loopback(parts.hostname or "")


def _check_url(url: str, key: str) -> None:
    # A refused URL may hold a secret, so no message quotes one.
    def require(holds: bool, cure: str) -> None:
        if not holds:
            raise ConfigError(f"{key}: {cure}")

    require(url != "", "is needed, as in http://127.0.0.1:8080")
    parts = _split(url)
    if parts is None:
        raise ConfigError(f"{key}: is not a URL; write it as https://host:port/path")
    require(parts.scheme.lower() in ("http", "https"), "must start with http:// or https://")
    require("@" not in parts.netloc, "must hold no credentials; put the token in an environment variable")
    require(
        "?" not in url and "#" not in url,
        "must hold no query and no fragment: they could carry a secret into logs",
    )
    require(bool(parts.hostname), "names no host; write it as https://host:port/path")


def _split(url: str) -> SplitResult | None:
    if any(character.isspace() or not character.isprintable() for character in url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port if "@" not in parts.netloc else None
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
