"""Small encoders of texts in folders, and files of texts, for the commands that make vectors."""

import csv
import json

import numpy as np
import torch

import pretrain_lib as pl

WORDS = "gold silver coin bank tax army soldier fort enemy peace".split()
TOKENIZER = pl.train_tokenizer([" ".join(WORDS), "query: passage:"], 150)
SHAPE = dict(vocab_size=150, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
             max_position_embeddings=16)


def encoder(kind=pl.BertModel, config=pl.BertConfig):
    """One whose weights are large enough to tell texts apart."""
    model = kind(config(**SHAPE))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5 if parameter.ndim > 1 else 1)
    return model.eval()


def save_embedder(folder, pooling="mean", prompts=None):
    """A folder of sentence-transformers."""
    model = pl.SentenceEmbedder(encoder(), pooling)
    model.prompts = prompts or {}
    pl.save_pretrained(model, folder, TOKENIZER)
    return str(folder)


def save_plain(folder):
    """A folder that does not say how to pool."""
    pl.save_pretrained(encoder(pl.ModernBertForMaskedLM, pl.ModernBertConfig), folder, TOKENIZER)
    return str(folder)


def texts(n, seed=0):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(2, 11))) for _ in range(n)]


def write_csv(path, **columns):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return str(path)


def write_jsonl(path, **columns):
    rows = (dict(zip(columns, row)) for row in zip(*columns.values(), strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
