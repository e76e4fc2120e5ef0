"""The token of a remote endpoint: from the environment, and in no repr, error or log."""

from __future__ import annotations

import logging
import os
import re

from pipeline.errors import EncoderError
from pipeline.models.endpoint.settings import EndpointSettings

HTTP_LOGGERS = ("httpx2", *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
SHORTEST_SECRET = 8
"""Characters of a token from which on it is taken out of answers: servers without keys are given `none` or `x`."""


class Secret:
    """A token that shows in no repr and can be blotted out of a text."""

    __slots__ = ("_value", "variable")

    def __init__(self, value: str, variable: str) -> None:
        self._value, self.variable = value, variable

    def __repr__(self) -> str:
        return f"Secret({self.variable})"

    def headers(self) -> dict[str, str]:
        """The request header that carries it."""
        return {"Authorization": f"Bearer {self._value}"}

    def blot(self, text: str) -> str:
        """The text without it."""
        return text.replace(self._value, "[token]")

    def blot_answer(self, answer: object) -> object:
        """A parsed JSON answer without it, in keys and values; a few characters are no secret."""
        if len(self._value) < SHORTEST_SECRET:
            return answer
        if isinstance(answer, str):
            return self.blot(answer)
        if isinstance(answer, list):
            return [value if isinstance(value, float) else self.blot_answer(value) for value in answer]
        if isinstance(answer, dict):
            return {self.blot(key): self.blot_answer(value) for key, value in answer.items()}
        return answer


def find_token(settings: EndpointSettings) -> Secret | None:
    """The token in the first variable that is set. Raises `EncoderError` if one is needed and there is none."""
    variables = settings.token_variables
    variable = next((name for name in variables if os.environ.get(name, "").strip()), None)
    if variable is not None:
        if not re.fullmatch(r"[!-~]+", os.environ[variable].strip()):
            raise EncoderError(f"{variable}: holds characters that no token has; set it to the bare token")
        return Secret(os.environ[variable].strip(), variable)
    if settings.token_variable or (variables and not settings.url):
        raise EncoderError(
            f"{settings.base_url}: needs a token; set the environment variable {' or '.join(variables)}"
        )
    return None


class _LogFilter(logging.Filter):
    """At DEBUG the HTTP library logs the headers of answers, and a server may send a token back in one."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: dict[str, Secret] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        blotted = message
        for secret in list(self.secrets.values()):
            blotted = secret.blot(blotted)
        if blotted != message:
            record.msg, record.args = blotted, ()
        return True


_LOG_FILTER = _LogFilter()


def keep_out_of_logs(secret: Secret) -> None:
    """From now on the HTTP library's log lines do not hold it."""
    _LOG_FILTER.secrets[secret.headers()["Authorization"]] = secret
    for name in HTTP_LOGGERS:
        logging.getLogger(name).addFilter(_LOG_FILTER)  # adding it again changes nothing
