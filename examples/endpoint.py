"""A model behind a server: Hugging Face Inference API, text-embeddings-inference, or anything OpenAI-compatible.

    HF_TOKEN=… python examples/endpoint.py
    python examples/endpoint.py --protocol tei --url http://127.0.0.1:8080 --model BAAI/bge-m3
    OPENAI_API_KEY=… python examples/endpoint.py --protocol openai --model text-embedding-3-small

Downloads nothing; the sentences are sent to the server. The token comes from the environment only.
"""

from __future__ import annotations

from collections.abc import Sequence

from tutorial import Ranking, arguments, dense_ranking

from pipeline.config import EncoderSettings, EndpointSection
from pipeline.models.choose.encoder import load_encoder


def main(argv: Sequence[str] | None = None) -> Ranking:
    """Rank the sentences; see the module's text."""
    parser = arguments(__doc__, "intfloat/multilingual-e5-large-instruct")
    parser.add_argument("--protocol", default="huggingface", choices=["huggingface", "tei", "openai"])
    parser.add_argument("--url", default="", help="base of the service (default: the vendor's own)")
    options = parser.parse_args(argv)
    section = EndpointSection(protocol=options.protocol, url=options.url)
    return dense_ranking(load_encoder(EncoderSettings(model=options.model, lexical="none", endpoint=section)))


if __name__ == "__main__":
    main()
