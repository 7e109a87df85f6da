"""BERT: padding, packing, tied weights, positions, and errors of its configuration."""

import pytest
import torch
from encoders import (
    LONGEST,
    TINY,
    VOCABULARY,
    check_a_row_of_padding_gives_no_nan,
    check_padding_changes_nothing,
    check_positions_choose_rows,
    check_texts_packed_in_a_row_are_the_texts_alone,
    check_tied_weights_have_one_name_and_survive_saving,
    tokens,
)

from pretrain_lib.models.bert import (
    NEIGHBOURS,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    start_at_neighbours,
)

CONFIG = BertConfig(**TINY, initializer_range=0.1)  # large, so that differences show


def build(kind=BertForMaskedLM, **extra):
    return kind(CONFIG, seed=1, **extra).eval()


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining])
class TestBothForms:
    def test_padding_changes_nothing(self, kind):
        check_padding_changes_nothing(build(kind))

    def test_a_row_of_padding_gives_no_nan(self, kind):
        check_a_row_of_padding_gives_no_nan(build(kind))

    def test_texts_packed_in_a_row_are_the_texts_alone(self, kind):
        check_texts_packed_in_a_row_are_the_texts_alone(build(kind))

    def test_positions_choose_rows(self, kind):
        check_positions_choose_rows(build(kind))

    def test_tied_weights_have_one_name_and_survive_saving(self, kind, tmp_path):
        check_tied_weights_have_one_name_and_survive_saving(build(kind), tmp_path)


def test_padding_does_not_change_what_is_said_of_the_whole_sequence():
    for model in (build(BertForSequenceClassification, num_labels=3),
                  build(BertForTokenClassification, num_labels=3)):
        ids = tokens(1, 8)
        padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], 1)
        mask = (torch.arange(13) < 8).long()[None]
        difference = model(padded, mask)[:, :8] - model(ids)
        assert difference.abs().max() <= 1e-6


def test_both_tasks_are_answered_from_one_pass():
    model, ids = build(BertForPreTraining), tokens(2, 9)
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    answer = model(ids, positions=torch.zeros(2, 4, dtype=torch.long))
    assert answer.masked_lm.shape == (2, 4, VOCABULARY)
    assert answer.next_sentence.shape == (2, 2)
    assert calls == [1]


def test_segments_and_places_matter_and_have_defaults():
    model, ids = build(BertModel), tokens(2, 9)
    zeros, places = torch.zeros_like(ids), torch.arange(9).expand(2, 9)
    assert torch.equal(model(ids), model(ids, None, zeros, places))
    assert (model(ids) - model(ids, None, zeros + 1)).abs().max() > 1e-2
    assert (model(ids) - model(ids, None, zeros, places + 3)).abs().max() > 1e-2


def test_without_learned_places_the_order_of_words_would_not_matter():
    model, ids = build(BertModel), tokens(1, 9)
    swapped = ids.flip(1)
    nowhere = torch.zeros_like(ids)
    same = model(swapped, position_ids=nowhere).flip(1) - model(ids, position_ids=nowhere)
    assert same.abs().max() < 1e-5
    assert (model(swapped).flip(1) - model(ids)).abs().max() > 1e-2


def test_normalisation_stands_after_each_sum():
    """Post-LN: with gain 1 and bias 0 every position leaves with mean 0 and variance 1."""
    hidden = build(BertModel)(tokens(2, 9))
    assert hidden.mean(-1).abs().max() < 1e-5
    assert (hidden.var(-1, unbiased=False) - 1).abs().max() < 1e-4


def test_dropout_is_only_in_training():
    model, ids = build(), tokens(2, 9)
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_the_seed_makes_the_weights():
    models = [BertForMaskedLM(CONFIG, seed) for seed in (1, 1, 2)]
    weight = [model.encoder.layers[0].attention.qkv.weight for model in models]
    assert torch.equal(weight[0], weight[1]) and not torch.equal(weight[0], weight[2])


def test_a_sequence_longer_than_the_model_is_an_error():
    model = build()
    model(tokens(1, LONGEST))
    with pytest.raises(ValueError, match=f"{LONGEST + 1} tokens.*{LONGEST} positions.*cut it"):
        model(tokens(1, LONGEST + 1))


@pytest.mark.parametrize("change, message", [
    ({"hidden_size": 0}, "hidden_size must be an integer of at least 1, got 0"),
    ({"vocab_size": 10.5}, "vocab_size must be an integer of at least 1, got 10.5"),
    ({"num_hidden_layers": True}, "num_hidden_layers must be an integer of at least 1, got True"),
    ({"type_vocab_size": -1}, "type_vocab_size must be an integer of at least 1, got -1"),
    ({"num_attention_heads": 3}, "num_attention_heads must be a divisor of hidden_size=16, got 3"),
    ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob must be at least 0 and below 1, got 1.0"),
    ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob must be at least 0"),
    ({"initializer_range": 0.0}, "initializer_range must be above 0, got 0.0"),
    ({"pad_token_id": 97}, "pad_token_id must be an id below vocab_size=97, got 97"),
])
def test_a_wrong_field_is_named_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        BertConfig(**TINY | change)


def test_the_defaults_are_berts_of_2018():
    model = BertForPreTraining(BertConfig(num_hidden_layers=1, vocab_size=10))
    a_layer = sum(p.numel() for p in model.encoder.layers.parameters())
    total = sum(p.numel() for p in model.parameters()) + 11 * a_layer + (30_522 - 10) * (768 + 1)
    # bert-base-uncased: 109 482 240 in encoder and pooler, then the two heads
    assert total == 109_482_240 + 622_650 + 1_538


def test_heads_that_start_at_the_neighbours_look_there():
    config = BertConfig(vocab_size=500, hidden_size=128, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=96,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    encoder = BertModel(config)
    start_at_neighbours(encoder)
    input_ids = torch.randint(5, 500, (4, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = encoder.embeddings(input_ids, None, None)
        q, k, _ = encoder.layers[0].attention.qkv(x).view(4, 64, 3, 4, 32).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / 32**0.5).softmax(-1)  # (B, H, T, T)
    for head, offset in enumerate(NEIGHBOURS):
        seen = {d: torch.diagonal(weights[:, head], d, 1, 2).mean().item() for d in range(-5, 6)}
        assert max(seen, key=seen.get) == offset and seen[offset] > 0.2, (head, seen)
    assert not encoder.embeddings.position.weight.requires_grad
