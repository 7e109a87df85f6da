"""Exercises of chapter 15: speech."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.keys import Keys
from ...data.speech.features import MelConfig
from ...data.speech.features import mel_filters as librarys_filters
from . import Exercise, Mistake, grade_diagnoses, grade_letters


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(a: Tensor, b: Tensor) -> bool:
    """Alike to single precision, in which an answer may be computed."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)


def require_tensor(answer, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(answer, Tensor) or tuple(answer.shape) != shape:
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise Mistake(f"{what} should be a tensor {shape}, got {got}")


def as_number(answer, what: str) -> Tensor:
    """One number, as a float or a tensor of one."""
    if isinstance(answer, Tensor) and answer.numel() != 1:
        raise Mistake(f"{what} is one number, got a tensor {tuple(answer.shape)}")
    try:
        return torch.tensor(float(answer), dtype=torch.float64)
    except (TypeError, ValueError):
        raise Mistake(f"{what} is one number, got {type(answer).__name__}") from None


def name_mistake(found: Tensor, likely: dict[str, Tensor], otherwise: str) -> None:
    """Raises the first hint whose wrong value was found."""
    for hint, value in likely.items():
        if near(found, value):
            raise Mistake(hint)
    raise Mistake(otherwise)


# 15.1


def to_mel(hertz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


def to_hertz(mels: Tensor) -> Tensor:
    return 700 * (10 ** (mels / 2595) - 1)


def triangles(at: Tensor, corners: Tensor) -> Tensor:
    """Triangles of height 1 between each corner and the next but one, at points (N,): (N, corners − 2)."""
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (at[:, None] - left) / (centre - left)
    falling = (right - at[:, None]) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)


def mel_filters(num_bins: int, num_mels: int, rate: int) -> Tensor:
    """The weight of each bin of a spectrum, from 0 to rate / 2 Hz, in each band: (num_bins, num_mels)."""
    bins = torch.linspace(0, rate / 2, num_bins, dtype=torch.float64)
    top = to_mel(torch.tensor(rate / 2, dtype=torch.float64)).item()
    return triangles(bins, to_hertz(torch.linspace(0, top, num_mels + 2, dtype=torch.float64)))


def wrong_filters(num_bins: int, num_mels: int, rate: int) -> dict[str, Tensor]:
    """What comes of the likely mistakes."""
    half, right = rate / 2, mel_filters(num_bins, num_mels, rate)
    bins, top = torch.linspace(0, half, num_bins).double(), to_mel(torch.tensor(half)).item()
    mels = torch.linspace(0, top, num_mels + 2).double()
    corners = to_hertz(mels)
    steps = torch.linspace(0, top, num_mels + 1).double()  # one corner too few
    short = F.pad(triangles(bins, to_hertz(steps)), (0, 1))
    rising = (bins[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins[:, None]) / (corners[2:] - corners[1:-1])
    whole = torch.floor(corners / half * (num_bins - 1)) / (num_bins - 1) * half
    return {
        "the bands are evenly spaced in hertz: the corners have to be evenly spaced in mel, and then be brought back to hertz":
            triangles(bins, torch.linspace(0, half, num_mels + 2).double()),
        "a band may not be negative: beyond its corners a triangle is 0 (clamp)": torch.minimum(rising, falling),
        "those are the rising edges and the falling ones, whichever is higher: a triangle is the lower of the two":
            torch.maximum(rising, falling).clamp(min=0),
        "the bands go up to the rate itself: a wave of that rate has nothing above half of it":
            triangles(torch.linspace(0, half, num_bins).double(), to_hertz(torch.linspace(0, to_mel(torch.tensor(float(rate))).item(), num_mels + 2).double())),
        "the bins go up to the rate itself: the last of a real wave's is at half of it":
            triangles(torch.linspace(0, rate, num_bins).double(), corners),
        "the edges are straight lines in mel: here they are straight in hertz. Only the corners are spaced in mel": triangles(to_mel(bins), mels),
        "log10 belongs into the scale of mel, 2595 · log10(1 + f / 700), not the natural logarithm: both ways have to be of one scale":
            triangles(bins, 700 * (10 ** (torch.linspace(0, 2595 * math.log(1 + half / 700), num_mels + 2).double() / 2595) - 1)),
        "each triangle has the area 1: height 1 is asked here": right * 2 / (corners[2:] - corners[:-2]),
        "each band sums to 1: height 1 is asked here": right / right.sum(0, keepdim=True).clamp(min=1e-9),
        "the corners were moved to whole bins: where bands are narrow they change their shape, or vanish. Compare frequencies instead":
            triangles(bins, whole).nan_to_num(),
        "one corner is missing: M triangles have M + 2 corners, for each ends where the next but one begins": short,
    }


def grade_mel_filters(answer) -> str:
    for num_bins, num_mels, rate in ((257, 20, 16000), (129, 10, 8000)):
        found = answer(num_bins, num_mels, rate)
        if isinstance(found, Tensor) and tuple(found.shape) == (num_mels, num_bins):
            raise Mistake("rows and columns have changed places: (num_bins, num_mels), so that a spectrum times the filters is the bands")
        require_tensor(found, (num_bins, num_mels), f"the filters of {num_bins} bins and {num_mels} bands")
        config = MelConfig(sampling_rate=rate, num_mel_bins=num_mels, win_length=num_bins, hop_length=80, n_fft=2 * (num_bins - 1), mel_scale="htk", norm="none")
        if not near(found, librarys_filters(config)):
            name_mistake(found, wrong_filters(num_bins, num_mels, rate), "triangles of height 1 between every corner and the next but one, the corners evenly "
                         f"spaced in mel from 0 to {rate // 2} Hz: band 0 of {num_mels} has its peak at {to_hertz(to_mel(torch.tensor(rate / 2)) / (num_mels + 1)):.0f} Hz")
    return "agrees with the library at two rates"


# 15.2


def cpc_loss(predicted: Tensor, vectors: Tensor, offset: int, temperature: float) -> Tensor:
    """The mean over all frames t with a frame t + offset; predicted and vectors (T, D) to a scalar in nats."""
    logits = predicted[:-offset] @ vectors.T / temperature  # (T − k, T)
    return F.cross_entropy(logits, torch.arange(offset, len(vectors)))


def cpc_by_loops(predicted: Tensor, vectors: Tensor, offset: int, temperature: float) -> Tensor:
    """The same, as it is written down."""
    each = []
    for t in range(len(vectors) - offset):
        scores = [math.exp(float(predicted[t] @ other) / temperature) for other in vectors]
        each.append(-math.log(scores[t + offset] / sum(scores)))
    return torch.tensor(each, dtype=torch.float64)


def wrong_cpc(predicted: Tensor, vectors: Tensor, offset: int, temperature: float, right: Tensor) -> dict[str, Tensor]:
    """What comes of the likely mistakes; `right` is the loss of each frame."""
    count = len(vectors)
    asked, places = predicted[:-offset], torch.arange(offset, count)
    logits = asked @ vectors.T / temperature
    unit = F.normalize(predicted, dim=1), F.normalize(vectors, dim=1)
    scaled = F.cross_entropy(unit[0][:-offset] @ unit[1].T / temperature, places)
    later = logits.masked_fill(torch.arange(count) <= torch.arange(count - offset)[:, None], -math.inf)
    back = F.cross_entropy(predicted[offset:] @ vectors.T / temperature, torch.arange(count - offset))
    one_less = F.cross_entropy(predicted[:count - offset + 1] @ vectors.T / temperature, torch.arange(offset - 1, count))
    return {
        "the true frame is the one that was just heard: prediction t is of frame t + offset": F.cross_entropy(logits, torch.arange(count - offset)),
        "off by one: that is the loss for offset − 1": one_less,
        "the wrong way in time: that is told from what comes later. Prediction t is of frame t + offset": back,
        "the last predictions are taken to be of the first frames (roll): they are of no frame, so leave them out":
            F.cross_entropy(predicted @ vectors.T / temperature, (torch.arange(count) + offset) % count),
        "only those frames are candidates that are some prediction's target: here all T frames are":
            F.cross_entropy(asked @ vectors[offset:].T / temperature, torch.arange(count - offset)),
        "only later frames are candidates: here all T frames of the utterance are, earlier ones too": F.cross_entropy(later, places),
        "the temperature is missing": F.cross_entropy(asked @ vectors.T, places),
        "the logits are multiplied by the temperature: divide": F.cross_entropy(asked @ vectors.T * temperature, places),
        "those are cosines: the scores are dot products here, so that a vector may say how sure it is by its length": scaled,
        "that is the sum: take the mean over the frames that have a frame to predict": right.sum(),
        "the mean is over all T frames, and the last ones have nothing to predict": right.sum() / count,
        "the sign is turned: −log of the true frame's share": -right.mean(),
        "the true frame is missing in the sum below the fraction: it is one of the T candidates": (right.exp() - 1).log().mean(),
        "that is the other question: which prediction belongs to a frame? The shares are over frames, for each prediction":
            -(logits.log_softmax(0)[torch.arange(count - offset), places]).mean(),
    }


def grade_cpc_loss(answer) -> str:
    vectors = numbers(9, 6, seed=1)
    for offset, temperature in ((2, 0.7), (1, 2.0), (4, 1.3)):
        predicted = vectors.roll(-offset, 0) + 0.7 * numbers(9, 6, seed=2 + offset)
        loss = answer(predicted.clone(), vectors.clone(), offset, temperature)
        if isinstance(loss, Tensor) and loss.numel() == 9 - offset:
            raise Mistake("one number is wanted: the mean over the frames that have a frame to predict")
        found, right = as_number(loss, "the loss"), cpc_by_loops(predicted, vectors, offset, temperature)
        if not near(found, right.mean()):
            name_mistake(found, wrong_cpc(predicted, vectors, offset, temperature, right),
                         f"{right.mean():.4f} is right for nine frames and offset {offset}, got {found:.4f}")
    same = torch.ones(12, 4, dtype=torch.float64)
    if not near(as_number(answer(same, same.clone(), 3, 0.5), "the loss"), torch.tensor(math.log(12))):
        raise Mistake("where all frames are the same the loss is ln T: every frame is as likely as the others")
    return "agrees with loops at three offsets, and frames that are all the same cost ln T"


# 15.3

DIAGNOSES = ("it has heard the future", "the voice is in both parts", "the voice gives it away", "blank plateau", "healthy")
RIGHT_LOGS = {"A": "it has heard the future", "B": "blank plateau", "C": "the voice is in both parts", "D": "the voice gives it away", "E": "healthy"}
CLUES = {
    "A": "chance is 3.50, and nobody can tell so well what will be said, up to four frames from now. What does each frame's vector contain?",
    "B": "the loss falls, and yet: count what it writes. Of which symbol does every frame hold a little, and which is thus the best single answer?",
    "C": "the recordings are new in both tests. What is new in the second that was known in the first?",
    "D": "the loss is lower than that of E by far, and phones are told worse than by the untrained network. What do frames of one utterance have in common "
         "that frames of others lack?",
    "E": "far below chance and not near 0; phones are told better than by the untrained network, and voices worse",
}
# Written by pretrain_lib.course.site.clinic_speech, of the runs in docs/clinic.json that
# `python -m pretrain_lib.course.site.clinic prediction transcripts words` measures.
LOGS = {
    "A": """pretraining: frames up to four ahead, told from 32 frames of their own utterance, chance 3.50
   update     loss   phones, probe   voices, probe
untrained                    0.307           0.522
      100    0.400           0.317           0.340
      200    0.183           0.309           0.325
      300    0.207           0.309           0.305""",
    "B": """transcripts of single words by CTC, test on other voices; the best answer that hears nothing costs 3.69
update     loss   phones written, of 100 said   phone error rate
    60   13.536                             0              1.000
   150    3.473                             0              1.000
   300    3.238                             0              1.000
   600    2.855                             0              1.000""",
    "C": """words, share that is wrong in two tests: recordings set apart at random, and recordings by speakers who came in later
update     loss   set apart at random   speakers who came in later
    50    1.063                    0.287                      0.443
   100    0.104                    0.072                      0.259
   200    0.040                    0.052                      0.259""",
    "D": """pretraining: frames up to four ahead, told from 32 frames of other utterances, chance 3.50
   update     loss   phones, probe   voices, probe
untrained                    0.307           0.522
      100    1.345           0.307           0.452
      200    1.141           0.290           0.442
      300    1.037           0.293           0.450""",
    "E": """pretraining: frames up to four ahead, told from 32 frames of their own utterance, chance 3.50
   update     loss   phones, probe   voices, probe
untrained                    0.307           0.522
      100    1.810           0.340           0.433
      200    1.708           0.345           0.385
      300    1.721           0.342           0.385""",
}
grade_logs = grade_diagnoses(RIGHT_LOGS, DIAGNOSES, CLUES)


# 15.4


def span_mask(keys: Keys, length: int, share: float, span: int) -> Tensor:
    """Which frames are hidden, (B, length) bool: round(share · length / span) spans that do not overlap, all orders equally likely."""
    spans = round(share * length / span)
    widths = torch.tensor([span] * spans + [1] * (length - spans * span))
    order = keys.uniform("spans", (len(widths),)).argsort(dim=1)  # (B, blocks)
    return torch.stack([(row < spans).repeat_interleave(widths[row]) for row in order])


def runs(row: list[bool]) -> list[int]:
    """How long each stretch of hidden frames is."""
    found, current = [], 0
    for hidden in [*row, False]:
        if not hidden and current:
            found.append(current)
        current = current + 1 if hidden else 0
    return found


def grade_span_mask(answer) -> str:
    for length, share, span in ((60, 0.4, 5), (100, 0.65, 10), (40, 0.3, 3)):
        keys = Keys.of(7, 400)
        mask = answer(keys, length, share, span)
        require_tensor(mask, (400, length), f"the mask of 400 utterances of {length} frames")
        if mask.dtype != torch.bool:
            raise Mistake(f"which frames are hidden is yes or no: a tensor of bool, got {mask.dtype}")
        judge_shares(mask, share, span)
        if (mask == mask[0]).all():
            raise Mistake("all utterances have the same mask: draw for each of its keys")
        judge_spans(mask, length, share, span)
        judge_keys(answer, mask, length, share, span)
    return "the hidden share is as stated at three settings, in whole spans, and a function of the keys"


def judge_shares(mask: Tensor, share: float, span: int) -> None:
    """Raises unless every utterance has as many hidden frames as stated."""
    length, wanted = mask.shape[1], round(share * mask.shape[1] / span) * span
    hidden = mask.sum(1)
    if (hidden == wanted).all():
        return
    mean = hidden.double().mean() / length
    if (hidden == length - wanted).all():
        raise Mistake("hidden and visible have changed places: True is where a frame is hidden")
    if (hidden == round(share * length / span)).all():
        raise Mistake("only the first frame of each span is hidden: it covers `span` frames")
    if (hidden == hidden[0]).all():
        raise Mistake(f"each utterance hides {int(hidden[0])} of {length} frames, and {wanted} are stated: round(share · length / span) spans of `span` frames")
    if hidden.max() <= wanted:
        raise Mistake(f"{mean:.0%} are hidden on average, and {share:.0%} are stated: beginnings were drawn one by one, and where spans overlap a frame "
                      "counts twice, or a span is cut off at the end. Draw the order of spans and visible frames instead")
    if mean > 1.3 * share:
        raise Mistake(f"{mean:.0%} are hidden on average, and {share:.0%} are stated: each frame begins a span with the probability `share`. "
                      "A span is hidden for `span` frames, so far fewer begin")
    raise Mistake(f"between {int(hidden.min())} and {int(hidden.max())} of {length} frames are hidden: right on average or not, each utterance was to hide {wanted}. "
                  "Draw the order, not the number")


def judge_spans(mask: Tensor, length: int, share: float, span: int) -> None:
    """Raises unless hidden frames come in whole spans, which lie anywhere."""
    found = [runs(row) for row in mask.tolist()]
    if any(run % span for row in found for run in row):
        raise Mistake(f"there are stretches of hidden frames that are no multiple of {span}: neighbours of a single hidden frame give it away, so hide whole spans")
    if all(len(row) == 1 for row in found):
        raise Mistake("all spans lie together, in one stretch: they are spread over the utterance, and meet only by chance")
    if all(start % span == 0 for row in mask.tolist() for start in range(1, length) if row[start] and not row[start - 1]):
        raise Mistake(f"spans begin at multiples of {span} only: they may begin anywhere, or the model learns where to listen")
    often = mask.double().mean(0)
    if not often.min():
        raise Mistake(f"frame {int(often.argmin())} is never hidden in 400 utterances: spans lie anywhere, the first and the last frame included")


def judge_keys(answer: Callable, mask: Tensor, length: int, share: float, span: int) -> None:
    """Raises unless an utterance's mask is a function of its key."""
    if not torch.equal(answer(Keys.of(7, 400), length, share, span), mask):
        raise Mistake("the same keys give another mask the second time: all that is random has to come from keys")
    some = [17, 3, 205]
    if not torch.equal(answer(Keys.of(7, some), length, share, span), mask[some]):
        raise Mistake("in another batch an utterance gets another mask: draw from the batch's own keys")
    if torch.equal(answer(Keys.of(7, 400, epoch=1), length, share, span), mask):
        raise Mistake("in the next epoch the masks are the same again: hand over the keys as they are, with their epoch")


# 15.5


def ctc_forward(log_probs: Tensor, labels: list) -> Tensor:
    """log P(labels): log_probs (T, 1 + symbols), with the blank at 0, and U symbols to a scalar."""
    states = [0]
    for symbol in labels:
        states += [symbol, 0]
    alpha = [-math.inf] * len(states)
    alpha[0], alpha[1] = float(log_probs[0, 0]), float(log_probs[0, labels[0]])
    for frame in log_probs[1:]:
        alpha = [from_before(alpha, states, s) + float(frame[states[s]]) for s in range(len(states))]
    return torch.tensor(alpha[-2:], dtype=torch.float64).logsumexp(0)


def from_before(alpha: list, states: list, s: int, skip: bool = True) -> float:
    """The log of what may go on to state s: itself, the one before, and the one before that if the blank may be left out."""
    ways = [alpha[s]] + alpha[s - 1:s] * (s > 0)
    if skip and s > 1 and states[s] and states[s] != states[s - 2]:
        ways.append(alpha[s - 2])
    return float(torch.tensor(ways, dtype=torch.float64).logsumexp(0))


def by_all_paths(log_probs: Tensor, labels: list) -> Tensor:
    """The same, by writing down every path."""
    steps, symbols = log_probs.shape
    paths = [path for path in product(range(symbols), repeat=steps) if collapse(path) == list(labels)]
    if not paths:
        return torch.tensor(-math.inf, dtype=torch.float64)
    return torch.stack([log_probs[range(steps), path].sum() for path in map(list, paths)]).logsumexp(0)


def forward_with(log_probs: Tensor, labels: list, repeats: bool = True, skips: bool = True, blanks_skipped: bool = False, starts: int = 2, ends: int = 2,
                 blanks: bool = True, best: bool = False, last_frame: bool = True) -> Tensor:
    """log P(labels), with mistakes if wanted."""
    states = [0] + [state for symbol in labels for state in (symbol, 0)] if blanks else list(labels)
    add = (lambda x: x.max(0).values) if best else (lambda x: x.logsumexp(0))
    alpha = torch.full((len(states),), -math.inf, dtype=torch.float64)
    alpha[:starts] = log_probs[0, states[:starts]]
    for frame in log_probs[1:] if last_frame else log_probs[1:-1]:
        ways = [alpha, F.pad(alpha, (1, 0), value=-math.inf)[:-1]]
        may = [skips and s > 1 and (states[s] != 0 or blanks_skipped) and not (repeats and states[s] != 0 and states[s] == states[s - 2]) for s in range(len(states))]
        ways += [F.pad(alpha, (2, 0), value=-math.inf)[:-2].masked_fill(~torch.tensor(may), -math.inf)] if blanks else []
        alpha = add(torch.stack(ways)) + frame[states]
    return add(alpha[-ends:])


def grade_ctc_forward(answer) -> str:
    for steps, labels, seed in ((5, [1, 2], 11), (5, [2, 2], 12), (4, [1], 13), (6, [1, 2, 1], 14), (5, [1, 1, 2], 15)):
        log_probs = numbers(steps, 3, seed=seed).log_softmax(1)
        right = by_all_paths(log_probs, labels)
        found = as_number(answer(log_probs.clone(), list(labels)), "log P")
        if not near(found, right):
            wrong = {
                "the sign is turned: log P is below 0, and −log P is the loss": -right,
                "that is P: its logarithm is wanted, for P of a long utterance is too small for a float": right.exp(),
                "that is log P, divided by the number of symbols": right / len(labels),
                "there is no blank between the symbols: the states are blank, symbol, blank, …, blank": forward_with(log_probs, labels, blanks=False, starts=1, ends=1),
                "no blank may be left out there: most transcripts have paths in which one symbol follows another directly": forward_with(log_probs, labels, skips=False),
                "the blank between two symbols that are the same was left out: such a path collapses to one of them": forward_with(log_probs, labels, repeats=False),
                "a blank follows a blank, with the symbol between them left out: only blanks may be left out": forward_with(log_probs, labels, blanks_skipped=True),
                "the first frame is always a blank there: a path may begin with the first symbol, too": forward_with(log_probs, labels, starts=1),
                "the last frame is always a blank there: a path may end in the last symbol, too": forward_with(log_probs, labels, ends=1),
                "that is the best path alone: add up what leads to a state, logsumexp instead of max": forward_with(log_probs, labels, best=True),
                "the last frame is missing": forward_with(log_probs, labels, last_frame=False),
                "the first frame is missing: the recursion begins with it": forward_with(log_probs[1:], labels),
                "those are the probabilities of the states, added up at the end over all states: only the last two say everything":
                    forward_with(log_probs, labels, ends=2 * len(labels) + 1),
            }
            name_mistake(found, wrong, f"{labels} in {steps} frames: all paths together give {right:.4f}, got {found:.4f}")
    too_short = as_number(answer(numbers(2, 3, seed=16).log_softmax(1), [1, 1]), "log P")
    if not (too_short == -math.inf):
        raise Mistake(f"[1, 1] takes three frames, and two are there: log P is −inf, got {too_short}")
    judge_long(answer)
    return "agrees with all paths one by one, and with torch.nn.functional.ctc_loss on 80 frames"


def judge_long(answer: Callable) -> None:
    """Raises where a long utterance is not as torch has it."""
    log_probs, labels = numbers(80, 6, seed=17).mul(3).log_softmax(1), [1, 3, 3, 2, 5, 4, 4, 1] * 2
    right = -F.ctc_loss(log_probs[:, None], torch.tensor([labels]), torch.tensor([80]), torch.tensor([len(labels)]), reduction="sum")
    found = as_number(answer(log_probs.clone(), list(labels)), "log P")
    if not found.isfinite():
        raise Mistake(f"80 frames give {found}, where torch has {right:.3f}: keep to logarithms throughout (logsumexp), for a product of 80 probabilities underflows")
    if not torch.allclose(found, right, rtol=1e-6):
        raise Mistake(f"80 frames and 16 symbols, some twice in a row: torch has {right:.6f}, got {found:.6f}")


# 15.6


def collapse(path) -> list:
    """What a path says: symbols that follow themselves are one, then blanks, 0, are left out."""
    before, said = 0, []
    for symbol in path:
        if symbol != before and symbol != 0:
            said.append(symbol)
        before = symbol
    return said


def merged(path) -> list:
    return [symbol for i, symbol in enumerate(path) if not i or symbol != path[i - 1]]


def grade_collapse(answer) -> str:
    paths = [[0, 3, 3, 0, 0, 2], [2, 1, 2, 3, 2], [1, 1, 0, 1, 2, 2, 2, 0], [5, 5, 5], [0, 0, 0], [], [4, 0, 4, 4, 0, 0, 4]]
    for path in paths:
        found = answer(list(path))
        if isinstance(found, Tensor):
            found = found.tolist()
        if not isinstance(found, list | tuple):
            raise Mistake(f"return a list of symbols, got {type(found).__name__}")
        found, right = [int(symbol) for symbol in found], collapse(path)
        if found == right:
            continue
        without = [symbol for symbol in path if symbol]
        hints = [
            ("blanks are left in: they say nothing", merged(path)),
            ("repeats are left in: a symbol that lasts several frames is said once", without),
            ("the blanks were taken out first: then a symbol that is said twice becomes one. Merge repeats first", merged(without)),
            ("each symbol is there only once: a symbol may be said again later", list(dict.fromkeys(without))),
            ("the order is lost: symbols are said as they come", sorted(set(without))),
            ("the last symbol is missing: a path may end in one", right[:-1]),
            ("the first symbol is missing: a path may begin with one", right[1:]),
        ]
        for hint, wrong in hints:
            if found == wrong:
                raise Mistake(f"{path} gave {found}: {hint}")
        raise Mistake(f"{path} says {right}, got {found}")
    return "seven paths, with repeats, with a blank between two that are the same, and with nothing but blanks"


# 15.7

CHOICES = {
    "a": "test utterances by voices of which nothing was heard, neither in pre-training nor with labels",
    "b": "test utterances of words that occur in no transcript of training",
    "c": "utterances drawn at random for the test, after all have been pooled",
    "d": "an encoder from scratch with as many updates, and the blank plateau behind it",
    "e": "the same encoder, frozen, with its first random weights",
    "f": "log-mels with their neighbours, and MFCC with their slopes, under the same probe",
    "g": "one learning rate for all arms, so that they are treated alike",
    "h": "a learning rate for the head and one for the encoder, chosen for each arm on other utterances than those of the test",
    "i": "several seeds, each with a pre-training and a draw of transcripts of its own, and the spread over test utterances beside that over seeds",
    "j": "the loss of pre-training on test utterances, as a measure of how well it listens",
}
NEEDED = {
    "a": "without (a) the voice is in both parts: what is measured is then, in part, who speaks",
    "b": "without (b) words may be known as a whole, and nobody learns whether phones are",
    "d": "without (d) the rival has had fewer updates, or has not left the blank plateau: patience, not pre-training",
    "e": "without (e) nobody knows what a random network gives on its own, and of speech that is much",
    "f": "without (f) it may be the features that are good, and the network has added nothing",
    "h": "without (h) it may be the tuning: fine-tuning at one wrong rate is worse than a frozen encoder",
    "i": "without (i) one lucky pre-training, or one lucky draw of transcripts, may be all there is",
}
HARMFUL = {
    "c": "(c) puts every voice and every word into both parts",
    "g": "(g) is equal treatment in name: the rate that suits a frozen encoder ruins a fine-tuned one",
    "j": "(j) measures the pretext task: the easiest negatives give the lowest loss, and the worst features",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL, "unheard voices, unread words, patient and tuned rivals, random and raw floors, and all the seeds")


EXERCISES = [
    Exercise("15.1", "mel filters", 2, 20, mel_filters, grade_mel_filters),
    Exercise("15.2", "what comes, among others", 2, 20, cpc_loss, grade_cpc_loss),
    Exercise("15.3", "read five logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("15.4", "hide spans", 2, 20, span_mask, grade_span_mask),
    Exercise("15.5", "all ways to say it", 3, 35, ctc_forward, grade_ctc_forward),
    Exercise("15.6", "what a path says", 1, 10, collapse, grade_collapse),
    Exercise("15.7", "what a claim needs", 2, 10, set(NEEDED), grade_design),
]
