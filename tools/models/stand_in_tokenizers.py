"""Small tokenizers that mark start, end and padding like those of real models, so that nothing is downloaded."""

import json
from pathlib import Path

from kdpl.clip.templates import ENSEMBLE_OF_60

N_TOKENS = 600
WORDS = "a photo of dog grand piano wild cat hot air balloon axolotl red striped circle blue dotted square X x photo ."
KINDS = {  # repository on the hub: special tokens in order of their ids, start, end, padding
    "bert-base-uncased": (("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[CLS]", "[SEP]", "[PAD]"),
    "timm/ViT-B-16-SigLIP": (("<unk>", "</s>"), "", "</s>", "</s>"),
    "timm/ViT-B-16-SigLIP2": (("<pad>", "<eos>", "<unk>"), "", "<eos>", "<pad>"),
    "google/mt5-base": (("<pad>", "</s>", "<unk>"), "", "</s>", "<pad>"),
    "facebook/xlm-v-base": (("<s>", "<pad>", "</s>", "<unk>"), "<s>", "</s>", "<pad>"),
}


def kind_of(repository: str) -> str:
    """The key in KINDS of the tokenizer that most resembles a repository's."""
    if repository in KINDS:
        return repository
    return "timm/ViT-B-16-SigLIP2" if "SigLIP2" in repository else "timm/ViT-B-16-SigLIP"


def write_tokenizer(folder: Path, repository: str) -> Path:
    """Save a tokenizer of a few hundred tokens, in transformers' format, marking texts as ``repository``'s does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    special, start, end, padding = KINDS[kind_of(repository)]
    unknown = next(token for token in special if "unk" in token.lower())
    tokenizer = Tokenizer(models.BPE(unk_token=unknown))
    # As in SentencePiece, a word includes the space before it; as in Gemma's, the first word of a text has none.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=N_TOKENS, special_tokens=list(special), show_progress=False)
    texts = [template.format("dog") for template in ENSEMBLE_OF_60] + [f"{WORDS} {word}" for word in WORDS.split()]
    tokenizer.train_from_iterator([text for text in texts for _ in range(4)], trainer)
    marks = [token for token in (start, end) if token]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*[start] * bool(start), "$A", end]),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in marks],
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": padding, "unk_token": unknown,
              "eos_token": end, "sep_token": end, "padding_side": "right"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
