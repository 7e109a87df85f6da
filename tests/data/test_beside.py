"""Columns beside a source's own: the same samples, padded, and through other views."""

import copy
import pickle

import pytest
import torch

import pretrain_lib as pl


def made():
    source = pl.Columns(features=torch.arange(4.0), lengths=torch.tensor([3, 1, 2, 0]))
    return pl.Beside(source, pl.Sequences("clusters", [torch.arange(n) + 10 * n for n in (3, 1, 2, 0)]))


def test_each_sample_has_its_own():
    samples = made().take(pl.Keys.of(0, [2, 0, 3]))
    assert samples["features"].tolist() == [2, 0, 3] and samples["lengths"].tolist() == [2, 3, 0]
    assert samples["clusters"].tolist() == [[20, 21, -100], [30, 31, 32], [-100] * 3]
    assert len(made()) == 4 and made().lengths.tolist() == [3, 1, 2, 0]


def test_it_goes_to_workers_as_it_is():
    for other in (copy.deepcopy(made()), pickle.loads(pickle.dumps(made()))):
        assert torch.equal(other.take(pl.Keys.of(0, [0, 1]))["clusters"], made().take(pl.Keys.of(0, [0, 1]))["clusters"])


def test_a_run_knows_its_clusters():
    from pretrain_lib.training.run_folder import description_of_source
    other = pl.Beside(made().source, pl.Sequences("clusters", [torch.zeros(n, dtype=torch.long) for n in (3, 1, 2, 0)]))
    assert description_of_source(made()) == description_of_source(made()) != description_of_source(other)


def test_other_samples_are_refused():
    with pytest.raises(ValueError, match="columns of 2 samples cannot stand beside those of 4"):
        pl.Beside(made(), pl.Sequences("words", [torch.arange(2)] * 2))
    with pytest.raises(AttributeError, match="no column or attribute 'voices'"):
        made().voices
