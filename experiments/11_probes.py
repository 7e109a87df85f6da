"""What a linear probe reads off each layer, beside a control task, a random encoder, and (where it is known) the ceiling."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain_lib import Columns, Keys, load_pretrained, load_text, load_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.text.hidden_markov import HiddenMarkovLanguage
from pretrain_lib.evaluation.bayes import BayesOptimal, as_distributions
from pretrain_lib.data.text.tokenizer import continues_word
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM
from pretrain_lib.transfer.control_task import draw_tokens, layer_states, probe_with_control
from pretrain_lib.zoo import held_out_sources

TITLE = "Linear probes of single tokens: accuracy, selectivity, random encoders, and an exact ceiling"

PREDICTION = """(No pilot but for the time that a fit takes.) In the hidden-Markov languages, on function words, whose own identity says nothing of
the topic: 1. the exact posterior names the topic of 85 to 95 % of them; 2. a probe on the trained network's last layer comes within 5 points of it,
one on its embeddings is at the share of the most frequent topic, and one on a random encoder's last layer lies at least 30 points below the trained one; 3.
in the trained network selectivity grows from layer to layer. On speeches: 4. for the ending of a word, which its type alone decides, the random
encoder's embeddings are as good as the pretrained ones, within 10 points; 5. for the capital letter that the tokenizer threw away, the best layer of either
pretrained model is at least 5 points above the best layer of its random twin, and its selectivity is larger; 6. whether a word goes on in the next token, the
embeddings cannot tell as well as the second layer, by 10 points or more in the pretrained models."""

SEEDS = (101, 102, 103, 104, 105)  # of the languages, of the tokens drawn, of the control tasks and of the random encoders
HELD_OUT, LENGTH, VOCABULARY = 400, 64, 133
FITTED, SCORED = 3000, 2000  # tokens
GRID = (1.0, 0.1)
ZOO = ("bert-mini-sotu", "modernbert-mini-sotu")
ENDINGS = ("ing", "ed", "ly", "s")


def layers_of(model, texts: list) -> list[list[Tensor]]:
    """The hidden states of both parts, one list each."""
    return [layer_states(model, ids, mask) for ids, mask, _ in texts]


def probe_layers(layers: list[list[Tensor]], texts: list[tuple[Tensor, Tensor | None, dict]], tasks: dict, num_types: int, numbers, seed: int) -> dict:
    """For each task a list, one a layer, of [accuracy, accuracy on the control task].

    `texts` are two parts, to fit and to score: ids (N, T), attention mask, and for each task (chosen (N, T) bool, labels (N, T)).
    """
    found = {task: [] for task in tasks}
    for states in zip(*layers, strict=True):
        for task in tasks:
            drawn = [drawn_tokens(*labelled[task], n, seed, tokens=ids, states=state)
                     for (ids, _, labelled), state, n in zip(texts, states, numbers, strict=True)]
            score = probe_with_control(*drawn, num_types, grid=GRID, seed=seed)
            found[task].append([score.accuracy, score.control])
    return found


def drawn_tokens(chosen: Tensor, labels: Tensor, number: int, seed: int, **columns) -> Columns:
    """Tokens drawn at random; where there are two classes, half of them from each."""
    if int(labels[chosen].max()) > 1:
        return draw_tokens(chosen, min(number, int(chosen.sum())), seed, labels=labels, **columns)
    each = min(number // 2, *(int((chosen & (labels == k)).sum()) for k in (0, 1)))
    parts = [draw_tokens(chosen & (labels == k), each, seed, labels=labels, **columns).columns for k in (0, 1)]
    order = Keys.of(seed, [0]).permutation("classes", 2 * each)[0]
    return Columns(**{name: torch.cat([part[name] for part in parts])[order] for name in parts[0]})


def hidden_markov(seed: int, small: bool) -> dict:
    """Probes of the topic, on function words, and of the state, on all words of one language."""
    bayes = load_experiment("07-bayes-optimal")  # its training of a network on such a language, as it is
    steps, held_out = (20, 40) if small else (bayes.STEPS, HELD_OUT)
    numbers = (300, 200) if small else (FITTED, SCORED)
    language = HiddenMarkovLanguage(**bayes.LANGUAGE, seed=seed, sentences=steps * bayes.BATCH)
    _, trained, seconds = bayes.train(language, steps, seed, lambda model: 0.0)
    random = ModernBertForMaskedLM(ModernBertConfig(vocab_size=VOCABULARY, **bayes.MODEL), seed + 1000)
    keys = Keys.of(seed, 2 * held_out)
    source = language.held_out(2 * held_out)
    ids, states = source.take(keys)["input_ids"], source.hidden_states(keys)
    tasks = {"topic": (states % 2 == 0, states // 2), "state": (torch.ones_like(ids, dtype=torch.bool), states)}
    parts = [slice(held_out), slice(held_out, None)]
    texts = [(ids[part], None, {task: (where[part], labels[part]) for task, (where, labels) in tasks.items()}) for part in parts]
    optimal = BayesOptimal(language)
    posterior = as_distributions(optimal.states(ids) * optimal.likelihood[ids])  # what all tokens say, the own one too, (N, T, K)
    alone = as_distributions(language.model.initial * optimal.likelihood[ids])  # what the own token says
    by_topic = [p.unflatten(-1, (-1, 2)).sum(-1) for p in (posterior, alone)]
    ceilings = {}
    for task, answers in {"topic": by_topic, "state": (posterior, alone)}.items():
        where, labels = (part[parts[1]] for part in tasks[task])
        drawn = drawn_tokens(where, labels, numbers[1], seed, **{f"p{i}": p[parts[1]].argmax(-1) for i, p in enumerate(answers)})
        ceilings[task] = {name: (getattr(drawn, f"p{i}") == drawn.labels).double().mean().item()
                          for i, name in enumerate(("exact posterior", "own token"))}
    return {"trained": probe_layers(layers_of(trained, texts), texts, tasks, VOCABULARY, numbers, seed),
            "random": probe_layers(layers_of(random, texts), texts, tasks, VOCABULARY, numbers, seed), "ceilings": ceilings, "cpu_seconds": seconds}


def speeches(tokenizer, blocks: int) -> list[tuple[Tensor, None, dict]]:
    """Two parts of the held-out speeches, in blocks of tokens, with labels that need no tagger."""
    continues, texts = continues_word(tokenizer), []
    documents = [d for d in load_text("sotu") if d.source in held_out_sources("sotu-8192")]
    for part in (documents[::2], documents[1::2]):
        rows, capitals, endings = [], [], []
        for document in part:
            encoding = tokenizer.encode(document.text, add_special_tokens=False)
            ids = torch.tensor(encoding.ids)
            capital = torch.tensor([document.text[start].isupper() for start, _ in encoding.offsets])
            ending = torch.tensor([ending_of(token) for token in encoding.tokens])
            whole = len(ids) // LENGTH * LENGTH
            for column, kept in ((ids, rows), (capital, capitals), (ending, endings)):
                kept.extend(column[:whole].split(LENGTH))
        order = Keys.of(0, [0]).permutation("blocks", len(rows))[0][:blocks]
        ids, capital, ending = (torch.stack([column[i] for i in order.tolist()]) for column in (rows, capitals, endings))
        starts = ~continues[ids]
        letters = torch.tensor([tokenizer.id_to_token(i).isalpha() for i in range(tokenizer.get_vocab_size())])[ids]
        goes_on = torch.zeros_like(ids)
        goes_on[:, :-1] = continues[ids[:, 1:]].long()
        known = starts & letters
        known[:, -1] = False  # whether the last word of a block goes on, the block does not tell
        texts.append((ids, None, {"capital": (known, capital.long()), "goes on": (known, goes_on),
                                  "ending": (known & (ending >= 0) & (goes_on == 0), ending)}))
    return texts


def ending_of(token: str) -> int:
    """The number of the ending of a word of five letters or more; -1 for others."""
    return next((i for i, ending in enumerate(ENDINGS) if len(token) >= 5 and token.endswith(ending)), -1)


def run(scale: str) -> dict:
    """Per model and task, one list a seed of one [accuracy, control accuracy] a layer, embeddings first."""
    small = scale == "smoke"
    seeds = SEEDS[:1] if small else SEEDS
    numbers = (200, 100) if small else (FITTED, SCORED)
    tokenizer = load_tokenizer("sotu-8192")
    texts = speeches(tokenizer, 40 if small else 800)
    tasks = list(texts[0][2])
    found = {}
    for name in ZOO[:1] if small else ZOO:
        pretrained = load_pretrained(name)
        found[name] = {kind: {task: [] for task in tasks} for kind in ("pretrained", "random")}
        own = layers_of(pretrained, texts)
        for seed in seeds:
            twin = type(pretrained)(pretrained.config, seed)
            for kind, states in (("pretrained", own), ("random", layers_of(twin, texts))):
                for task, layers in probe_layers(states, texts, tasks, tokenizer.get_vocab_size(), numbers, seed).items():
                    found[name][kind][task].append(layers)
            print(name, seed, {task: runs[-1][-1] for task, runs in found[name]["pretrained"].items()}, flush=True)
    languages = [hidden_markov(seed, small) for seed in seeds]
    most = {task: [majority(texts[1][2][task], numbers[1], seed) for seed in seeds] for task in tasks}
    return {"languages": languages, "speeches": found, "majority": most, "fitted": numbers[0], "scored": numbers[1]}


def majority(labelled: tuple[Tensor, Tensor], number: int, seed: int) -> float:
    """The share of the most frequent class among the scored tokens."""
    labels = drawn_tokens(*labelled, number, seed).labels
    return torch.bincount(labels).max().item() / len(labels)


def verdict(measured: dict) -> str:
    """What came out, prediction by prediction."""
    said = {True: "held", False: "failed"}
    languages = measured["languages"]

    def mean(values):
        return sum(values) / len(values)

    def layer(kind, task, number, column=0):
        return mean([language[kind][task][number][column] for language in languages])

    ceiling = mean([language["ceilings"]["topic"]["exact posterior"] for language in languages])
    alone = mean([language["ceilings"]["topic"]["own token"] for language in languages])
    last, first, random = layer("trained", "topic", -1), layer("trained", "topic", 0), layer("random", "topic", -1)
    selective = [layer("trained", "topic", k) - layer("trained", "topic", k, 1) for k in range(3)]
    parts = [f"1. The exact posterior names {ceiling:.1%} of the topics: {said[0.85 <= ceiling <= 0.95]}.",
             f"2. Last layer {last:.1%}, embeddings {first:.1%} (most frequent topic by the own token {alone:.1%}), random encoder's last layer "
             f"{random:.1%}: {said[ceiling - last < 0.05 and abs(first - alone) < 0.03 and last - random >= 0.3]}.",
             f"3. Selectivity by layer {', '.join(f'{s:+.3f}' for s in selective)}: {said[selective == sorted(selective)]}."]

    def runs(name, kind, task, number, column=0):
        return mean([seed[number][column] for seed in measured["speeches"][name][kind][task]])

    def best(name, kind, task):
        layers = range(len(measured["speeches"][name][kind][task][0]))
        return max((runs(name, kind, task, k), runs(name, kind, task, k, 1)) for k in layers)

    told = {4: [], 5: [], 6: []}
    for name in measured["speeches"]:
        ending = runs(name, "pretrained", "ending", 0), runs(name, "random", "ending", 0)
        told[4].append((f"{name} {ending[0]:.1%} and random {ending[1]:.1%}", abs(ending[0] - ending[1]) <= 0.1))
        ours, twin = best(name, "pretrained", "capital"), best(name, "random", "capital")
        told[5].append((f"{name} {ours[0]:.1%} (selectivity {ours[0] - ours[1]:+.3f}), random {twin[0]:.1%} ({twin[0] - twin[1]:+.3f})",
                        ours[0] - twin[0] >= 0.05 and ours[0] - ours[1] > twin[0] - twin[1]))
        goes = runs(name, "pretrained", "goes on", 0), runs(name, "pretrained", "goes on", 2)
        told[6].append((f"{name} {goes[0]:.1%} and {goes[1]:.1%}", goes[1] - goes[0] >= 0.1))
    heads = {4: "Endings from the embeddings", 5: "Capitals at the best layer", 6: "Going on, embeddings and second layer"}
    parts += [f"{n}. {heads[n]}: {'; '.join(text for text, _ in cases)}: {said[all(ok for _, ok in cases)]}." for n, cases in told.items()]
    return " ".join(parts)
