"""The decoder against torch's, brute force, and what must not be seen."""

import pytest
import torch
from encoders import tokens
from torch import nn

from pretrain_lib.data.source import Columns
from pretrain_lib.models.bert import BertConfig, BertModel
from pretrain_lib.models.modern import ModernBertConfig, ModernBertModel
from pretrain_lib.models.sequence_to_sequence import DecoderConfig, DecoderLayer, EncoderDecoder
from pretrain_lib.objectives.translation import Translation
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SOURCE, TARGET, START, END = 97, 40, 2, 3
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 48}
ENCODERS = {
    "bert": lambda: BertModel(BertConfig(SOURCE, **SHAPE, max_position_embeddings=40)),
    "modernbert": lambda: ModernBertModel(ModernBertConfig(SOURCE, **SHAPE)),
}


def model(encoder="modernbert", **fields):
    shape = SHAPE | {"hidden_size": 24, "initializer_range": 0.2} | fields
    return EncoderDecoder(ENCODERS[encoder](), DecoderConfig(TARGET, **shape)).double().eval()


def targets(*shape, seed=5):
    return torch.randint(5, TARGET, shape, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths, width):
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()


def test_the_layer_is_that_of_torch():
    config = DecoderConfig(TARGET, 32, num_attention_heads=4, intermediate_size=48)
    ours = DecoderLayer(config, memory_size=32).double().eval()
    theirs = nn.TransformerDecoderLayer(32, 4, 48, activation="gelu", batch_first=True,
                                        norm_first=True, dtype=torch.float64).eval()
    names = {
        "self_attn.in_proj": "attention.qkv", "self_attn.out_proj.": "attention.output.",
        "multihead_attn.out_proj.": "cross_attention.output.",
        "linear1.": "feed_forward.up.", "linear2.": "feed_forward.down.",
        "norm1.": "attention_norm.", "norm2.": "cross_attention_norm.",
        "norm3.": "feed_forward_norm.",
    }  # fmt: skip
    mine = ours.state_dict()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_(std=0.3)
            kind = name.rpartition("_" if "in_proj" in name else ".")[2]
            if name.startswith("multihead_attn.in_proj"):
                mine[f"cross_attention.query.{kind}"].copy_(parameter[:32])
                mine[f"cross_attention.key_value.{kind}"].copy_(parameter[32:])
            else:
                old = next(prefix for prefix in names if name.startswith(prefix))
                mine[names[old].rstrip(".") + f".{kind}"].copy_(parameter)
    x, memory = torch.randn(3, 7, 32).double(), torch.randn(3, 9, 32).double()
    seen, past = mask_of([9, 4, 1], 9) > 0, torch.ones(7, 7).bool().tril()
    expected = theirs(x, memory, tgt_mask=~past, memory_key_padding_mask=~seen)
    got = ours(x, past[None, None], memory, seen[:, None, None], None)
    assert (got - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_later_target_token_changes_nothing_before(encoder):
    m, source, target = model(encoder), tokens(2, 8), targets(2, 9)
    before = m(source, None, target)
    assert before.shape == (2, 9, TARGET)
    for place in range(9):
        changed = target.clone()
        changed[:, place] = (changed[:, place] + 1 - 5) % (TARGET - 5) + 5
        difference = (m(source, None, changed) - before).abs().amax((0, 2))  # (U,)
        assert (difference[:place] == 0).all() and (difference[place:] > 1e-9).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_changes_nothing_and_every_source_token_counts(encoder):
    m, source, target = model(encoder), tokens(2, 12), targets(2, 6)
    mask = mask_of([12, 5], 12)
    alone = m(source[1:, :5], None, target[1:])
    for filling in (0, 50):  # whatever stands in the source's padding
        padded = source.masked_fill(mask == 0, filling)
        together = m(padded, mask, torch.cat([target, targets(2, 3, seed=filling)], 1))
        assert (together[1, :6] - alone[0]).abs().max() <= 1e-12
    assert (m(padded, None, target)[1] - alone[0]).abs().max() > 1e-6  # the mask is what did it
    for place in range(5):
        changed = source[1:, :5].clone()
        changed[:, place] = 5 + (changed[:, place] == 5)
        assert (m(changed, None, target[1:]) - alone).abs().amax(2).min() > 1e-9


def test_cross_attention_is_softmax_over_the_real_tokens():
    m = model().decoder.layers[0].cross_attention
    x, memory = torch.randn(1, 3, 24).double(), torch.randn(1, 6, 32).double()
    k, v = (memory[0, :4] @ m.key_value.weight.T + m.key_value.bias).chunk(2, dim=-1)
    q = x[0] @ m.query.weight.T + m.query.bias
    heads = [torch.softmax(q[:, h] @ k[:, h].T / 12**0.5, -1) @ v[:, h]
             for h in (slice(0, 12), slice(12, 24))]
    expected = torch.cat(heads, -1) @ m.output.weight.T + m.output.bias
    seen = mask_of([4], 6)[:, None, None] > 0
    assert (m(x, memory, seen)[0] - expected).abs().max() <= 1e-12


def test_greedy_decoding_takes_the_best_token_of_each_step():
    m, source, mask = model().train(), tokens(5, 8), mask_of([8, 3, 5, 8, 1], 8)
    unended = m.generate(source, mask, START, TARGET, max_length=9)
    end = unended[0][1]  # so that some targets end and some do not
    written = m.generate(source, mask, START, end, max_length=9)
    assert m.training and all(part.training for part in m.modules())
    m.eval()
    for row in range(5):
        ids = [START]
        while len(ids) < 10 and ids[-1] != end:
            logits = m(source[row:row + 1, :mask[row].sum()], None, torch.tensor([ids]))
            ids.append(int(logits[0, -1].argmax()))
        assert written[row] == [id for id in ids[1:] if id != end]
    assert len(written[0]) == 1 and max(map(len, written)) == 9


def test_a_toy_language_is_learned_and_written():
    """The target is the source backwards: positions, order and the end must all be right."""
    generator = torch.Generator().manual_seed(0)
    length = torch.randint(2, 6, (24,), generator=generator)
    source, target = torch.zeros(24, 7, dtype=torch.long), torch.zeros(24, 7, dtype=torch.long)
    for row, n in enumerate(length.tolist()):
        word = torch.randint(5, 20, (n,), generator=generator)
        source[row, :n + 2] = torch.tensor([START, *word, END])
        target[row, :n + 2] = torch.tensor([START, *word.flip(0), END])
    mask = (source > 0).long()
    pairs = Columns(input_ids=source, attention_mask=mask, target_ids=target, target_mask=mask)
    m = EncoderDecoder(ENCODERS["modernbert"](), DecoderConfig(TARGET, **SHAPE, dropout=0.0))
    config = TrainConfig(steps=150, batch_size=24, learning_rate=5e-3, warmup_steps=10,
                         device="cpu")
    Trainer(m, Translation(), pairs, config).fit()
    written = m.generate(source, mask, START, END, max_length=9)
    expected = [row[1:n + 1].tolist() for row, n in zip(target, length.tolist(), strict=True)]
    assert written == expected


def test_the_output_is_tied():
    m = model()
    assert sum(p.shape == (TARGET, 24) for p in m.parameters()) == 1


@pytest.mark.parametrize("fields, said", [
    ({"hidden_size": 0}, "hidden_size must be an integer of at least 1, got 0"),
    ({"num_attention_heads": 8}, "num_attention_heads must be such that hidden_size=24"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ({"rope_theta": 0}, "rope_theta must be above 0, got 0"),
])
def test_a_wrong_shape_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        DecoderConfig(TARGET, **{"hidden_size": 24, **fields})
