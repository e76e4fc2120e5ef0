"""A RAG pipeline in Haystack: the tutorial's ranking by this index, then an answer from what was found.

    python examples/haystack_rag.py [--model NAME] [--device cuda]

It needs the extra `haystack`. With the embedded default it downloads nothing; the language model is a stand-in that
repeats the passage it was shown first, so put a generator of yours in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from haystack import Pipeline, component
from haystack.components.builders import PromptBuilder
from tutorial import QUERY, RAG_PROMPT, TEXTS, Answer, arguments, index_of, local, print_sentences, stand_in

from pipeline.config import EncoderSettings
from pipeline.integrations.haystack import HybridTextRetriever

TEMPLATE = RAG_PROMPT.format(
    context="{% for one in documents %}{{ one.content }}\n\n{% endfor %}", question="{{ question }}"
)


@dataclass(frozen=True, slots=True)
class Found:
    """`doc_ids`: of all sentences, best first. `answer`: the pipeline's."""

    doc_ids: list[str]
    answer: Answer


@component
class LanguageModel:
    """A generator's place in the pipeline."""

    @component.output_types(replies=list[str])
    def run(self, prompt: str) -> dict[str, list[str]]:
        """Repeat the first passage."""
        return {"replies": [stand_in(prompt)]}


def main(argv: Sequence[str] | None = None) -> Found:
    """Rank the sentences, then answer the question from the best two; see the module's text."""
    options = arguments(__doc__, "embedded").parse_args(argv)
    with index_of(EncoderSettings(model=local(options.model), device=options.device)) as index:
        retriever = HybridTextRetriever(index, top_k=len(TEXTS))
        ranking = retriever.run(QUERY)["documents"]
        print_sentences([document.content or "" for document in ranking])

        rag = Pipeline()
        rag.add_component("retriever", retriever)
        rag.add_component("prompt", PromptBuilder(TEMPLATE, required_variables=["documents", "question"]))
        rag.add_component("model", LanguageModel())
        rag.connect("retriever.documents", "prompt.documents")
        rag.connect("prompt.prompt", "model.prompt")
        inputs = {"retriever": {"query": QUERY, "top_k": 2}, "prompt": {"question": QUERY}}
        outputs = rag.run(inputs, include_outputs_from={"retriever"})
    sources = [document.meta["doc_id"] for document in outputs["retriever"]["documents"]]
    answer = Answer(outputs["model"]["replies"][0], sources)
    answer.show()
    return Found([document.meta["doc_id"] for document in ranking], answer)


if __name__ == "__main__":
    main()
