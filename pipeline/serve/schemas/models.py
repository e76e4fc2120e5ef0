"""The loaded models: embeddings in OpenAI's shape, reranking in Cohere's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.serve.schemas.base import Answer, Body

Text = Annotated[str, Field(min_length=1)]


class EmbeddingsBody(Body):
    """Texts to embed. `input_type` is not OpenAI's: some models embed a query otherwise than a document."""

    input: Text | Annotated[list[Text], Field(min_length=1)]
    model: str
    """Name of an index, or of its model."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """If it is said, it must be the model's."""
    user: str | None = None
    input_type: Literal["document", "query"] = "document"

    @property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [self.input] if isinstance(self.input, str) else list(self.input)


class EmbeddingAnswer(Answer):
    """A text's vector, of length 1: numbers, or their float32 in little-endian order as base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class UsageAnswer(Answer):
    """Always zero: tokens are not counted."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingsAnswer(Answer):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[EmbeddingAnswer]
    model: str
    usage: UsageAnswer = UsageAnswer()


class TextDocument(Body):
    """A document as some clients send it."""

    text: Text


class RerankBody(Body):
    """Documents to order by how well they answer a query."""

    query: Text
    documents: Annotated[list[Text | TextDocument], Field(min_length=1)]
    model: str | None = None
    """Name of an index, of the reranker that it is configured with, or `multivectors`; unless it is said, the first
    that there is."""
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = False

    @property
    def texts(self) -> list[str]:
        """The documents' texts, in order."""
        return [one if isinstance(one, str) else one.text for one in self.documents]


class RankedText(Answer):
    """The text of a document."""

    text: str


class RerankedAnswer(Answer):
    """A document's place in the request, and its score: between 0 and 1 of a cross-encoder, else a cosine."""

    index: int
    relevance_score: float
    document: RankedText | None = None


class RerankAnswer(Answer):
    """The documents, best first."""

    id: str
    model: str
    results: list[RerankedAnswer]
