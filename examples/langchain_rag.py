"""A RAG chain in LangChain: the tutorial's ranking by this index instead of NumPy, then an answer from it.

    python examples/langchain_rag.py [--model NAME] [--device cuda]

It needs the extra `langchain`. With the embedded default it downloads nothing; the language model is a stand-in
that repeats the passage it was shown first, so put a chat model of yours in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from tutorial import QUERY, RAG_PROMPT, TEXTS, Answer, arguments, index_of, local, print_sentences, stand_in

from pipeline.config import EncoderSettings
from pipeline.integrations.langchain import HybridEmbeddings, HybridRetriever


@dataclass(frozen=True, slots=True)
class Found:
    """`doc_ids`: of all sentences, best first. `dimension`: of the vectors. `answer`: the chain's."""

    doc_ids: list[str]
    dimension: int
    answer: Answer


def main(argv: Sequence[str] | None = None) -> Found:
    """Rank the sentences, then answer the question from the best two; see the module's text."""
    options = arguments(__doc__, "embedded").parse_args(argv)
    with index_of(EncoderSettings(model=local(options.model), device=options.device)) as index:
        vector = HybridEmbeddings(index=index).embed_query(QUERY)
        retriever = HybridRetriever(index=index, k=len(TEXTS))
        ranking = retriever.invoke(QUERY)
        print_sentences([document.page_content for document in ranking])

        chain = (
            {"context": retriever.bind(k=2) | joined, "question": RunnablePassthrough()}
            | ChatPromptTemplate.from_template(RAG_PROMPT)
            | language_model
            | StrOutputParser()
        )
        doc_ids = [document.metadata["doc_id"] for document in ranking]
        answer = Answer(chain.invoke(QUERY), doc_ids[:2])
    answer.show()
    return Found(doc_ids, len(vector), answer)


def joined(documents: list[Document]) -> str:
    """The passages as the prompt has them."""
    return "\n\n".join(document.page_content for document in documents)


def language_model(prompt: PromptValue) -> str:
    """A chat model's place in the chain."""
    return stand_in(prompt.to_string())


if __name__ == "__main__":
    main()
