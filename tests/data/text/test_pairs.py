"""Sentence pairs: true continuations, honest negatives, both classes, pure functions of keys."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.pairs import Run, SentencePairs, cut_outer_ends
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import SpecialIds

PAD, UNK, CLS, SEP, MASK = SPECIAL = SpecialIds(0, 1, 2, 3, 4)
IS_NEXT, NOT_NEXT = 0, 1

shapes = st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(1, 9), max_size=8)),
                  min_size=1, max_size=8)
seeds = st.integers(0, 2**32 - 1)


def data_set(shape) -> TokenDataset:
    """Documents of (era, lengths of sentences), in which no token occurs twice."""
    tokens = iter(range(5, 60_000))
    docs = [[[next(tokens) for _ in range(n)] for n in lengths] for _, lengths in shape]
    return TokenDataset.in_memory(docs, 60_000, labels=[{"era": era} for era, _ in shape])


def large(documents: int = 60) -> TokenDataset:
    """Documents of 2 to 40 sentences of 1 to 30 tokens, of three eras."""
    draw = np.random.default_rng(0)
    return data_set([("abc"[i % 3], draw.integers(1, 31, draw.integers(2, 41)).tolist())
                     for i in range(documents)])


class Where:
    """Where each token stands: its document, its place there, and which places open sentences."""

    def __init__(self, dataset: TokenDataset):
        self.place, self.opens, self.last = {}, set(), {}
        for i in range(dataset.num_documents):
            for place, token in enumerate(dataset.document(i).tolist()):
                self.place[token] = i, place
            self.opens |= {int(sentence[0]) for sentence in dataset.sentences(i)}
            self.last[i] = len(dataset.document(i)) - 1


def segments(row: dict[str, torch.Tensor]) -> tuple[list[int], list[int]]:
    """A and B of a pair, read off its columns, which must have BERT's form."""
    ids = row["input_ids"][row["attention_mask"] == 1].tolist()
    middle = ids.index(SEP)
    assert ids[0] == CLS and ids[-1] == SEP and ids.count(SEP) == 2
    n, types = len(ids), row["token_type_ids"].tolist()
    assert types[:n] == [0] * (middle + 1) + [1] * (n - middle - 1) and not any(types[n:])
    assert (row["input_ids"][n:] == PAD).all() and (row["attention_mask"][:n] == 1).all()
    return ids[1:middle], ids[middle + 1 : -1]


def rows(source, keys: Keys):
    columns = source.take(keys)
    assert all(column.dtype == torch.int64 for column in columns.values())
    for i in range(len(keys)):
        row = {name: column[i] for name, column in columns.items()}
        yield *segments(row), row["next_sentence_label"].item()


def one_run(places: list[tuple[int, int]]) -> bool:
    """Whether places lie in a row in one document."""
    (document, first), n = places[0], len(places)
    return places == [(document, first + i) for i in range(n)]


@given(shapes, st.integers(5, 40), seeds, st.sampled_from(["era", None]))
@settings(deadline=None, max_examples=200)
def test_positives_continue_and_negatives_come_from_elsewhere(shape, length, seed, negatives):
    dataset = data_set(shape)
    where = Where(dataset)
    try:
        source = SentencePairs(dataset, length, SPECIAL, negatives)
    except ValueError:
        counts = {era: sum(e == era and len(n) > 1 for e, n in shape) for era in "ab"}
        assert max(counts.values() if negatives else [sum(counts.values())]) < 2
        return
    for a, b, label in rows(source, Keys.of(seed, 3 * list(range(len(source))))):
        assert 1 <= len(a) and 1 <= len(b) and len(a) + len(b) <= length - 3
        of_a, of_b = ([where.place[token] for token in segment] for segment in (a, b))
        assert one_run(of_a) and one_run(of_b)
        assert b[0] in where.opens, "B begins with a sentence"
        assert of_b[0][1] > 0, "no true B opens a document, so no false one may"
        document, last = of_a[-1]
        if label == IS_NEXT:
            assert of_b[0] == (document, last + 1), "B is exactly what follows"
        else:
            assert of_b[0][0] != document, "B is of another document"
            if negatives:
                assert shape[of_b[0][0]][0] == shape[document][0], "… of the same era"


@given(shapes, st.integers(5, 40), seeds)
@settings(deadline=None, max_examples=100)
def test_order_swaps_the_two_parts_of_a_continuation(shape, length, seed):
    dataset = data_set(shape)
    assume((dataset.sentence_counts >= 2).any())
    where = Where(dataset)
    source = SentencePairs(dataset, length, SPECIAL, task="order")
    for a, b, label in rows(source, Keys.of(seed, len(source))):
        first, second = (b, a) if label else (a, b)
        assert one_run([where.place[token] for token in first + second])
        assert second[0] in where.opens


@pytest.mark.parametrize("task", ["nsp", "order"])
def test_both_labels_come_about_equally_often(task):
    """Neither is inverted nor ignored (BERT-pytorch#49, #110); no stretch has one label only."""
    source = SentencePairs(large(), 64, SPECIAL, task=task)
    labels = torch.stack([source.take(Keys.of(0, len(source), epoch))["next_sentence_label"]
                          for epoch in range(24)])  # (epochs, pairs)
    ones, n = labels.sum().item(), labels.numel()
    assert stats.binomtest(ones, n, 0.5).pvalue > 1e-3
    assert 0 < labels.sum(0).min() and labels.sum(0).max() < 24
    expected = stats.binom.pmf(range(25), 24, 0.5) * len(source)
    found = np.bincount(labels.sum(0), minlength=25)
    pool = [slice(0, 10), *range(10, 15), slice(15, 25)]
    assert stats.chisquare([found[i].sum() for i in pool],
                           [expected[i].sum() for i in pool]).pvalue > 1e-3


def test_a_label_of_0_is_a_continuation_as_in_hugging_face():
    dataset = large()
    where = Where(dataset)
    found = {}
    for a, b, label in rows(SentencePairs(dataset, 64, SPECIAL), Keys.of(1, 200)):
        follows = where.place[b[0]] == (where.place[a[-1]][0], where.place[a[-1]][1] + 1)
        found.setdefault(label, set()).add(follows)
    assert found == {IS_NEXT: {True}, NOT_NEXT: {False}}


def test_negatives_reach_every_opening_of_the_era_and_equally_often():
    shape = [("x", [4] * 2), ("y", [2] * 9), ("x", [4] * 3), ("x", [4]), ("x", [4] * 4)]
    dataset = data_set(shape)
    source = SentencePairs(dataset, 11, SPECIAL, "era")  # 8 tokens: one sentence and one
    own = [i for i in range(len(source)) if source.stretches[i][0] == 0]
    assert len(own) == 1
    opened = [b[0] for epoch in range(1200)
              for _, b, label in rows(source, Keys.of(3, own, epoch)) if label]
    candidates = [int(s[0]) for i in (2, 4) for s in dataset.sentences(i)[1:]]
    counts = [opened.count(token) for token in candidates]
    assert sum(counts) == len(opened)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_lengths_do_not_give_the_label_away():
    """BERT's own negatives are longer than its positives at the end of a document."""
    draw = np.random.default_rng(1)
    short = data_set([("a", draw.integers(3, 12, draw.integers(2, 6)).tolist())
                      for _ in range(300)])
    source = SentencePairs(short, 128, SPECIAL)
    lengths = {IS_NEXT: [], NOT_NEXT: []}
    for _, b, label in rows(source, Keys.of(0, len(source))):
        lengths[label].append(len(b))
    means = {label: np.mean(found) for label, found in lengths.items()}
    assert means[IS_NEXT] == pytest.approx(means[NOT_NEXT], rel=0.2)
    where = Where(short)
    for _, b, _ in rows(source, Keys.of(0, len(source))):
        document, place = where.place[b[-1]]
        assert place == where.last[document] or b[-1] + 1 in where.opens, "whole sentences"


def test_long_documents_fill_their_blocks():
    source = SentencePairs(large(), 64, SPECIAL)
    mask = source.take(Keys.of(0, len(source)))["attention_mask"]
    ends = np.diff([*source.stretches[:, 0], -1]) != 0  # the last stretch of a document is shorter
    assert mask[torch.from_numpy(~ends)].float().mean() > 0.97


def test_a_stretch_covers_every_sentence_once():
    source = SentencePairs(large(), 64, SPECIAL)
    covered = [(document, sentence) for document, first, end in source.stretches.tolist()
               for sentence in range(first, end)]
    counts = source.dataset.sentence_counts
    assert len(covered) == len(set(covered)) == counts.sum()
    assert (source.stretches[:, 2] - source.stretches[:, 1] >= 2).all()


def test_a_pair_is_a_function_of_its_key():
    source = SentencePairs(large(), 64, SPECIAL)
    together = source.take(Keys.of(5, 40, epoch=2))
    order = [7, 3, 7]
    some = source.take(Keys.of(5, order, epoch=2))
    assert all(torch.equal(some[name], together[name][order]) for name in together)
    for other in (Keys.of(5, 40, epoch=3), Keys.of(6, 40, epoch=2)):
        assert not torch.equal(source.take(other)["input_ids"], together["input_ids"])


def test_a_negative_never_has_the_words_that_truly_follow():
    """Speeches that end alike: another's "I thank you." is no negative for one's own."""
    words = [[[10 + i], [1000], [2000 + i % 2]] for i in range(40)]
    dataset = TokenDataset.in_memory(words, 60_000)
    source = SentencePairs(dataset, 32, SPECIAL, None)
    seen = 0
    for epoch in range(10):
        for a, b, label in rows(source, Keys.of(0, len(source), epoch)):
            if label == NOT_NEXT and len(a) == 1:
                seen += 1
                true = [1000, 2000 + (a[0] - 10) % 2]
                assert b != true and b != true[: len(b)] and b[: len(true)] != true
    assert seen > 20


def test_where_all_documents_are_alike_the_label_stays_honest():
    dataset = TokenDataset.in_memory([[[7], [7], [7]]] * 4, 10)
    source = SentencePairs(dataset, 16, SPECIAL, None)
    assert not source.take(Keys.of(0, 4 * list(range(len(source)))))["next_sentence_label"].any()


def bert_truncates(a: int, b: int, most: int) -> tuple[int, int]:
    """The lengths that `truncate_seq_pair` of BERT leaves."""
    while a + b > most:
        if a > b:
            a -= 1
        else:
            b -= 1
    return a, b


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 70))
def test_pairs_are_cut_to_the_lengths_of_bert_at_their_outer_ends(n, m, most):
    a, b = cut_outer_ends(Run(3, 100 - n, 100), Run(4, 100, 100 + m), most)
    assert (len(a), len(b)) == bert_truncates(n, m, most)
    assert (a.document, a.end) == (3, 100) and (b.document, b.start) == (4, 100)


# --- Bad input ------------------------------------------------------------------------------------


def test_documents_without_a_pair_are_counted():
    dataset = data_set([("a", [3, 3]), ("a", [3, 3, 3]), ("a", [9]), ("b", [3, 3]), ("a", [])])
    source = SentencePairs(dataset, 16, SPECIAL, "era")
    assert source.unused == {"fewer than two sentences": 2, "no other document of this era": 1}
    assert set(source.stretches[:, 0].tolist()) == {0, 1}
    order = SentencePairs(dataset, 16, SPECIAL, "era", task="order")
    assert order.unused == {"fewer than two sentences": 2}
    assert set(order.stretches[:, 0].tolist()) == {0, 1, 3}


@pytest.mark.parametrize("shape", [[], [("a", [5])], [("a", [5, 5])], [("a", [5, 5]), ("a", [5])],
                                   [("a", [5, 5]), ("b", [5, 5])]])
def test_without_any_pair_the_reasons_are_told(shape):
    with pytest.raises(ValueError, match=f"no pair can be made.*of {len(shape)} documents .* have"):
        SentencePairs(data_set(shape), 16, SPECIAL, "era")


def test_a_missing_label_is_named():
    dataset = TokenDataset.in_memory([[[1], [2]]], 10, ["speech 1"], [{"year": "1790"}])
    with pytest.raises(ValueError, match="'speech 1' has no label 'era'.*year. Choose"):
        SentencePairs(dataset, 16, SPECIAL, "era")


@pytest.mark.parametrize("settings, message", [
    ({"task": "sop"}, "task must be one of nsp, order, got 'sop'"),
    ({"length": 4}, "length must be at least 5.*got 4")])
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SentencePairs(large(2), **{"length": 16, "special": SPECIAL, **settings})
