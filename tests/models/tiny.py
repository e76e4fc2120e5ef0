"""Tiny models of random weights with the layout of the real ones, for parity with the real libraries."""

from __future__ import annotations

import json
from pathlib import Path

SENTENCES = [
    "안녕, 만나서 반가워.",
    "LangChain simplifies the process of building applications with large language models",
    "랭체인 한국어 튜토리얼은 LangChain의 공식 문서, cookbook 및 다양한 실용 예제를 바탕으로 하여 사용자가 "
    "LangChain을 더 쉽고 효과적으로 활용할 수 있도록 구성되어 있습니다. ",
    "LangChain은 초거대 언어모델로 애플리케이션을 구축하는 과정을 단순화합니다.",
    "Retrieval-Augmented Generation (RAG) is an effective technique for improving AI responses.",
]
QUERY = "LangChain 에 대해서 알려주세요."
HIDDEN = 32


def save_xlm_roberta(folder: Path, *, layers: int = 2, hidden: int = HIDDEN, heads: int = 4, seed: int = 0) -> None:
    """An XLM-RoBERTa with a Unigram tokenizer trained on the sentences above."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokenizer = Tokenizer(models.Unigram())
    # What transformers makes of any XLM-RoBERTa tokenizer, and what the real tokenizer.json says too.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=[*special, "<mask>"], unk_token="<unk>")
    tokenizer.train_from_iterator([*SENTENCES, QUERY], trainer)
    pair = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", pair)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), special, strict=True))
    tokens |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
    config = {"tokenizer_class": "XLMRobertaTokenizerFast", "model_max_length": 8192, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))

    torch.manual_seed(seed)
    model = XLMRobertaModel(
        XLMRobertaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            max_position_embeddings=8194,
            type_vocab_size=1,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            layer_norm_eps=1e-5,
            initializer_range=0.3,  # far from the identity, so that a wrong layer shows
        ),
        add_pooling_layer=False,
    )
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)


def save_bge_m3(folder: Path, **shape: int) -> None:
    """A BGE-M3: an XLM-RoBERTa and the two heads as FlagEmbedding stores them."""
    import torch

    save_xlm_roberta(folder, **shape)
    hidden = shape.get("hidden", HIDDEN)
    for name, size in (("sparse_linear", 1), ("colbert_linear", hidden)):
        linear = torch.nn.Linear(hidden, size)
        linear.bias.data += 0.5  # most tokens get a lexical weight, some none
        torch.save(linear.state_dict(), folder / f"{name}.pt")


def save_sentence_model(folder: Path, pooling: str = "mean", prompts: dict[str, str] | None = None) -> None:
    """A sentence-transformers model, saved by the library itself."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    base = folder.with_name(folder.name + "-base")
    save_xlm_roberta(base)
    words = Transformer(str(base), max_seq_length=128)
    model = SentenceTransformer(modules=[words, Pooling(HIDDEN, pooling_mode=pooling), Normalize()], device="cpu")
    model.prompts = prompts or {}
    model.save(str(folder))


def save_splade(folder: Path) -> None:
    """A SPLADE: a masked language model and the pooling of its logits, saved by sentence-transformers itself."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    base = folder.with_name(folder.name + "-base")
    save_xlm_roberta(base)
    XLMRobertaForMaskedLM(XLMRobertaConfig.from_pretrained(base)).save_pretrained(base)
    SparseEncoder(modules=[MLMTransformer(str(base)), SpladePooling()], device="cpu").save(str(folder))


def save_cross_encoder(folder: Path, architecture: str = "XLMRoberta", labels: int = 1, seed: int = 0) -> None:
    """An XLM-RoBERTa or a BERT (whose passages have token type 1) with a classification head."""
    import torch
    import transformers

    save_xlm_roberta(folder, seed=seed)
    shape = json.loads((folder / "config.json").read_text())
    kept = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    values = {name: shape[name] for name in (*kept, "pad_token_id", "layer_norm_eps", "initializer_range")}
    if architecture == "Bert":
        values |= {"type_vocab_size": 2, "max_position_embeddings": 512}
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        for piece in tokenizer["post_processor"]["pair"][-2:]:
            for part in piece.values():
                part["type_id"] = 1
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        # A class that leaves the post-processor as it is saved.
        saved = json.loads((folder / "tokenizer_config.json").read_text())
        saved |= {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 512,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(saved))
    else:
        values |= {"type_vocab_size": 1, "max_position_embeddings": shape["max_position_embeddings"]}
    torch.manual_seed(seed)
    config = getattr(transformers, f"{architecture}Config")(**values, num_labels=labels)
    model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
