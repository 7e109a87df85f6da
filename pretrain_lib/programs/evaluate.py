"""How well a model knows a text: what its run held out, or any other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from ..data.tables.dialect import Dialect
from ..data.tasks.encoded import encode_texts
from ..data.text.load import load_text
from ..data.text.packing import PackedBlocks
from ..data.text.text_data import TextConfig, TextData, corpus_of, prepared
from ..data.text.token_dataset import TokenDataset
from ..data.text.tokenizer import load_tokenizer, special_ids, tokenizer_hash
from ..data.text.unknown import about_unknown, unknown_share
from ..evaluation.bits_per_byte import (
    CHARACTERS,
    BitsPerByte,
    bits_per_byte,
    text_spans,
)
from ..evaluation.masked import MaskedScores, MaskedSet, masked_scores
from ..evaluation.pseudo_perplexity import pseudo_log_likelihoods, pseudo_perplexity, scored_tokens
from ..evaluation.text_cost import is_causal
from ..objectives.masked_lm import MaskedLM
from ..objectives.text import require_head
from ..pretrained import find, load_pretrained
from ..training.run_folder import CONFIG, read_config
from .forgetting import masking_of
from .pretrain import OF_START, add_to_report, build_objective, from_before_data
from .recipe import Recipe, recipe_from

BESIDE = {"data": ("tokenizer_hash", "training_text", "held_out_text"), "model": OF_START}
LENGTH = 128  # of blocks with blanks, where no recipe says it
BLOCKS = 256  # with blanks, at most
PASSAGES, PASSAGE = 64, 4096  # of another text so many, of so many characters, have blanks
IN_TURN = 16  # spans of which each token is hidden in turn


@dataclass(frozen=True)
class TextScores:
    """How well a model knows a text.

    Attributes:
        masked: on blanks of it; None where every token is [UNK], which is no blank, and of a causal
            model, which fills none.
        bits: what a byte of it costs.
        pseudo_perplexity: of tokens hidden one at a time; None as above.
        unknown: share of [UNK] among its tokens.
    """

    masked: MaskedScores | None
    bits: BitsPerByte
    pseudo_perplexity: float | None
    unknown: float

    def __str__(self) -> str:
        masked, bits, told = self.masked, self.bits, []
        if masked is not None:
            told.append(f"loss {masked.loss:.4f} nats, accuracy {masked.accuracy:.2%}, "
                        f"{masked.blanks} blanks")
        if self.pseudo_perplexity is not None:
            told.append(f"pseudo-perplexity {self.pseudo_perplexity:.2f}")
        if bits.orders:
            blanks = ', '.join(told) or "no token can be hidden"
            blanks = f"{blanks}: not to compare across tokenizers\n"
            most, draws = "at most ", f", {bits.orders} draws each"
        else:
            blanks = most = draws = ""
        return (f"{blanks}{most}{bits.value:.3f} bits a byte, standard error "
                f"{bits.standard_error:.3f} ({bits.spans} spans of up to {CHARACTERS} characters"
                f"{draws}; {bits.lost:.1%} of the bytes are lost by the tokenizer, and cost 8 bits)"
                f": to compare across tokenizers\n{about_unknown(self.unknown)}")


def is_run(folder: str | Path) -> bool:
    """Whether it is the folder of a run."""
    return (Path(folder) / "checkpoints").is_dir() and (Path(folder) / CONFIG).is_file()


def evaluate_held_out(folder: str | Path) -> TextScores:
    """Scores a run's model on the documents that the run held out, and keeps that in its folder.

    Raises:
        ValueError: if the run was not one of a recipe on text, or neither filled blanks nor said
            texts from left to right.
    """
    folder = Path(folder)
    model, recipe = load_pretrained(folder), recipe_of(folder)
    if not isinstance(recipe.data.config, TextConfig):
        raise ValueError(f"the run in {folder} read no text, and is scored on text: give another")
    data = TextData(recipe.data.config, *prepared(recipe.data.config, folder))
    objective = build_objective(recipe, data)
    blanks_of = masking_of(objective, data.tokenizer)
    if blanks_of is None and not is_causal(model):
        raise ValueError(f"the run in {folder} filled no blanks, and is scored on them: give one "
                         "whose objective is MaskedLM, MaskedDiffusion or BertPretraining")
    config, held_out = data.config, data.documents[1]
    numbers = set(held_out.numbers.tolist())
    texts = (document.text for i, document in enumerate(corpus_of(config)) if i in numbers)
    scores = scored(model, data.tokenizer, held_out, blanks_of, text_spans(texts), config.length)
    add_to_report(folder, held_out=asdict(scores) | {"bits": scores.bits._asdict()})
    return scores


def evaluate_text(name: str | Path, on: str | Path, column: str = "text",
                  dialect: Dialect = Dialect()) -> TextScores:
    """Scores a model on any text.

    Args:
        name: a folder, a run's folder, or a name of the zoo.
        on: what `load_text` takes.
        column: where rows of files hold their text.
        dialect: how a table is written, as far as it is said.
    """
    model, tokenizer = load_pretrained(name), load_tokenizer(find(name))
    corpus = load_text(on, column=column, dialect=dialect)
    passages = text_spans((document.text for document in corpus), PASSAGES, PASSAGE)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(passages, add_special_tokens=False)]
    documents = TokenDataset.in_memory(ids, tokenizer.get_vocab_size())
    length = recipe_of(name).data.config.length if is_run(name) else length_for(model)
    return scored(model, tokenizer, documents, MaskedLM.of(tokenizer),
                  text_spans(document.text for document in corpus), length)


def evaluate_blanks(name: str | Path, blanks: Path) -> str:
    """Scores a model on blanks that are the same for everybody, as a line for people.

    Raises:
        ValueError: if it reads with another tokenizer than the blanks were made with.
    """
    folder = find(name)
    mine, theirs = (tokenizer_hash(load_tokenizer(place)) for place in (folder, blanks))
    if mine != theirs:
        raise ValueError(f"{folder} reads with another tokenizer ({mine[:12]}…) than the blanks of "
                         f"{blanks} were made with ({theirs[:12]}…): losses would not compare")
    scores = masked_scores(load_pretrained(name), MaskedSet.load(blanks))
    return f"loss {scores.loss:.4f} nats, accuracy {scores.accuracy:.2%}, {scores.blanks} blanks"


def scored(model: nn.Module, tokenizer, documents: TokenDataset, masked_lm: MaskedLM | None,
           spans: list[str], length: int) -> TextScores:
    """The scores of a model on spans of documents' text and, if not causal, on blanks of them."""
    require_head(model)
    special = special_ids(tokenizer)
    unknown = unknown_share(documents.counts, special)
    length = max(3, min(length, documents.tokens))  # of a short text one block, which is full
    blocks = PackedBlocks(documents, length, special)
    chosen = range(0, len(blocks), -(-len(blocks) // BLOCKS))
    bits = bits_per_byte(model, tokenizer, spans, length=length)
    if is_causal(model):
        return TextScores(None, bits, None, unknown)
    blanks = MaskedSet.draw(blocks, masked_lm, chosen)
    one_by_one = encode_texts(spans[:IN_TURN], tokenizer, length).columns
    counts, pseudo = scored_tokens(one_by_one["input_ids"], special), None
    if counts.any():
        found = pseudo_log_likelihoods(model, one_by_one["input_ids"], special,
                                       one_by_one["attention_mask"])
        pseudo = pseudo_perplexity(found, counts)
    return TextScores(masked_scores(model, blanks) if blanks.blanks else None, bits, pseudo,
                      unknown)


def recipe_of(folder: str | Path) -> Recipe:
    """The recipe that a run's config.json says.

    Raises:
        ValueError: if the run was not one of a recipe.
    """
    path = Path(folder) / CONFIG
    said = read_config(path).get("recipe")
    if not said:
        raise ValueError(f"the run in {folder} has no recipe, so nobody knows what it held out: "
                         "say a text, with --on")
    said = from_before_data(said, path) if "architecture" in said else said
    parts = {part: {name: value for name, value in said[part].items() if name not in beside}
             for part, beside in BESIDE.items()}  # what a recipe does not say
    said = {name: value for name, value in said.items() if name != "keep_an_eye_on"}
    return recipe_from(said | parts, str(path))


def length_for(model: nn.Module) -> int:
    """How many tokens a model reads at once, where no recipe says it."""
    return min(LENGTH, model.encoder.config.max_position_embeddings)
