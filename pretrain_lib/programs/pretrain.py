"""From a recipe to a trained model: the five steps in order, each a line of `pretrain`."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from ..data.source import Source
from ..data.text.document import Corpus
from ..data.text.load import load_text
from ..data.text.packing import PackedBlocks
from ..data.text.pairs import SentencePairs
from ..data.text.shards import prepare
from ..data.text.token_dataset import MANIFEST, TokenDataset
from ..data.text.tokenizer import (
    load_tokenizer,
    save_tokenizer,
    special_ids,
    tokenizer_hash,
    train_tokenizer,
    vocabulary_size,
)
from ..evaluation.counting import TwoSidedBigram, Unigram, token_counts
from ..evaluation.masked import MaskedSet, masked_scores
from ..files import locked
from ..models.bert import BertForMaskedLM, BertForPreTraining, start_at_neighbours
from ..models.init import start_at_unigram
from ..models.modern import ModernBertForMaskedLM
from ..objectives.base import Objective
from ..objectives.bert_pretraining import BertPretraining
from ..objectives.masked_lm import MaskedLM
from ..pretrained import save_pretrained
from ..training.budget import steps_of, steps_within, with_steps
from ..training.curves import draw_curves
from ..training.distributed import World, join
from ..training.trainer import Trainer
from ..zoo import held_out_sources
from .recipe import BertRecipe, Recipe, TextConfig, architecture_of

EVERY = 20  # where nothing else is said, every twentieth document is held out, at least two
MODEL = "model"
CURVES = "curves.png"


def pretrain(recipe: Recipe, folder: str | Path, resume: bool = True,
             minutes: float | None = None) -> nn.Module:
    """Carries out a recipe: text, model, objective, training, and the model saved.

    Under `torchrun` every process calls this; rank 0 reads the text and writes.

    Args:
        recipe: what to do.
        folder: the run's folder, which gets its config, log and checkpoints, and in the end a
            picture of its curves and, as `model`, a folder that `transformers` reads.
        resume: whether to go on where an earlier call left off.
        minutes: how long training may take, evaluations and checkpoints included; it sets the
            recipe's steps, and its warm-up in proportion.

    Returns:
        The trained model.

    Raises:
        ValueError: if the text is too small for the recipe.
        CheckpointError: if the folder holds the run of another recipe, text or tokenizer.
    """
    folder = Path(folder)
    world, _ = join(recipe.train.device)
    tokenizer, dataset = prepared_once(recipe.text, folder, world)
    training, held_out = split(dataset, recipe.text.hold_out)
    recipe = replace(recipe, model=replace(recipe.model, vocab_size=vocabulary_size(tokenizer)))
    sources = views(training, held_out, recipe, tokenizer)
    lines = world.on_first(lambda: counting_lines(training, held_out, recipe, tokenizer))

    def trainer_of(recipe: Recipe, folder: Path) -> Trainer:
        return Trainer(build_model(recipe, training), build_objective(recipe, tokenizer),
                       sources[0], recipe.train, held_out=sources[1], folder=folder,
                       recipe=described(recipe, tokenizer, training, held_out))

    if minutes:
        steps = steps_of(folder) or steps_within(
            minutes, lambda train, beside: trainer_of(replace(recipe, train=train), beside),
            recipe.train, folder)
        recipe = replace(recipe, train=with_steps(recipe.train, steps))
    trainer = trainer_of(recipe, folder)
    trainer.fit(resume)
    model = trainer.whole_model(lambda: build_model(recipe, training))
    world.on_first(lambda: finish(model, tokenizer, trainer, lines, folder))
    return model


def finish(model: nn.Module, tokenizer, trainer: Trainer, lines: dict[str, float],
           folder: Path) -> None:
    """Writes the model, and the picture of the run's curves."""
    save_pretrained(model, folder / MODEL, tokenizer)
    try:
        draw_curves(trainer.history.records, folder / CURVES, lines)
    except ImportError:
        print(f"no {CURVES}: matplotlib is not installed")


def described(recipe: Recipe, tokenizer, training: TokenDataset, held_out: TokenDataset) -> dict:
    """All that makes a run what it is, beside how it is trained, fit for JSON.

    A text is known by what it holds, not by the folder that its tokens are kept in.
    """
    parts = asdict(recipe)
    del parts["train"], parts["text"]["folder"]
    return {"architecture": architecture_of(recipe), **parts,
            "tokenizer": tokenizer_hash(tokenizer), "training_text": digest(training),
            "held_out_text": digest(held_out)}


def digest(dataset: TokenDataset) -> str:
    """SHA-256 of the tokens of all documents, and of where sentences and documents end."""
    found = hashlib.sha256(dataset.sentence_counts.tobytes() + dataset.sentence_lengths.tobytes())
    for i in range(dataset.num_documents):
        found.update(dataset.document(i).tobytes())
    return found.hexdigest()


def counting_lines(training: TokenDataset, held_out: TokenDataset, recipe: Recipe,
                   tokenizer) -> dict[str, float]:
    """The masked loss of predictors that only count, on blanks of the held-out documents."""
    special, vocab_size = special_ids(tokenizer), vocabulary_size(tokenizer)
    blocks = PackedBlocks(held_out, recipe.text.length, special)
    blanks = MaskedSet.draw(blocks, masked_lm(recipe, tokenizer), range(min(len(blocks), 256)))
    counted = {"unigram": Unigram(token_counts(training, vocab_size))}
    if training.num_documents > 1:  # the neighbours' weight is fitted on one of them
        counted["bigram, both sides"] = TwoSidedBigram(training, vocab_size, special)
    return {name: masked_scores(predictor, blanks).loss for name, predictor in counted.items()}


def prepared(text: TextConfig, beside: Path) -> tuple[object, TokenDataset]:
    """The tokenizer and the tokenised text: found, or made now.

    What was prepared of a data set of the Hub is used as it is, without asking the Hub again.
    """
    folder = prepared_folder(text, beside)
    if text.corpus.startswith("hub:") and (folder / MANIFEST).is_file():
        return opened(text, beside)
    corpus = load_text(text.corpus, column=text.column, split=text.split,
                       config=text.config or None, revision=text.revision or None)
    if text.tokenizer:
        tokenizer = load_tokenizer(text.tokenizer)
    else:
        tokenizer = tokenizer_of_its_own(corpus, text, folder)
    return tokenizer, prepare(corpus, tokenizer, folder)


def tokenizer_of_its_own(corpus: Corpus, text: TextConfig, folder: Path):
    """The tokenizer that is trained on a corpus, by whoever of several processes comes first."""
    if not (folder / "tokenizer.json").is_file():
        with locked(folder):
            if not (folder / "tokenizer.json").is_file():
                texts = (document.text for document in corpus)
                save_tokenizer(train_tokenizer(texts, text.vocab_size, text.kind), folder)
    return load_tokenizer(folder)


def prepared_once(text: TextConfig, beside: Path, world: World) -> tuple[object, TokenDataset]:
    """What rank 0 has `prepared`; the other ranks wait, and open it."""
    found = []
    world.on_first(lambda: found.append(prepared(text, beside)))
    return found[0] if found else opened(text, beside)


def opened(text: TextConfig, beside: Path) -> tuple[object, TokenDataset]:
    """What `prepared` has made, without looking at the corpus again."""
    folder = prepared_folder(text, beside)
    tokenizer = load_tokenizer(text.tokenizer or folder)
    return tokenizer, TokenDataset(folder, tokenizer)


def prepared_folder(text: TextConfig, beside: Path) -> Path:
    """Where the tokenised text is kept."""
    return Path(text.folder) if text.folder else beside.parent / "prepared" / slug(text)


def slug(text: TextConfig) -> str:
    """A folder's name for a corpus and a tokenizer."""
    tokenizer = text.tokenizer or f"{text.kind}-{text.vocab_size}"
    if text.corpus.startswith("hub:"):
        parts = [text.corpus, text.config, text.split, text.revision, text.column, tokenizer]
    else:
        parts = [text.corpus, tokenizer]
    name = "-".join(filter(None, parts))
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.")


def split(dataset: TokenDataset, hold_out: str) -> tuple[TokenDataset, TokenDataset]:
    """The documents to train on, and those held out.

    A document that is held out word for word elsewhere in the text is not trained on either.

    Raises:
        ValueError: if one of the two would be empty.
    """
    numbers = range(dataset.num_documents)
    if hold_out:
        names = held_out_sources(hold_out)
        out = {i for i in numbers if dataset.sources[i] in names}
        if not out:
            raise ValueError(f"none of the documents that {hold_out!r} holds out is in this text: "
                             "leave hold_out empty, or name those of this corpus")
    else:
        few = numbers[-2:] if len(numbers) > 3 else numbers[-1:]
        out = set(numbers[EVERY - 1::EVERY] if len(numbers) >= 2 * EVERY else few)
    repeats = copies(dataset, out)
    rest = [i for i in numbers if i not in out | repeats]
    if repeats:
        print(f"{len(repeats)} documents are not trained on: the same words are held out")
    if not rest:
        raise ValueError("the text has one document, once repeats are left out, which cannot be both "
                         "trained on and held out: cut it into several")
    return dataset.subset(rest), dataset.subset(sorted(out))


def copies(dataset: TokenDataset, documents: set[int]) -> set[int]:
    """The other documents that have the very tokens of one of these."""
    def fingerprint(i: int) -> bytes:
        return hashlib.blake2b(dataset.document(i).tobytes(), digest_size=16).digest()

    known = {fingerprint(i) for i in documents}
    others = set(range(dataset.num_documents)) - documents
    return {i for i in others if fingerprint(i) in known}


def build_model(recipe: Recipe, training: TokenDataset) -> nn.Module:
    """The model of a recipe, its first weights drawn with the run's seed."""
    seed = recipe.train.seed
    if isinstance(recipe, BertRecipe):
        kind = BertForMaskedLM if recipe.masking.pairs == "none" else BertForPreTraining
        model = kind(recipe.model, seed)
        if recipe.start_at_neighbours:
            start_at_neighbours(model.encoder, seed=seed)
    else:
        model = ModernBertForMaskedLM(recipe.model, seed)
    if recipe.start_at_unigram and model.output_bias is not None:
        start_at_unigram(model.output_bias, token_counts(training, recipe.model.vocab_size))
    return model


def masked_lm(recipe: Recipe, tokenizer) -> MaskedLM:
    """How a recipe masks."""
    masking = recipe.masking
    return MaskedLM.of(tokenizer, rate=masking.rate, unit=masking.unit, replace=masking.replace)


def build_objective(recipe: Recipe, tokenizer) -> Objective:
    """The objective of a recipe."""
    masked = masked_lm(recipe, tokenizer)
    return masked if recipe.masking.pairs == "none" else BertPretraining(masked)


def views(training: TokenDataset, held_out: TokenDataset, recipe: Recipe,
          tokenizer) -> list[Source]:
    """What training sees of the documents to train on, and of those held out.

    Raises:
        ValueError: naming the part that is too small for a block, or for a pair.
    """
    length, found = recipe.text.length, []
    for name, part in (("documents to train on", training), ("held-out documents", held_out)):
        if part.tokens < length:
            raise ValueError(f"the {name} are smaller than one block: they have {part.tokens} "
                             f"tokens, and text.length is {length}. Choose a shorter length, "
                             "another hold_out, or a larger corpus")
        try:
            found.append(view(part, recipe, tokenizer))
        except ValueError as error:
            raise ValueError(f"the {name} do not suffice: {error}") from None
    return found


def view(dataset: TokenDataset, recipe: Recipe, tokenizer) -> Source:
    """What training sees of the tokenised text: full blocks, or pairs of segments."""
    special, length = special_ids(tokenizer), recipe.text.length
    if recipe.masking.pairs == "none":
        return PackedBlocks(dataset, length, special)
    task = {"next_sentence": "nsp", "order": "order"}[recipe.masking.pairs]
    negatives = "era" if recipe.text.corpus == "sotu" else None
    return SentencePairs(dataset, length, special, negatives=negatives, task=task)
