"""ModernBERT: padding, packing, windows, rotations, tied weights, and its causal form."""

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
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pretrain_lib import load_pretrained, save_pretrained
from pretrain_lib.models.layers import visible
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForCausalLM,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)

SETTINGS = {**TINY, "local_attention": 6, "initializer_range": 0.2}
CONFIG = ModernBertConfig(**SETTINGS)


def build(kind=ModernBertForMaskedLM, config=CONFIG, **extra):
    model = kind(config, seed=1, **extra).eval()
    if getattr(model, "decoder_bias", None) is not None:
        nn.init.normal_(model.decoder_bias, generator=torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize("kind", [ModernBertForMaskedLM, ModernBertForCausalLM])
class TestBothForms:
    def test_a_row_of_padding_gives_no_nan(self, kind):
        check_a_row_of_padding_gives_no_nan(build(kind))

    def test_positions_choose_rows(self, kind):
        check_positions_choose_rows(build(kind))


def test_padding_changes_nothing():
    check_padding_changes_nothing(build())


def test_texts_packed_in_a_row_are_the_texts_alone():
    check_texts_packed_in_a_row_are_the_texts_alone(build())


def test_tied_weights_have_one_name_and_survive_saving(tmp_path):
    check_tied_weights_have_one_name_and_survive_saving(build(), tmp_path)


class TestWindows:
    def influence(self, types, window, length=12):
        """(T, T) bool: whether the output at i depends on the token at j."""
        config = ModernBertConfig(**SETTINGS | {"num_hidden_layers": len(types),
                                                "layer_types": types, "local_attention": window})
        model = ModernBertModel(config, seed=1).eval().double()
        ids = tokens(1, length)
        at = model(ids)[0]
        rows = []
        for j in range(length):
            changed = ids.clone()
            changed[0, j] = 5 + (ids[0, j] - 4) % (VOCABULARY - 5)
            rows.append((model(changed)[0] - at).abs().amax(-1) > 1e-9)
        return torch.stack(rows, 1)

    @pytest.mark.parametrize("window", [2, 4, 7])
    def test_a_sliding_block_sees_half_its_width_to_either_side(self, window):
        seen = self.influence(("sliding_attention",), window)
        for i in range(12):
            for j in range(12):
                assert seen[i, j] == (abs(i - j) <= window // 2)

    def test_two_of_them_see_twice_as_far_and_a_full_one_sees_all(self):
        place = torch.arange(12)
        distance = (place[:, None] - place).abs()
        twice = self.influence(("sliding_attention",) * 2, 4)
        assert torch.equal(twice, distance <= 4)
        assert self.influence(("sliding_attention", "full_attention"), 4).all()

    def test_a_window_in_a_packed_row_ends_with_its_text(self):
        texts = torch.tensor([[1, 1, 1, 2, 2, 2]])
        mask = visible(texts, 6, window=2)[0, 0]
        assert mask[2].tolist() == [True, True, True, False, False, False]
        assert mask[3].tolist() == [False, False, False, True, True, True]

    def test_every_third_block_sees_everything_by_default(self):
        assert ModernBertConfig(num_hidden_layers=4, vocab_size=10).layer_types == (
            "full_attention", "sliding_attention", "sliding_attention", "full_attention")


def test_only_distances_matter():
    """Rotary positions: a text moved along the axis of positions is the same text."""
    model, ids = build().double(), tokens(1, 12)
    place = torch.arange(12)[None]
    assert (model(ids, position_ids=place + 17) - model(ids)).abs().max() < 1e-4
    assert (model(ids, position_ids=2 * place) - model(ids)).abs().max() > 1e-2
    assert (model(ids.flip(1)).flip(1) - model(ids)).abs().max() > 1e-2


def test_the_mean_over_tokens_leaves_padding_out():
    model, ids = build(ModernBertForSequenceClassification, num_labels=3), tokens(1, 8)
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], 1)
    mask = (torch.arange(13) < 8).long()[None]
    assert (model(padded, mask) - model(ids)).abs().max() <= 1e-6
    assert model(padded, mask * 0).isfinite().all()
    by_token = build(ModernBertForTokenClassification, num_labels=1)
    assert (by_token(padded, mask)[:, :8] - by_token(ids)).abs().max() <= 1e-6
    assert by_token(ids).shape == (1, 8, 1)


def test_what_a_block_adds_starts_smaller_the_more_blocks_there_are():
    model = ModernBertModel(ModernBertConfig(**TINY | {"hidden_size": 64, "intermediate_size": 96}))
    layer = model.layers[1]
    into_sum = [layer.attention.output.weight.std(), layer.feed_forward.down.weight.std()]
    inside = [layer.attention.qkv.weight.std(), layer.feed_forward.up.weight.std()]
    for small, large in zip(into_sum, inside, strict=True):
        assert (small / large).item() == pytest.approx((2 * 3) ** -0.5, rel=0.05)


def test_nothing_but_the_output_has_a_bias():
    names = [name for name, _ in build().named_parameters() if "bias" in name]
    assert names == ["decoder_bias"]
    without = build(config=ModernBertConfig(**SETTINGS, decoder_bias=False))
    assert without.decoder_bias is None
    assert not any("bias" in name for name, _ in without.named_parameters())


# ------------------------------------------------------------------------------------- causal form


class TestTheCausalForm:
    @given(place=st.integers(0, 19), seed=st.integers(0, 20))
    @settings(max_examples=25, deadline=None)
    def test_no_token_reaches_its_own_prediction_or_an_earlier_one(self, place, seed):
        model, ids = build(ModernBertForCausalLM), tokens(1, 20, seed=seed)
        changed = ids.clone()
        changed[0, place] = 5 + (ids[0, place] - 4) % (VOCABULARY - 5)
        one, two = model(ids)[0], model(changed)[0]
        assert torch.equal(one[:place + 1], two[:place + 1])
        if place < 19:
            assert (one[place + 1] - two[place + 1]).abs().max() > 1e-4  # the next one knows it

    def test_no_gradient_goes_to_the_future(self):
        model = build(ModernBertForCausalLM)
        embedded = []
        model.encoder.embeddings.register_forward_hook(
            lambda module, inputs, output: embedded.append(output) or output.retain_grad())
        answer = model(tokens(1, 12))
        for place in range(12):
            model.zero_grad()
            embedded[0].grad = None
            answer[0, place].square().sum().backward(retain_graph=True)
            reached = embedded[0].grad
            reached = torch.zeros(12) if reached is None else reached[0].abs().sum(-1)
            assert (reached[place:] == 0).all()
            assert place == 0 or (reached[:place] > 0).any()

    def test_a_prediction_is_what_the_prefix_alone_gives(self):
        """With one block, a model of both sides that is shown the prefix alone is the truth."""
        config = ModernBertConfig(**SETTINGS | {"num_hidden_layers": 1})
        causal = build(ModernBertForCausalLM, config)
        both = build(ModernBertForMaskedLM, config)
        ids = tokens(2, 15)
        answer = causal(ids)
        for place in range(1, 15):
            expected = both(ids[:, :place])[:, -1]
            assert (answer[:, place] - expected).abs().max() < 1e-5

    def test_longer_text_does_not_change_earlier_predictions(self):
        model, ids = build(ModernBertForCausalLM), tokens(2, 18)
        assert (model(ids)[:, :9] - model(ids[:, :9])).abs().max() < 1e-6

    def test_the_first_token_of_every_text_is_predicted_by_the_bias_alone(self):
        model, ids = build(ModernBertForCausalLM), tokens(1, 12)
        texts = torch.tensor([[1] * 5 + [2] * 4 + [0] * 3])
        answer = model(ids, texts)[0]
        for start in (0, 5):
            assert (answer[start] - model.decoder_bias).abs().max() < 1e-6
        assert (answer[1] - model.decoder_bias).abs().max() > 1e-2

    def test_nothing_crosses_from_one_packed_text_to_the_next(self):
        model = build(ModernBertForCausalLM)
        ids = tokens(1, 24)
        texts = torch.tensor([[1] * 7 + [2] * 11 + [3] * 4 + [0] * 2])
        place = torch.cat([torch.arange(n) for n in (7, 11, 4, 2)])[None]
        packed = model(ids, texts, position_ids=place)[0]
        for start, end in ((0, 7), (7, 18), (18, 22)):
            alone = model(ids[:, start:end])[0]
            assert (packed[start:end] - alone).abs().max() <= 1e-6

    @pytest.mark.parametrize("parts", [[1] * 18, [7, 1, 1, 9], [18]])
    def test_what_was_read_is_kept(self, parts):
        """Of layers that see all, and of one whose window is three tokens wide."""
        model, ids = build(ModernBertForCausalLM).double(), tokens(2, 18)
        answer, past, read = model(torch.cat([ids, ids[:, :1]], 1)), model.nothing_read(), 0
        for size in parts:
            found = model.next_token(ids[:, read:read + size], past)
            read += size
            assert (found - answer[:, read]).abs().max() < 1e-10
        assert all(len(layer) == 18 for layer in past)
        with pytest.raises(ValueError, match=f"of {LONGEST + 1} tokens is longer"):
            model.next_token(tokens(2, LONGEST - 17), past)

    def test_windows_slide_over_the_past(self):
        config = ModernBertConfig(**SETTINGS | {
            "num_hidden_layers": 1, "layer_types": ("sliding_attention",), "local_attention": 4})
        model, ids = build(ModernBertForCausalLM, config).double(), tokens(1, 12)
        at = model(ids)[0, 10]  # from the state at 9, which sees 7, 8 and 9
        for j in range(12):
            changed = ids.clone()
            changed[0, j] = 5 + (ids[0, j] - 4) % (VOCABULARY - 5)
            assert ((model(changed)[0, 10] - at).abs().max() > 1e-9) == (j in (7, 8, 9))

    def test_it_is_saved_in_our_own_format(self, tmp_path):
        model, ids = build(ModernBertForCausalLM), tokens(2, 12)
        save_pretrained(model, tmp_path / "m")
        assert "model_type" not in (tmp_path / "m" / "config.json").read_text()
        assert torch.equal(load_pretrained(tmp_path / "m")(ids), model(ids))

    def test_a_classifier_on_it_still_sees_the_past_alone(self):
        model, ids = build(ModernBertForCausalLM), tokens(2, 12)
        headed = model.with_classifier(3)
        assert torch.equal(headed.encoder(ids), model(ids)) and headed.encoder.encoder.causal
        with pytest.raises(ValueError, match="ModernBertForCausalLM has no head for tags"):
            model.with_tagger(3)


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", [ModernBertForMaskedLM, ModernBertForCausalLM])
def test_a_sequence_longer_than_the_model_is_an_error(kind):
    model = build(kind)
    model(tokens(1, LONGEST))
    with pytest.raises(ValueError, match=f"{LONGEST + 1} tokens.*{LONGEST} positions.*cut it"):
        model(tokens(1, LONGEST + 1))


@pytest.mark.parametrize("change, message", [
    ({"hidden_size": 0}, "hidden_size must be an integer of at least 1, got 0"),
    ({"local_attention": 1}, "local_attention must be an integer of at least 2, got 1"),
    ({"num_attention_heads": 16}, "num_attention_heads must be such that hidden_size=16 gives each "
                                  "head an even size, got 16"),
    ({"mlp_dropout": 1.0}, "mlp_dropout must be at least 0 and below 1, got 1.0"),
    ({"global_rope_theta": 0.0}, "global_rope_theta must be above 0, got 0.0"),
    ({"layer_types": ("full_attention",)}, "layer_types must be 3 of full_attention, "
                                           "sliding_attention"),
    ({"layer_types": ("full", "full", "full")}, "layer_types must be 3 of full_attention"),
    ({"classifier_pooling": "max"}, "classifier_pooling must be one of cls, mean, got 'max'"),
    ({"pad_token_id": -1}, "pad_token_id must be an id below vocab_size=97, got -1"),
])
def test_a_wrong_field_is_named_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        ModernBertConfig(**SETTINGS | change)
