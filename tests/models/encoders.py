"""What both encoders must do, whatever their form; used by test_bert.py and test_modern.py."""

import torch

VOCABULARY, LONGEST = 97, 40
TINY = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 3,
        "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": LONGEST}


def tokens(*shape, seed=0):
    return torch.randint(5, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def parts(answer):
    """The logits of tokens, (B, S, V), and of the pair, (B, 2), where a model answers both."""
    return (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)


def logits(answer):
    """The logits of tokens alone."""
    return parts(answer)[0]


def largest_difference(one, two):
    return max((a - b).abs().max() for a, b in zip(one, two, strict=True))


def check_padding_changes_nothing(model):
    """The same sentence alone, and in a batch with a longer one."""
    short, long = tokens(1, 9), tokens(1, 31, seed=1)
    alone, alone_long = ([part[0] for part in parts(model(ids))] for ids in (short, long))
    for filling in (0, 50):  # whatever stands in the padding
        ids = torch.cat([long, torch.full((1, 31), filling)])
        ids[1, :9] = short
        mask = (torch.arange(31) < torch.tensor([[31], [9]])).long()
        together = parts(model(ids, mask))
        assert largest_difference([part[1, :9] for part in together], alone) <= 1e-6
        assert largest_difference([part[0] for part in together], alone_long) <= 1e-6
    for unmasked, part in zip(parts(model(ids)), alone, strict=True):
        assert (unmasked[1, :9] - part).abs().max() > 1e-3  # the mask is what did it


def check_a_row_of_padding_gives_no_nan(model):
    ids = tokens(2, 12)
    mask = torch.ones_like(ids)
    mask[1] = 0
    answer = parts(model(ids, mask))
    assert all(part.isfinite().all() for part in answer)
    sum(part[0].square().sum() for part in answer).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    alone = [part[0] for part in parts(model(ids[:1]))]
    assert largest_difference([part[0] for part in answer], alone) <= 1e-6
    model.zero_grad()
    sum(part.square().sum() for part in parts(model(ids, mask))).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())  # with the padding in the loss


def check_texts_packed_in_a_row_are_the_texts_alone(model, tolerance=1e-6):
    lengths = [[7, 11, 5], [23], [1, 2, 16]]
    width = 24
    ids = torch.zeros(3, width, dtype=torch.long)
    mask, place = torch.zeros_like(ids), torch.zeros_like(ids)
    pieces = []
    for row, sizes in enumerate(lengths):
        start = 0
        for number, size in enumerate(sizes, 1):
            piece = tokens(1, size, seed=10 * row + number)
            here = slice(start, start + size)
            ids[row, here], mask[row, here] = piece, number
            place[row, here] = torch.arange(size)
            pieces.append((row, here, piece))
            start += size
    packed = logits(model(ids, mask, position_ids=place))
    assert packed.isfinite().all()
    for row, here, piece in pieces:
        assert (packed[row, here] - logits(model(piece))[0]).abs().max() <= tolerance
    leaking = logits(model(ids, (mask > 0).long(), position_ids=place))
    assert (leaking[0, :7] - packed[0, :7]).abs().max() > 1e-3


def check_positions_choose_rows(model):
    """Asked at some positions, the last layer works there alone: same numbers, same gradients."""
    model = model.double()
    ids = tokens(3, 14)
    positions = torch.tensor([[0, 13, 5], [2, 2, 2], [7, 1, 0]])
    mask = torch.ones_like(ids)
    mask[1, 9:], mask[2, 5:] = 0, 2  # padding; and a second text in one row
    place = torch.arange(14).expand(3, -1).clone()
    place[2, 5:] -= 5
    for texts in ({}, {"attention_mask": mask, "position_ids": place}):
        everywhere, *pair = parts(model(ids, **texts))
        expected = [torch.stack([everywhere[b, p] for b, p in enumerate(positions)]), *pair]
        found = parts(model(ids, positions=positions, **texts))
        assert largest_difference(found, expected) < 1e-10
        trained = [p for p in model.parameters() if p.requires_grad]
        gradients = [torch.autograd.grad(sum(x.square().sum() for x in answer), trained,
                                         allow_unused=True) for answer in (found, expected)]
        for one, other in zip(*gradients, strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def check_tied_weights_have_one_name_and_survive_saving(model, folder):
    """Tied weights that cannot be saved are a known fault of others."""
    from pretrain_lib import load_pretrained, save_pretrained
    from pretrain_lib.models.state import state_tensors

    tensors = state_tensors(model)
    shared = model.encoder.embeddings.word.weight
    vocabulary = [name for name, tensor in tensors.items()
                  if tensor.ndim == 2 and tensor.shape[0] == VOCABULARY]
    assert vocabulary == ["encoder.embeddings.word.weight"]
    assert len({tensor.data_ptr() for tensor in tensors.values()}) == len(tensors)
    save_pretrained(model, folder / "m")
    back = load_pretrained(folder / "m")
    ids = tokens(2, 8)
    assert largest_difference(parts(back(ids)), parts(model(ids))) == 0
    with torch.no_grad():  # what comes back is tied still: both uses follow the one tensor
        back.encoder.embeddings.word.weight[5] += 1.0
        changed = logits(back(tokens(1, 8) * 0 + 6))[0, 0]
    before = logits(model(tokens(1, 8) * 0 + 6))[0, 0]
    assert changed[5] != before[5] and torch.equal(changed[6:], before[6:])
    assert back.encoder.embeddings.word.weight.shape == shared.shape
