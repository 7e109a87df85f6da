"""Sets of blanks on disk: what is saved comes back, in as few bits as it takes."""

import pytest
import torch
from safetensors.torch import load_file

from pretrain_lib.evaluation import masked
from pretrain_lib.evaluation.masked import FILE, MaskedSet


def blanks(largest):
    """Two rows of six places, with two texts in the first; the largest id is given."""
    ids = torch.tensor([[2, largest, 3, 2, 9, 3], [2, 7, 8, 3, 0, 0]])
    texts = torch.tensor([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 0, 0]])
    places = torch.tensor([[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 0, 0]])
    return MaskedSet(ids, texts, places, torch.tensor([[1, 4], [2, 0]]),
                     torch.tensor([[largest, 9], [8, -100]]))


@pytest.mark.parametrize("largest, bits", [(32_767, torch.int16), (32_768, torch.int32),
                                           (40_000, torch.int32), (250_001, torch.int32)])
def test_ids_come_back_whatever_the_vocabulary(largest, bits, tmp_path):
    saved = blanks(largest)
    saved.save(tmp_path)
    back = MaskedSet.load(tmp_path)
    for name, column in vars(saved).items():
        assert torch.equal(getattr(back, name), column), name
        assert getattr(back, name).dtype == torch.int64
    kept = load_file(tmp_path / FILE)
    assert kept["input_ids"].dtype == kept["labels"].dtype == bits
    assert kept["positions"].dtype == kept["attention_mask"].dtype == torch.int16


def test_a_save_that_breaks_off_leaves_the_blanks_that_were_there(tmp_path, monkeypatch):
    blanks(7).save(tmp_path)

    def full_disk(columns, place):
        place.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(masked, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        blanks(8).save(tmp_path)
    assert torch.equal(MaskedSet.load(tmp_path).input_ids, blanks(7).input_ids)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_without_blanks_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="MaskedSet.save writes it"):
        MaskedSet.load(tmp_path)
