"""Masking against counts, brute force and closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds, continues_word, train_tokenizer
from pretrain_lib.models.bert import BertModel
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel
from pretrain_lib.objectives.causal_lm import CausalLM
from pretrain_lib.objectives.masked_lm import LONGEST_SPAN, MaskedLM, choose_positions
from pretrain_lib.objectives.replaced_token import ReplacedTokenDetection
from pretrain_lib.objectives.text import text_inputs, token_loss
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.loader import micro_batches
from pretrain_lib.training.trainer import Trainer

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)
V = 200
CONTINUES = torch.arange(V) % 10 >= 7  # three in ten tokens continue a word
CONTINUES[:5] = False
UNITS = ["token", "word", "span"]


def texts(n: int, length: int = 128, seed: int = 0, ragged: bool = True):
    """[CLS] tokens [SEP] [PAD] …, with an [UNK] here and there; ids and mask, (n, length)."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, V, (n, length), generator=generator)
    ids[torch.rand(n, length, generator=generator) < 0.01] = SPECIAL.unk
    ends = torch.full((n, 1), length - 1)
    if ragged and length > 2:
        ends = torch.randint(2, length, (n, 1), generator=generator)
    place = torch.arange(length)
    ids[:, 0] = SPECIAL.cls
    ids.scatter_(1, ends, SPECIAL.sep)
    ids.masked_fill_(place > ends, SPECIAL.pad)
    return ids, (place <= ends).long()


def objective(unit: str = "token", **settings) -> MaskedLM:
    return MaskedLM(SPECIAL, V, unit=unit, continues=CONTINUES, **settings)


def chosen(masked, length: int) -> torch.Tensor:
    """(B, T) bool, which tokens are in a used slot."""
    used = masked.labels != -100
    at = torch.zeros(len(used), length, dtype=torch.long)
    at.scatter_add_(1, masked.positions, used.long())
    assert at.max() <= 1  # nothing is chosen twice
    return at.bool()


def words_of(row: list[int]) -> list[list[int]]:
    """The positions of each word of a row, by brute force."""
    words = []
    for i, token in enumerate(row):
        if token in SPECIAL:
            words.append([])
        elif CONTINUES[token] and words and words[-1]:
            words[-1].append(i)
        else:
            words.append([i])
    return [word for word in words if word]


@pytest.fixture(scope="module")
def million():
    """A million tokens and as much padding, masked at 15 % in the shares 80/10/10."""
    ids, _ = texts(17_000, 128)
    assert (ids >= 5).sum() > 1e6 and (ids == SPECIAL.pad).sum() > 1e6
    return ids, objective().mask(ids, Keys.of(0, len(ids)))


def within(count: int, n: int, share: float) -> bool:
    """Whether a count is within five standard deviations of a binomial's mean."""
    return abs(count - n * share) < 5 * math.sqrt(n * share * (1 - share))


def assert_80_10_10(masked: int, kept: int, other: int, by_chance: float) -> None:
    """Whether counts are 80/10/10, in bounds that 81/10/9 would leave.

    Args:
        masked, kept, other: how many became [MASK], stayed, and became another token.
        by_chance: probability that a random token is [MASK], and that it is the truth.
    """
    n = masked + kept + other
    assert within(masked, n, 0.8 + by_chance)
    assert within(kept, n, 0.1 + by_chance)
    assert within(other, n, 0.1 - 2 * by_chance)
    assert not within(round(0.81 * n), n, 0.8) and not within(round(0.09 * n), n, 0.1)


class TestAMillionTokens:
    def test_the_rate_is_within_binomial_bounds(self, million):
        ids, masked = million
        allowed = int((ids >= 5).sum())
        assert within(int((masked.labels != -100).sum()), allowed, 0.15)

    def test_the_rate_does_not_depend_on_how_much_is_padding(self, million):
        ids, masked = million
        hidden, allowed = (masked.labels != -100).sum(1), (ids >= 5).sum(1)
        for shortest in range(1, 127, 6):
            rows = (allowed >= shortest) & (allowed < shortest + 6)
            assert rows.sum() > 500
            assert within(int(hidden[rows].sum()), int(allowed[rows].sum()), 0.15), shortest

    def test_80_are_masked_10_random_10_kept(self, million):
        """Two overlapping draws would give 81/10/9 (a known fault of others)."""
        ids, masked = million
        where = chosen(masked, 128)
        truth, shown = ids[where], masked.input_ids[where]
        masks, same = int((shown == SPECIAL.mask).sum()), int((shown == truth).sum())
        assert_80_10_10(masks, same, len(truth) - masks - same, 0.1 / V)

    def test_every_position_and_every_token_is_as_likely(self, million):
        ids, masked = million
        where, allowed = chosen(masked, 128), ids >= 5
        for i in range(1, 127):
            assert within(int(where[:, i].sum()), int(allowed[:, i].sum()), 0.15), i
        share = torch.bincount(ids[where], minlength=V)[5:]
        total = torch.bincount(ids[allowed], minlength=V)[5:]
        assert all(within(int(c), int(n), 0.15) for c, n in zip(share, total, strict=True))

    def test_random_tokens_are_drawn_from_the_whole_vocabulary_evenly(self, million):
        ids, masked = million
        where = chosen(masked, 128)
        other = where & (masked.input_ids != ids) & (masked.input_ids != SPECIAL.mask)
        counts = torch.bincount(masked.input_ids[other], minlength=V)
        n = int(where.sum())
        for token, count in enumerate(counts.tolist()):
            if token != SPECIAL.mask:
                assert within(count, n, 0.1 / V), token

    def test_special_tokens_and_padding_are_never_chosen(self, million):
        ids, masked = million
        where = chosen(masked, 128)
        for special in SPECIAL:
            assert not where[ids == special].any()
        assert (masked.input_ids[ids == SPECIAL.pad] == SPECIAL.pad).all()

    def test_labels_are_the_true_tokens_and_nothing_else_changes(self, million):
        ids, masked = million
        where = chosen(masked, 128)
        assert torch.equal(masked.input_ids[~where], ids[~where])
        used = masked.labels != -100
        assert torch.equal(masked.labels[used], ids.gather(1, masked.positions)[used])
        assert (masked.positions[~used] == 0).all()

    def test_single_tokens_are_chosen_independently_of_their_neighbours(self):
        ids, _ = texts(10_000, 128, ragged=False)
        where = chosen(objective().mask(ids, Keys.of(0, len(ids))), 128)[:, 1:-1]
        both = where[:, :-1] & where[:, 1:]
        # without replacement: 19 of 126, or 18; pairs a little rarer than 0.15²
        assert both.float().mean() == pytest.approx(0.15 * (0.15 * 126 - 1) / 125, rel=0.02)


@pytest.mark.parametrize("unit", ["word", "span"])
def test_the_rate_holds_for_words_and_spans(unit):
    ids, _ = texts(17_000, 128)
    where = chosen(objective(unit).mask(ids, Keys.of(0, len(ids))), 128)
    allowed = int((ids >= 5).sum())
    assert allowed > 1e6
    assert int(where.sum()) / allowed == pytest.approx(0.15, rel=5e-3)
    assert not where[ids < 5].any()


def test_of_the_tokens_of_words_80_are_masked_10_random_10_kept(million):
    ids, _ = million
    masked = objective("word").mask(ids, Keys.of(0, len(ids)))
    where = chosen(masked, 128)
    shown, truth = masked.input_ids[where], ids[where]
    masks, same = int((shown == SPECIAL.mask).sum()), int((shown == truth).sum())
    assert_80_10_10(masks, same, len(truth) - masks - same, 0.1 / V)


def test_of_spans_80_are_masked_10_random_10_kept():
    """Tokens of a span share its fate, so that spans are counted, from two tokens on: there, chance
    makes a random span look masked or kept in one of V² cases at most."""
    ids, _ = texts(40_000, 128)
    mlm, keys = objective("span"), Keys.of(0, len(ids))
    masked, units = mlm.mask(ids, keys), mlm.units(ids, keys)
    where = chosen(masked, 128)
    span = (units + 128 * torch.arange(len(ids))[:, None])[where]  # a number of its own in each row
    shown, truth = masked.input_ids[where], ids[where]
    size = span.bincount()
    masks = span[shown == SPECIAL.mask].bincount(minlength=len(size)) == size
    same = span[shown == truth].bincount(minlength=len(size)) == size
    several = size > 1
    counts = [int((kind & several).sum()) for kind in (masks, same, ~(masks | same))]
    assert_80_10_10(*counts, by_chance=0)


def test_words_are_hidden_whole():
    ids, _ = texts(300, 64)
    where = chosen(objective("word", rate=0.3).mask(ids, Keys.of(1, 300)), 64)
    several = 0
    for row, hidden in zip(ids.tolist(), where, strict=True):
        for word in words_of(row):
            shares = hidden[word].tolist()
            assert all(shares) or not any(shares)
            several += len(word) > 1 and all(shares)
    assert several > 100


def test_the_labels_of_whole_words_are_not_dropped():
    """Computed and then thrown away by a known fault of others: then nothing is learned."""
    ids, mask = texts(50, 64)
    batch = objective("word").batch({"input_ids": ids, "attention_mask": mask}, Keys.of(0, 50))
    used = batch.targets["labels"] != -100
    assert batch.counts["masked_lm"] == used.sum() > 100
    truth = ids.gather(1, batch.inputs["positions"])
    assert torch.equal(batch.targets["labels"][used], truth[used])


@pytest.mark.parametrize("unit", UNITS)
def test_the_attention_mask_is_kept(unit):
    """Lost by a known fault of others, so that the model reads padding."""
    ids, mask = texts(8, 32)
    types = torch.ones_like(ids)
    samples = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    inputs = objective(unit).batch(samples, Keys.of(0, 8)).inputs
    assert torch.equal(inputs["attention_mask"], mask)
    assert torch.equal(inputs["token_type_ids"], types)


def test_a_mask_that_hides_nothing_is_left_out_and_places_that_say_something_are_not():
    ids, ones = texts(2, 8, ragged=False)[0], torch.ones(2, 8, dtype=torch.long)
    place = torch.arange(8).expand(2, 8)
    assert text_inputs({"input_ids": ids, "attention_mask": ones, "position_ids": place}) == {}
    shifted = text_inputs({"attention_mask": ones, "position_ids": place + 1})
    assert list(shifted) == ["position_ids"]
    several = ones.clone()
    several[:, 4:] = 2
    both = text_inputs({"attention_mask": several, "position_ids": place})
    assert both.keys() == {"attention_mask", "position_ids"}


class TestSpans:
    def spans(self, ids, seed=0):
        units = objective("span").units(ids, Keys.of(seed, len(ids)))
        for row in units.tolist():
            runs = {}
            for i, unit in enumerate(row):
                if unit >= 0:
                    runs.setdefault(unit, []).append(i)
            yield runs

    def test_they_are_contiguous_and_hold_at_most_ten_whole_words(self):
        ids, _ = texts(200, 96)
        longest = 0
        for row, runs in zip(ids.tolist(), self.spans(ids), strict=True):
            words = words_of(row)
            covered = []
            for run in runs.values():
                assert run == list(range(run[0], run[-1] + 1))
                inside = [word for word in words if word[0] in run]
                assert [i for word in inside for i in word] == run
                assert len(inside) <= LONGEST_SPAN
                longest = max(longest, len(inside))
                covered += run
            assert sorted(covered) == [i for word in words for i in word]
        assert longest == LONGEST_SPAN

    def test_their_lengths_are_geometric_with_a_mean_of_3_8_words(self):
        """P(ℓ) ∝ 0.2 · 0.8^(ℓ−1) for ℓ up to 10: clipped to 10 the mean would be 4.5."""
        ids = torch.full((2000, 256), 5)  # words of one token
        first = [list(runs.values())[:20] for runs in self.spans(ids)]  # 20 · 10 < 256: none cut
        lengths = torch.tensor([len(run) for runs in first for run in runs])
        weight = torch.tensor([0.8 ** (k - 1) for k in range(1, 11)], dtype=torch.float64)
        expected = weight / weight.sum()
        assert float(expected @ torch.arange(1.0, 11.0, dtype=torch.float64)) == pytest.approx(
            3.8, abs=0.01)
        counts = torch.bincount(lengths, minlength=11)[1:]
        assert len(counts) == 10
        assert all(within(int(c), len(lengths), float(p))
                   for c, p in zip(counts, expected, strict=True))

    def test_a_span_becomes_mask_random_or_stays_as_a_whole(self):
        ids, _ = texts(400, 96, ragged=False)
        keys = Keys.of(2, 400)
        mlm = objective("span")
        masked, units = mlm.mask(ids, keys), mlm.units(ids, keys)
        kinds = set()
        for row in range(400):
            used = masked.labels[row] != -100
            at = masked.positions[row][used]
            for unit in units[row, at].unique():
                place = at[units[row, at] == unit]
                if len(place) < 4:
                    continue
                shown, truth = masked.input_ids[row, place], ids[row, place]
                kind = ("masked" if (shown == SPECIAL.mask).all() else
                        "kept" if torch.equal(shown, truth) else "random")
                if kind == "random":
                    assert (shown == SPECIAL.mask).sum() + (shown == truth).sum() <= 1
                kinds.add(kind)
        assert kinds == {"masked", "random", "kept"}

    def test_text_without_special_tokens_begins_a_word_of_its_own(self):
        """A row cut out of a text may begin in the middle of a word."""
        row = torch.tensor([[8, 10, 18, 11]])  # ##a b ##c d
        assert CONTINUES[[8, 18]].all()
        assert objective("word").units(row, Keys.of(0, 1)).tolist() == [[0, 1, 1, 2]]


@pytest.mark.parametrize("unit", UNITS)
@given(length=st.integers(1, 40), rate=st.floats(0.01, 0.99), n=st.integers(1, 6),
       seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_what_holds_for_every_length_rate_and_unit(unit, length, rate, n, seed):
    ids, mask = texts(n, length, seed)
    mlm = objective(unit, rate=rate)
    keys = Keys.of(seed, n)
    batch = mlm.batch({"input_ids": ids, "attention_mask": mask}, keys)
    labels, positions = batch.targets["labels"], batch.inputs["positions"]
    slots = mlm.slots(length)
    assert labels.shape == positions.shape == (n, slots) and slots <= length
    where = chosen(mlm.mask(ids, keys), length)
    assert not where[ids < 5].any()
    assert torch.equal(batch.inputs["input_ids"][~where], ids[~where])
    assert batch.counts["masked_lm"] == where.sum()
    for row, hidden in zip(ids.tolist(), where, strict=True):
        sizes = [len(word) for word in words_of(row)]
        allowed, longest = sum(sizes), max(sizes, default=0)
        if unit == "token":
            assert math.floor(rate * allowed) <= hidden.sum() <= math.ceil(rate * allowed)
        elif unit == "word":
            assert hidden.sum() < rate * allowed + max(longest, 1)


@pytest.mark.parametrize("unit", UNITS)
def test_the_number_of_slots_is_the_same_in_every_batch(unit):
    shapes = set()
    for seed in range(5):
        ids, mask = texts(16, 48, seed)
        batch = objective(unit).batch({"input_ids": ids, "attention_mask": mask}, Keys.of(seed, 16))
        shapes.add(batch.inputs["positions"].shape)
    assert len(shapes) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("unit", ["token", "word"])
def test_short_sequences_are_masked_at_the_same_rate(n, unit):
    """Rounding 0.15 · n up would hide half of two tokens, rounding down never any."""
    ids = torch.randint(5, V, (1, n), generator=torch.Generator().manual_seed(n)).repeat(20_000, 1)
    masked = objective(unit).mask(ids, Keys.of(0, len(ids)))
    hidden = (masked.labels != -100).sum(1).double()
    bound = 5 * hidden.std() / math.sqrt(len(ids))
    assert abs(hidden.mean() - 0.15 * n) < bound
    assert hidden.std() > 0


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), rate=st.floats(0.05, 0.95))
@settings(max_examples=25, deadline=None)
def test_units_of_any_sizes_keep_the_expectation(sizes, rate):
    units = torch.tensor([[u for u, size in enumerate(sizes) for _ in range(size)]])
    n = units.shape[1]
    _, used = choose_positions(Keys.of(0, 4000), units.expand(4000, n), rate, n)
    count = used.sum(1).double()
    assert abs(count.mean() - rate * n) <= 6 * count.std() / math.sqrt(4000) + 1e-9


def test_a_batch_in_which_nothing_can_be_hidden_is_refused():
    """Where every token is said to continue a word, a text is one word, too long to be hidden."""
    ids, _ = texts(8, 40, ragged=False)
    blind = MaskedLM(SPECIAL, V, unit="word", continues=torch.ones(V, dtype=torch.bool))
    with pytest.raises(ValueError, match='of 3[0-9]{2} tokens none could be hidden: every word is .*unit="token"'):
        blind.batch({"input_ids": ids}, Keys.of(0, range(8)))
    one_long_word = blind.batch({"input_ids": ids[:1, :20]}, Keys.of(0, range(1)))
    assert one_long_word.counts == {"masked_lm": 0.0}  # too little text to tell


def test_a_foreign_tokenizer_hides_tokens_without_knowing_words():
    from tokenizers import Tokenizer, models

    words = {t: i for i, t in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b</w>"))}
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="[UNK]", end_of_word_suffix="</w>"))
    assert MaskedLM.of(tokenizer).vocab_size == 7
    with pytest.raises(ValueError, match="does not tell whether it begins a word"):
        MaskedLM.of(tokenizer, unit="span")


@pytest.mark.parametrize("hidden", [8, 256], ids=["fewer than tokens", "more than tokens"])
@pytest.mark.parametrize("kind", [ModernBertModel, BertModel])
def test_an_encoder_without_a_head_is_refused(kind, hidden):
    """Its hidden states would be taken for scores of tokens."""
    model = kind(kind.config_class(vocab_size=V, hidden_size=hidden, intermediate_size=8, num_hidden_layers=1,
                                   num_attention_heads=2))
    ids, mask = texts(4, 32)
    for task in (objective(), CausalLM(), ReplacedTokenDetection(model, objective())):
        batch = task.batch({"input_ids": ids, "attention_mask": mask}, Keys.of(0, range(4)))
        with pytest.raises(ValueError, match=f"{kind.__name__} has no head that predicts tokens: give a {kind.__name__[:-5]}For"):
            task(model, batch)


def test_a_model_with_fewer_tokens_than_the_tokenizer_is_refused():
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=V - 1, hidden_size=8, intermediate_size=8,
                                                   num_hidden_layers=1, num_attention_heads=2))
    ids, mask = texts(4, 32)
    batch = objective().batch({"input_ids": ids.clamp(max=V - 2), "attention_mask": mask}, Keys.of(0, range(4)))
    batch.inputs["input_ids"].clamp_(max=V - 2)
    with pytest.raises(ValueError, match="tokenizer has 200 tokens, and the model answers with 199"):
        objective()(model, batch)
    batch.inputs["input_ids"][0, 0] = V - 1
    with pytest.raises(ValueError, match="input_ids must be 0 to 198, the ids of the vocabulary, got 199: encode"):
        model(**batch.inputs)


class TestTheSameEverywhere:
    def source(self):
        ids, mask = texts(60, 32)
        return Columns(input_ids=ids, attention_mask=mask)

    @pytest.mark.parametrize("unit", UNITS)
    def test_with_0_and_3_workers(self, unit):
        """Labels survive the way from a worker."""
        runs = []
        for workers in (0, 3):
            config = TrainConfig(steps=6, batch_size=8, workers=workers, device="cpu")
            runs.append(list(micro_batches(self.source(), objective(unit), config, 0, False)))
        assert len(runs[0]) == len(runs[1]) == 6
        for one, two in zip(*runs, strict=True):
            assert one.counts == two.counts and one.counts["masked_lm"] > 0
            for name in one.inputs:
                assert torch.equal(one.inputs[name], two.inputs[name]), name
            assert torch.equal(one.targets["labels"], two.targets["labels"])
            truth = self.source().input_ids[one.samples].gather(1, one.inputs["positions"])
            used = two.targets["labels"] != -100
            assert torch.equal(two.targets["labels"][used], truth[used])

    @pytest.mark.parametrize("unit", UNITS)
    def test_on_one_rank_and_on_two(self, unit):
        mlm, source = objective(unit), self.source()
        whole = Keys.of(3, range(10, 26), epoch=2)
        halves = [Keys.of(3, part, epoch=2) for part in (range(10, 18), range(18, 26))]
        together = mlm.batch(source.take(whole), whole)
        parts = [mlm.batch(source.take(keys), keys) for keys in halves]
        for name in ("input_ids", "positions"):
            both = torch.cat([part.inputs[name] for part in parts])
            assert torch.equal(together.inputs[name], both)
        labels = torch.cat([part.targets["labels"] for part in parts])
        assert torch.equal(together.targets["labels"], labels)
        assert together.counts["masked_lm"] == sum(p.counts["masked_lm"] for p in parts)

    def test_not_in_another_epoch_or_run(self):
        mlm, ids = objective(), texts(4, 32)[0]
        masks = [mlm.mask(ids, keys).positions for keys in
                 (Keys.of(0, 4), Keys.of(0, 4, epoch=1), Keys.of(1, 4))]
        assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


class TestTheLoss:
    def batch(self, n=4, length=32):
        ids, mask = texts(n, length)
        return objective().batch({"input_ids": ids, "attention_mask": mask}, Keys.of(0, n))

    def test_it_is_the_sum_over_the_chosen_tokens_alone(self):
        """Padding counted in the loss is a known fault of others."""
        batch = self.batch()
        labels = batch.targets["labels"]
        logits = torch.randn(*labels.shape, V, dtype=torch.float64, requires_grad=True)
        loss = objective()(lambda **inputs: logits, batch)["masked_lm"]
        brute = -sum(logits[b, s].log_softmax(0)[labels[b, s]].item()
                     for b in range(labels.shape[0]) for s in range(labels.shape[1])
                     if labels[b, s] != -100)
        assert loss.item() == pytest.approx(brute, rel=1e-12)
        loss.backward()
        assert (logits.grad[labels == -100] == 0).all()
        assert (logits.grad[labels != -100].abs().sum(-1) > 0).all()
        assert (labels == -100).any()

    def test_it_keeps_double_precision_and_raises_half(self):
        labels = torch.tensor([1, -100])
        assert token_loss(torch.randn(2, 5, dtype=torch.float64), labels).dtype == torch.float64
        logits = torch.full((2, 5), 300.0, dtype=torch.float16)
        assert token_loss(logits, labels).item() == pytest.approx(math.log(5), rel=1e-6)

    def test_it_equals_that_of_transformers(self):
        import transformers

        config = transformers.BertConfig(vocab_size=V, hidden_size=16, num_hidden_layers=1,
                                         num_attention_heads=2, intermediate_size=24,
                                         hidden_dropout_prob=0.0,
                                         attention_probs_dropout_prob=0.0,
                                         max_position_embeddings=32)
        theirs = transformers.BertForMaskedLM(config).eval()
        batch = self.batch()
        used = batch.targets["labels"] != -100
        labels = torch.full_like(batch.inputs["input_ids"], -100)
        rows = torch.arange(len(labels))[:, None].expand_as(used)
        labels[rows[used], batch.inputs["positions"][used]] = batch.targets["labels"][used]

        def model(input_ids, attention_mask, positions):
            logits = theirs(input_ids, attention_mask).logits
            return logits[torch.arange(len(logits))[:, None], positions]

        total = objective()(model, batch)["masked_lm"].item()
        their_mean = theirs(batch.inputs["input_ids"], batch.inputs["attention_mask"],
                            labels=labels).loss.item()
        assert total / batch.counts["masked_lm"] == pytest.approx(their_mean, rel=1e-5)

    def test_nothing_to_hide_is_no_loss(self):
        ids = torch.tensor([[SPECIAL.cls, SPECIAL.sep, SPECIAL.pad, SPECIAL.pad]])
        batch = objective().batch({"input_ids": ids}, Keys.of(0, 1))
        assert batch.counts == {"masked_lm": 0}
        logits = torch.randn(*batch.targets["labels"].shape, V, requires_grad=True)
        loss = objective()(lambda **inputs: logits, batch)["masked_lm"]
        loss.backward()
        assert loss == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("unit", UNITS)
def test_a_model_is_trained_by_it(unit):
    """Texts that count upwards are easy to fill in."""
    start = torch.randint(5, V - 40, (64, 1), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([torch.full((64, 1), 2), start + torch.arange(22), torch.full((64, 1), 3)], 1)
    model = ModernBertForMaskedLM(ModernBertConfig(V, 32, 32, 2, 2, 32, initializer_range=0.1))
    config = TrainConfig(steps=20, batch_size=32, learning_rate=2e-2, device="cpu", log_every=1)
    trainer = Trainer(model, objective(unit), Columns(input_ids=ids), config)
    history = trainer.fit()
    assert history.losses[-1] < history.losses[0] - 0.3


def test_the_words_of_a_real_tokenizer_are_hidden_whole():
    text = ["an unbelievable misunderstanding of understandable beliefs"] * 20
    tokenizer = train_tokenizer(text, vocab_size=60)
    mlm = MaskedLM.of(tokenizer, unit="word", rate=0.4)
    assert mlm.special.mask == tokenizer.token_to_id("[MASK]")
    encoding = tokenizer.encode(text[0])
    ids = torch.tensor([encoding.ids]).repeat(40, 1)
    where = chosen(mlm.mask(ids, Keys.of(0, 40)), ids.shape[1])
    words = torch.tensor([-1 if w is None else w for w in encoding.word_ids])
    assert continues_word(tokenizer)[encoding.ids].any()
    for row in where:
        for word in range(int(words.max()) + 1):
            assert len(row[words == word].unique()) == 1


def test_the_words_of_a_byte_level_tokenizer_are_hidden_whole():
    """With the commas behind them, and all bytes of a letter; a space belongs to the next word."""
    text = "Naïve, unbelievable “misunderstanding” of 你好 understandable beliefs!"
    tokenizer = train_tokenizer([text] * 20, vocab_size=300, kind="bpe")
    encoding = tokenizer.encode(text)
    ids = torch.tensor([encoding.ids]).repeat(400, 1)
    words = torch.tensor([text[:end].count(" ") if end else -1 for _, end in encoding.offsets])
    sizes = words[words >= 0].bincount()
    assert len(sizes) == 7 and (sizes > 1).sum() > 4
    mlm = MaskedLM.of(tokenizer, unit="word", rate=0.4)
    where = chosen(mlm.mask(ids, Keys.of(0, 400)), ids.shape[1])
    assert not where[:, words < 0].any()
    for word in range(7):
        hidden = where[:, words == word].double().mean(1)
        assert set(hidden.tolist()) == {0, 1}, word  # each word in some of the rows, never a part


class TestErrors:
    @pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, math.nan])
    def test_a_rate_that_hides_nothing_or_all(self, rate):
        with pytest.raises(ValueError, match=f"rate must lie strictly between 0 and 1, got {rate}"):
            objective(rate=rate)

    def test_an_unknown_unit(self):
        with pytest.raises(ValueError, match="token, word, span, entity, got 'sentence'"):
            objective("sentence")

    @pytest.mark.parametrize("replace", [(0.8, 0.1, 0.2), (1.1, -0.1, 0), (0.9, 0.1), (),
                                         (math.nan, 0.5, 0.5)])
    def test_shares_that_are_none(self, replace):
        with pytest.raises(ValueError, match="three shares that sum to 1"):
            objective(replace=replace)

    @pytest.mark.parametrize("unit", ["word", "span"])
    def test_words_of_an_unknown_tokenizer(self, unit):
        with pytest.raises(ValueError, match=f"{unit}.*continues=continues_word"):
            MaskedLM(SPECIAL, V, unit=unit)

    def test_a_source_without_tokens(self):
        with pytest.raises(ValueError, match="no column 'input_ids'.*images"):
            objective().batch({"images": torch.zeros(1, 2)}, Keys.of(0, 1))

    def test_a_model_that_answers_everywhere(self):
        batch = TestTheLoss().batch()
        with pytest.raises(ValueError, match=r"\(4, 5\) labels.*\(4, 32, 200\)"):
            objective()(lambda **inputs: torch.zeros(4, 32, V), batch)

    def test_a_model_with_two_heads(self):
        class Two(nn.Module):
            def forward(self, **inputs):
                return (torch.zeros(4, 5, V), torch.zeros(4, 2))

        with pytest.raises(ValueError, match="answered with a tuple"):
            objective()(Two(), TestTheLoss().batch())


@pytest.mark.parametrize("replace, kind", [((1, 0, 0), "masked"), ((0, 1, 0), "random"),
                                           ((0, 0, 1), "kept")])
def test_shares_of_one(replace, kind):
    ids, _ = texts(200, 64)
    masked = objective(replace=replace).mask(ids, Keys.of(0, 200))
    where = chosen(masked, 64)
    shown, truth = masked.input_ids[where], ids[where]
    same = F.one_hot((shown == truth).long(), 2).sum(0)
    if kind == "masked":
        assert (shown == SPECIAL.mask).all()
    elif kind == "kept":
        assert torch.equal(shown, truth)
    else:
        assert same[1] < 0.03 * len(truth) and (shown == SPECIAL.mask).float().mean() < 0.03
