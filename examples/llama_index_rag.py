"""A RAG chain in LlamaIndex: the tutorial's ranking by this index, then an answer from what was found.

    python examples/llama_index_rag.py [--model NAME] [--device cuda]

It needs the extra `llama-index`. With the embedded default it downloads nothing; the language model is a stand-in
that repeats the passage it was shown first, so put an LLM of yours in its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from tutorial import QUERY, RAG_PROMPT, TEXTS, Answer, arguments, index_of, local, print_sentences, stand_in

from pipeline.config import EncoderSettings
from pipeline.integrations.llama_index import HybridQuery, HybridRetriever


@dataclass(frozen=True, slots=True)
class Found:
    """`doc_ids`: of all sentences, best first. `answer`: the query engine's."""

    doc_ids: list[str]
    answer: Answer


class LanguageModel(CustomLLM):
    """An LLM's place in the chain."""

    @property
    def metadata(self) -> LLMMetadata:
        """What the framework asks of every model."""
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Repeat the first passage, without the lines of metadata that LlamaIndex puts before each."""
        return CompletionResponse(text=stand_in(re.sub(r"(?m)^source: .*\n\n", "", prompt)))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Not asked for here."""
        raise NotImplementedError


def main(argv: Sequence[str] | None = None) -> Found:
    """Rank the sentences, then answer the question from the best two; see the module's text."""
    options = arguments(__doc__, "embedded").parse_args(argv)
    with index_of(EncoderSettings(model=local(options.model), device=options.device)) as index:
        retriever = HybridRetriever(index, k=len(TEXTS))
        ranking = retriever.retrieve(QUERY)
        print_sentences([one.node.get_content() for one in ranking])

        prompt = PromptTemplate(
            RAG_PROMPT, template_var_mappings={"context_str": "context", "query_str": "question"}
        )
        engine = RetrieverQueryEngine(
            retriever, get_response_synthesizer(llm=LanguageModel(), text_qa_template=prompt)
        )
        response = engine.query(HybridQuery(QUERY, k=2))
    answer = Answer(str(response), [one.node.metadata["doc_id"] for one in response.source_nodes])
    answer.show()
    return Found([one.node.metadata["doc_id"] for one in ranking], answer)


if __name__ == "__main__":
    main()
