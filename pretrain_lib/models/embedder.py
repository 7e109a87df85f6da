"""A text as one vector, so that texts are compared by the cosine of theirs; and its folder.

Reimers and Gurevych, "Sentence-BERT: Sentence embeddings using Siamese BERT-networks", EMNLP 2019,
section 3. The folder is that of their library `sentence-transformers`: the encoder's own, as
`transformers` has it, and beside it files that say how its hidden states become a vector.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require
from .base import TextModel
from .layers import mean_over_tokens
from .protocol import Encoder

Pooling = Literal["mean", "cls"]

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
LENGTH = "sentence_bert_config.json"
POOLING = "1_Pooling/config.json"
PACKAGE = "sentence_transformers"
STEPS = ("Transformer", "Pooling", "Normalize")
FLAGS = {  # how each mode was said before `pooling_mode` named one
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


class SentenceEmbedder(TextModel):
    """A BERT or ModernBERT whose hidden states are pooled into one vector a text.

    Args:
        encoder: with or without a head; what is below it becomes a part of this model.
        pooling: what stands for a text: "mean", the mean of its tokens, or "cls", the first one.
        normalize: whether vectors have length 1.
        max_seq_length: tokens of a text at most, [CLS] and [SEP] included; None is as many as the
            encoder has positions.

    Attributes:
        prompts: what a folder says to put before texts, by kind of text; whoever embeds does it.

    Raises:
        ValueError: for another pooling or length, or an encoder of another family.
    """

    def __init__(self, encoder: nn.Module, pooling: Pooling = "mean", normalize: bool = True,
                 max_seq_length: int | None = None):
        super().__init__()
        known = isinstance(encoder, TextModel) and encoder.hugging_face is not None
        if not known or getattr(encoder.encoder, "causal", False):
            raise ValueError("encoder must be a BERT or a ModernBERT that sees both sides, got "
                             f"{type(encoder).__name__}")
        require(pooling in get_args(Pooling), "pooling", pooling,
                "one of " + ", ".join(get_args(Pooling)))
        longest = encoder.encoder.config.max_position_embeddings
        length = longest if max_seq_length is None else max_seq_length
        require(3 <= length <= longest, "max_seq_length", length,
                f"between 3 and the encoder's {longest} positions")
        self.encoder = encoder.encoder
        self.pooling = pooling
        self.normalize = normalize
        self.max_seq_length = length
        self.prompts: dict[str, str] = {}

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to vectors (B, D)."""
        hidden = self.hidden_states(input_ids, attention_mask)  # (B, T, D)
        pooled = hidden[:, 0] if self.pooling == "cls" else mean_over_tokens(hidden, attention_mask)
        return F.normalize(pooled, dim=-1) if self.normalize else pooled

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.encode(input_ids, attention_mask)

    def with_tagger(self, num_labels: int, seed: int = 0) -> nn.Module:
        return self.encoder.with_tagger(num_labels, seed)

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "pooling": self.pooling, "normalize": self.normalize,
                "max_seq_length": self.max_seq_length, "prompts": self.prompts}

    @classmethod
    def from_config(cls, fields: dict) -> SentenceEmbedder:
        fields = dict(fields)
        prompts = fields.pop("prompts", {})
        model = cls(**fields)
        model.prompts = prompts
        return model


# ------------------------------------------------------------------------------------------ out


def write_modules(model: SentenceEmbedder, folder: Path) -> None:
    """Writes what stands beside the encoder in a folder of `sentence-transformers`."""
    steps = STEPS if model.normalize else STEPS[:2]
    paths = ["" if not i else f"{i}_{step}" for i, step in enumerate(steps)]
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"{PACKAGE}.models.{step}"}
               for i, (step, path) in enumerate(zip(steps, paths, strict=True))]
    pooling = {"word_embedding_dimension": model.feature_size,
               **{flag: mode == model.pooling for mode, flag in FLAGS.items()}}
    for path in paths[1:]:
        (folder / path).mkdir()
    for name, content in ((MODULES, modules), (POOLING, pooling),
                          (LENGTH, {"max_seq_length": model.max_seq_length}),
                          (SETTINGS, {"prompts": model.prompts, "default_prompt_name": None})):
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------- in


def read_modules(encoder: Encoder, folder: Path) -> SentenceEmbedder:
    """The embedder of a folder of `sentence-transformers`, on the encoder that lies in it.

    Raises:
        ValueError: if it does something else than this module knows, or a file is damaged.
    """
    modules = read_json(folder / MODULES)
    try:
        kinds = [module["type"] for module in modules]
        paths = [module["path"] for module in modules]
    except (TypeError, KeyError):
        raise ValueError(f"{folder / MODULES} is damaged: it must list modules, each with its "
                         "\"type\" and its \"path\"") from None
    steps = tuple(kind.rsplit(".", 1)[-1] for kind in kinds)
    theirs = all(kind.startswith(f"{PACKAGE}.") for kind in kinds)
    if not theirs or steps not in (STEPS, STEPS[:2]):
        raise ValueError(f"{folder} has the modules {', '.join(kinds)}: known are Transformer, "
                         f"Pooling and then, or not, Normalize, of {PACKAGE}")
    if paths[0] or any(path != Path(path).name for path in paths):
        raise ValueError(f"{folder / MODULES} has the paths {', '.join(map(repr, paths))}: known "
                         "are '' for the Transformer, and folders in this one for the others")
    settings, length = (read_json(folder / name, {}) for name in (SETTINGS, LENGTH))
    pooling = read_json(folder / paths[1] / "config.json")
    known = {"model_type": "SentenceTransformer", "default_prompt_name": None, "truncate_dim": None,
             "include_prompt": True, "do_lower_case": False,
             "transformer_task": "feature-extraction"}
    for field, value in known.items():
        found = (settings | length | pooling).get(field, value)
        if found != value:
            raise ValueError(f"{folder} has {field}={found!r}: known here is {value!r} only")
    longest = encoder.encoder.config.max_position_embeddings
    of_tokenizer = read_json(folder / "tokenizer_config.json", {}).get("model_max_length", longest)
    model = SentenceEmbedder(encoder, pooling_of(pooling, folder), len(steps) == len(STEPS),
                             length.get("max_seq_length") or min(longest, of_tokenizer))
    prompts = settings.get("prompts") or {}
    model.prompts = {kind: prompt for kind, prompt in prompts.items() if prompt}
    return model


def pooling_of(config: dict, folder: Path) -> str:
    """The one mode of a pooling's `config.json`; older ones have a flag for each mode.

    Raises:
        ValueError: naming what is not known.
    """
    flags = [mode for mode, flag in FLAGS.items() if config.get(flag)]
    modes = config.get("pooling_mode") or flags or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) > 1 or modes[0] not in get_args(Pooling):
        raise ValueError(f"{folder} pools by {' and '.join(modes)}: known are "
                         + " or ".join(get_args(Pooling)))
    return modes[0]


def read_json(file: Path, default=None):
    """What a JSON file holds; the default, if there is one, where there is no file.

    Raises:
        ValueError: if the file is damaged.
        FileNotFoundError: if it is missing and there is no default.
    """
    if default is not None and not file.is_file():
        return default
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent} has no {file.name}, which {MODULES} asks for")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{file} is damaged: it is no JSON") from None
