"""A saved model that training goes on with, in place of one that is drawn anew.

Gururangan et al., "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks", ACL 2020,
go on with a published encoder on the texts of a domain, and then on those of a task.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..data.text.new_words import pieces
from ..data.text.tokenizer import load_tokenizer, vocabulary_size
from ..files import sha256_of
from ..models.base import Classifier, TextModel
from ..models.bert import BertBase
from ..models.embedder import SentenceEmbedder
from ..models.modern import ModernBertBase
from ..models.state import state_tensors
from ..objectives.base import Objective
from ..objectives.bert_pretraining import BertPretraining
from ..objectives.masked_diffusion import MaskedDiffusion
from ..objectives.masked_lm import MaskedLM
from ..pretrained import check_vocabulary, find, load_pretrained, text_encoder_in, weight_files
from ..training.config import TrainConfig

HEADS = {MaskedLM: "with_masked_lm", MaskedDiffusion: "with_masked_lm",
         BertPretraining: "with_both_heads"}  # how a model gets what an objective asks of it
LEARNING_RATE, WARM_UP = 1e-4, 0.06  # the rate, and the share of the updates over which it rises


class Started(NamedTuple):
    """A saved model as an objective trains it.

    Attributes:
        model: the model, in training mode.
        new_head: whether what it adds to each token's score is new.
    """

    model: nn.Module
    new_head: bool


def started(start: str, objective: type[Objective], seed: int = 0) -> Started:
    """A saved model with the heads that an objective asks for.

    A model that predicts tokens keeps its head for it. An encoder, an embedder of sentences, a
    classifier and a tagger get a new one, whatever head they have. Where an objective asks for no
    such head, as one that compares texts, models of texts and classifiers of images go without
    theirs; others, and those that say a text from left to right, stay as they are. A pooler is
    carried along.

    Args:
        start: what `load_pretrained` takes.
        objective: the class of what is to be trained on.
        seed: of what is new.

    Raises:
        FileNotFoundError: if there is no such model, or a model of texts comes without tokenizer.
        ValueError: if the tokenizer that comes with it has more tokens than it has rows.
    """
    model = load_pretrained(start)
    if text_encoder_in(model) is not None:
        check_vocabulary(model, load_tokenizer(start))
    if isinstance(model, (Classifier, SentenceEmbedder)):
        model = model.encoder
    labels = getattr(model, "takes_labels", False)
    new_head, said = getattr(model, "output_bias", None) is None, getattr(model, "other_fields", {})
    asked = next((head for kind, head in HEADS.items() if issubclass(objective, kind)), None)
    if asked and hasattr(model, asked):
        model = getattr(model, asked)(seed)
        model.other_fields = {} if labels else said
    elif labels or (isinstance(model, TextModel) and not model.causal):
        model = model.without_head()
    return Started(model.train(), new_head)


@torch.no_grad()
def with_tokens(model: nn.Module, tokenizer, start: str) -> nn.Module:
    """A started model with rows for the tokens that are new to it; itself where there are none.

    What a token starts as, in the embeddings and in the bias of the output, is the mean of what
    its pieces are.

    Args:
        model: with V tokens or more.
        tokenizer: the one that comes with the saved model, with new words; None where none is.
        start: the saved model.

    Raises:
        ValueError: if the model is no BERT or ModernBERT.
    """
    before = load_tokenizer(start) if tokenizer is not None else None
    new = {word: id for word, id in tokenizer.get_vocab().items()
           if before.token_to_id(word) is None} if before else {}
    if not new:
        return model
    if not isinstance(model, (BertBase, ModernBertBase)):
        raise ValueError(f"{start} holds a {type(model).__name__}, and new words are for a BERT or "
                         "a ModernBERT")
    size = max(model.config.vocab_size, vocabulary_size(tokenizer))
    grown = type(model).from_config(model.to_config() | {"vocab_size": size})
    grown.other_fields = model.other_fields
    ours, theirs = state_tensors(grown), state_tensors(model)
    for name, tensor in ours.items():
        tensor[:len(theirs[name])] = theirs[name]
    for there, rows in zip(of_tokens(model), of_tokens(grown), strict=True):
        for word, id in new.items():
            rows[id] = there[pieces(before, word)].mean(0)
    return grown.train()


def of_tokens(model: nn.Module) -> list[Tensor]:
    """The parameters with a row for each token, (V, D) and (V,)."""
    rows = [model.encoder.embeddings.word.weight, getattr(model, "output_bias", None)]
    return [row for row in rows if row is not None]


def digests(start: str) -> list[str]:
    """SHA-256 of the files with a saved model's weights."""
    return [sha256_of(file) for file in weight_files(find(start))]


def require_another_place(start: str, folder: Path) -> None:
    """Raises ValueError where the trained model would replace the one that it starts from."""
    if find(start).resolve() == folder.resolve():
        raise ValueError(f"the trained model would take the place of {start}: choose another "
                         "--folder")


def for_continuing(train: TrainConfig) -> TrainConfig:
    """How a model is trained further, by a recipe that says how one is trained from nothing.

    AdamW and a small rate leave standing what the model knows. It is what is common for BERTs, as
    in Gururangan et al., and no more than a place to start from. The warm-up is `warmed_up`'s.
    """
    return replace(train, optimizer="adamw", learning_rate=LEARNING_RATE, warmup_steps=0)


def warmed_up(train: TrainConfig) -> TrainConfig:
    """With a rate that rises over a share of the updates."""
    return replace(train, warmup_steps=round(WARM_UP * train.steps))
