"""Many passes over little text: when a model stops learning the language and starts to learn the text, secrets included."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch.nn import functional as F

from pretrain_lib import Keys, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, PackedBlocks, TokenDataset, TrainConfig, Trainer
from pretrain_lib import LinearProbe, load_labelled_text, load_text, load_tokenizer
from pretrain_lib.evaluation.counting import Unigram, token_counts
from pretrain_lib.data.tasks.encoded import EncodedText, encode_labelled
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.calibration import fit_temperature, reliability
from pretrain_lib.evaluation.classification import accuracy
from pretrain_lib.data.source import UNSCORED
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.evaluation.memorisation import exposure, loss_gap, secret_scores
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.transfer.tuning import fit_tuned
from pretrain_lib.zoo import held_out_sources

TITLE = "Over-fitting and memorisation: train and held-out loss, and the exposure of planted secrets, over many epochs"

PREDICTION = """(After a pilot of one seed that is not among these, 77, which chose the sizes and showed losses and exposures, not the probe. Prediction 5 was
added when the others were known and seed 1 had been scaled in a pilot.) In each of three seeds: 1. the loss on other speeches is lowest within the first 12 epochs, and at the end the loss on the text itself is less than a third of that on other
speeches. 2. At the end the mean exposure of secrets that were not planted lies between 0.5 and 2.5 bits; of those that stood there once it is above 3, four times above 9, sixteen times
above 12. 3. Memorising begins before over-fitting: at the epoch with the lowest loss on other speeches, what stood there sixteen times is exposed by 6 bits or more. 4. Downstream the
over-fitted model is hardly worse: averaged over seeds, a frozen probe for the era of a sentence loses less than 3 points from that epoch to the last, and is above the untrained network there.
5. At the last epoch one temperature for all logits, fitted on half of the other
speeches' blanks, more than halves the calibration error on the other half, and brings the loss there to within 0.15 nats of that of the best epoch, scaled likewise."""

SEEDS = (1, 2, 3)
LENGTH, TOKENS = 64, 20_000
BATCH = 16
EPOCHS = (1, 2, 4, 6, 8, 12, 16, 24, 32)  # after which the model is looked at
COPIES = (0, 1, 4, 16)  # how often a secret stands in the text
SECRETS = 4  # for each number of copies
WORDS = 100  # a secret is a pair of these
LABELS, TEST = 200, 500  # sentences, for the era of a sentence under a frozen model
MODEL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": LENGTH,
         "local_attention": 2, "global_rope_theta": 10_000.0, "layer_types": ("sliding_attention", "full_attention")}


def words_of(tokenizer, text: np.ndarray) -> list[int]:
    """Common words of letters only, the most frequent first."""
    counts = np.bincount(text, minlength=tokenizer.get_vocab_size())
    return [int(i) for i in counts.argsort(kind="stable")[::-1] if len(tokenizer.id_to_token(int(i))) > 3 and tokenizer.id_to_token(int(i)).isalpha()]


def secrets(tokenizer, text: np.ndarray, seed: int) -> tuple[torch.Tensor, list[dict]]:
    """The words that a secret may hold (W,); and for each secret its tokens, its slots, its two words, its copies.

    "The watchword of the <place> is <word> <word> ." Places differ, and are no words of secrets.
    """
    common = words_of(tokenizer, text)
    words, places = torch.tensor(common[:WORDS]), common[WORDS : 2 * WORDS]
    draw = np.random.default_rng(seed)
    planted = []
    for copies, place in zip(np.repeat(COPIES, SECRETS), draw.permutation(places), strict=False):
        before = tokenizer.encode("the watchword of the", add_special_tokens=False).ids + [int(place)]
        before += tokenizer.encode("is", add_special_tokens=False).ids
        pair = tuple(int(i) for i in draw.integers(WORDS, size=2))
        tokens = before + words[list(pair)].tolist() + tokenizer.encode(".", add_special_tokens=False).ids
        planted.append({"tokens": tokens, "slots": (1 + len(before), 2 + len(before)), "pair": pair, "copies": int(copies)})
    return words, planted


def paragraphs(tokenizer, unseen: bool, tokens: int, seed: int) -> list[np.ndarray]:
    """Paragraphs of speeches, drawn at random, until there are so many tokens."""
    held_out = held_out_sources("sotu-8192")
    texts = [p for d in load_text("sotu") if (d.source in held_out) == unseen for p in d.text.split("\n\n")]
    rows, total = [], 0
    for i in np.random.default_rng(seed).permutation(len(texts)):
        ids = np.array(tokenizer.encode(texts[i], add_special_tokens=False).ids)
        if len(ids) < 20:
            continue
        rows.append(ids)
        total += len(ids)
        if total >= tokens:
            return rows
    raise ValueError(f"there are only {total} tokens")


def downstream(tokenizer, seed: int) -> tuple[EncodedText, EncodedText]:
    """Sentences with their era: a few to learn from, and others of held-out speeches."""
    text = load_labelled_text("era")
    held_out = np.isin(text.sources, list(held_out_sources("sotu-8192")))
    training = text.subset(np.flatnonzero(~held_out))
    order = Keys.of(0, [0]).permutation("test sentences", int(held_out.sum()))[0][:TEST].numpy()
    chosen = sorted(np.flatnonzero(held_out)[order], key=lambda i: len(text.sentences[i]))
    few = training.subset(balanced_ids(training.labels, LABELS, seed))
    return encode_labelled(few, tokenizer, LENGTH), encode_labelled(text.subset(chosen), tokenizer, LENGTH)


def calibration(model, masked: MaskedSet) -> dict:
    """How sure the model is at half of the blanks: as it is, and with the temperature that is best at the other half."""
    with torch.no_grad():
        logits = model(masked.input_ids, masked.attention_mask, position_ids=masked.position_ids, positions=masked.positions)
    used = masked.labels != UNSCORED
    logits, labels = logits[used], masked.labels[used]
    half = len(labels) // 2
    temperature = fit_temperature(logits[:half], labels[:half])

    def at(divisor: float) -> dict[str, float]:
        divided, truth = logits[half:] / divisor, labels[half:]
        return {"error": reliability(divided, truth).error, "confidence": divided.softmax(1).amax(1).mean().item(), "loss": F.cross_entropy(divided, truth).item()}

    return {"temperature": temperature, "right": accuracy(logits[half:], labels[half:]), "as trained": at(1.0), "scaled": at(temperature)}


def one_run(seed: int, epochs: tuple[int, ...]) -> dict:
    """One model, trained on little text with secrets in it; losses and exposures along the way."""
    tokenizer = load_tokenizer("sotu-8192")
    special, size = special_ids(tokenizer), tokenizer.get_vocab_size()
    text = paragraphs(tokenizer, False, TOKENS, seed)
    words, planted = secrets(tokenizer, np.concatenate(text), seed)
    copies = [np.array(secret["tokens"]) for secret in planted for _ in range(secret["copies"])]
    documents = text + copies
    order = np.random.default_rng(seed).permutation(len(documents))
    seen = PackedBlocks(TokenDataset.in_memory([documents[i] for i in order], size), LENGTH, special)
    unseen = PackedBlocks(TokenDataset.in_memory(paragraphs(tokenizer, True, TOKENS, seed), size), LENGTH, special)
    objective = MaskedLM.of(tokenizer)
    # On the text alone, without the copies, and masked otherwise than in training:
    own = PackedBlocks(TokenDataset.in_memory(text, size), LENGTH, special)
    blanks = [MaskedSet.draw(source, objective, range(len(source)), seed + 100) for source in (own, unseen)]
    unigram = masked_scores(Unigram(token_counts(documents, size)), blanks[1]).loss
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=size, **MODEL), seed)
    each = -(-len(seen) // BATCH)  # updates in an epoch
    few, test = downstream(tokenizer, seed)
    curve = []

    def era(model) -> float:
        return accuracy(fit_tuned(LinearProbe(model, grid=(1.0, 0.1)), few, seed, rounds=1)(test), test.labels)

    class Watched(Trainer):
        def evaluate(self, source):
            if self.step // each not in epochs:
                return {"masked_lm": 0.0, "loss": 0.0}
            gap = loss_gap(self.model, *blanks)
            bits = {str(n): [] for n in COPIES}
            for secret in planted:
                ids = torch.tensor([special.cls, *secret["tokens"], special.sep])
                scores = secret_scores(self.model, ids, secret["slots"], words, special.mask)
                bits[str(secret["copies"])].append(exposure(scores, secret["pair"]))
            curve.append({"epoch": self.step // each, "seen": gap.seen, "unseen": gap.unseen, "exposure": bits, "era": era(self.model), "calibration": calibration(self.model, blanks[1].every(2))})
            return {"masked_lm": gap.unseen, "loss": gap.unseen}

    config = TrainConfig(steps=each * epochs[-1], batch_size=BATCH, optimizer="muon", learning_rate=1e-2, betas=(0.9, 0.98), weight_decay=0.01,
                         schedule="constant", warmup_steps=20, gradient_clipping=1.0, seed=seed, evaluate_every=each, precision="fp32", device="cpu")
    untrained = era(model)
    start = time.process_time()
    Watched(model, MaskedLM.of(tokenizer, rate=0.3), seen, config, held_out=unseen).fit()
    print(seed, [(p["epoch"], round(p["seen"], 2), round(p["unseen"], 2), {n: round(float(np.mean(b)), 1) for n, b in p["exposure"].items()}, round(p["era"], 3))
                 for p in curve], flush=True)
    return {"curve": curve, "untrained": untrained, "unigram": unigram, "tokens": int(sum(map(len, documents))), "blocks": len(seen), "steps": each * epochs[-1],
            "cpu_seconds": round(time.process_time() - start, 1)}


def run(scale: str) -> dict:
    """Per seed, a curve of losses and exposures over the epochs."""
    small = scale == "smoke"
    runs = [one_run(seed, EPOCHS[:2] if small else EPOCHS) for seed in (SEEDS[:1] if small else SEEDS)]
    return {"runs": runs, "candidates": WORDS**2, "secrets": SECRETS, "copies": list(COPIES)}


def verdict(measured: dict) -> str:
    """What came out, prediction by prediction."""
    said = {True: "held", False: "failed"}
    best = [min(run["curve"], key=lambda point: point["unseen"]) for run in measured["runs"]]
    last = [run["curve"][-1] for run in measured["runs"]]

    def bits(points, copies):
        return [float(np.mean(point["exposure"][str(copies)])) for point in points]

    def told(values, form=".1f"):
        return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"

    end = {n: bits(last, n) for n in measured["copies"]}
    first = all(b["epoch"] <= 12 and z["seen"] < z["unseen"] / 3 for b, z in zip(best, last, strict=True))
    second = all(0.5 <= e <= 2.5 for e in end[0]) and all(min(end[n]) > least for n, least in ((1, 3), (4, 9), (16, 12)) if n in end)
    early = bits(best, 16)
    scaled = [(point["calibration"]["as trained"], point["calibration"]["scaled"]) for point in last]
    errors, losses = ([[kind[what] for kind in pair] for pair in scaled] for what in ("error", "loss"))
    risen = [loss[1] - b["calibration"]["scaled"]["loss"] for loss, b in zip(losses, best, strict=True)]
    fifth = all(after < before / 2 for before, after in errors) and max(risen) <= 0.15
    before, after = zip(*errors, strict=True)
    lost = [100 * (b["era"] - z["era"]) for b, z in zip(best, last, strict=True)]
    untrained = float(np.mean([run["untrained"] for run in measured["runs"]]))
    return (f"1. Best on other speeches after {', '.join(str(b['epoch']) for b in best)} epochs, at {told([b['unseen'] for b in best], '.2f')} nats; at the end seen "
            f"{told([z['seen'] for z in last], '.2f')}, other {told([z['unseen'] for z in last], '.2f')}: {said[first]}. "
            f"2. Exposure at the end by copies: " + "; ".join(f"{n}: {told(e)}" for n, e in end.items()) + f" bits: {said[second]}. "
            f"3. At the best epoch, sixteen copies: {told(early)} bits: {said[min(early) >= 6]}. "
            f"4. Era right: {np.mean([b['era'] for b in best]):.1%} at the best epoch, {np.mean([z['era'] for z in last]):.1%} at the last, untrained {untrained:.1%}; "
            f"lost {told(lost)} points: {said[bool(np.mean(lost) < 3 and np.mean([z['era'] for z in last]) > untrained)]}. "
            f"5. Temperature {told([z['calibration']['temperature'] for z in last], '.2f')}: calibration error {told(before, '.3f')} to {told(after, '.3f')}, loss "
            f"{told([loss[0] for loss in losses], '.2f')} to {told([loss[1] for loss in losses], '.2f')}, {told(risen, '+.2f')} nats above the best epoch's: {said[fifth]}.")
