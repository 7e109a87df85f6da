"""What each objective keeps of sound, layer by layer: prediction among others, masked spectra, and clusters in two rounds, at equal compute."""

from __future__ import annotations

from statistics import mean

import torch
from torch import Tensor, nn

from pretrain_lib import Beside, MaskedFrames, Sequences, frame_samples, frame_vectors, k_means, phone_information
from pretrain_lib.course.results import load_experiment
from pretrain_lib.evaluation.uncertainty import lead

shared = load_experiment("15-negatives")

TITLE = "Contrastive prediction, masked spectra and masked clusters in two rounds at equal compute: phones against voices by layer, and clusters against their teacher"

PREDICTION = """(Known from a prototype with another program, one seed, equal time: phones with 20 labelled phrases 39.8 % after contrastive prediction
within the clip, 35.0 after masked spectra and 32.7 after masked clusters, both on a BLSTM of another kind, 36.3 of a random one; with two layers the
first told phones at 41.3 and voices at 43, the second at 38.0 and 27; words with three labels 89.6 after masked spectra, 83.6 random. With 100 clusters
PNMI was 0.369 of MFCC, 0.397 of a transformer that predicted these, 0.409 of one that predicted clusters with 0.448.) All ways train one network, whose
directions are apart, as long as costs the same. 1. Contrastive prediction leads masked spectra by 2 points of phones, each in its best layer, clearly. 2.
Masked spectra do not lead a frozen random network clearly in phones. 3. Masked spectra lead a frozen random network in words with three labels by 2
points, clearly: a spectrum's shape is kept, if not its phones. 4. After contrastive prediction voices are told worse from the second layer than from the
first, by 3 points, clearly; in a random network by less. 5. A first student's best layer has a PNMI above its teacher's, MFCC's, in the mean and with
every seed (Hsu et al. 2021 report this of their iterations). 6. The second student is above the first in PNMI, in the mean. 7. Of all, the layer that
tells phones best after contrastive prediction has the highest PNMI."""

SEEDS = (155, 156, 157)
STEPS, CLUSTERS, LABELS = 350, 100, 3  # updates of contrastive prediction; the others as many as cost the same
RATIO, SPAN = 0.5, 8  # of frames that are hidden, and how many together
ROUNDS = ("clusters, first round", "clusters, second round")
WAYS = ("prediction", "masked spectra", *ROUNDS)
ARMS = ("prediction", "masked spectra", "clusters", "frozen random", *shared.SPECTRA)  # both rounds are measured in one
LAYERS = tuple(range(shared.SHAPE.num_hidden_layers + 1))


def multiplications(way: str) -> float:
    """Of a frame, forwards: of the network, and of what predicts from it."""
    shape, steps = shared.SHAPE, shared.SHAPE.num_mel_bins * shared.SHAPE.conv_stride[0]
    wide, size = shape.conv_dim[-1], shape.hidden_size
    inputs = (wide, *[size] * (shape.num_hidden_layers - 1))
    encoder = shape.num_mel_bins * shape.conv_kernel[0] * wide + sum(2 * 4 * size * (into + size) for into in inputs)
    hidden = RATIO * 2 * size  # only hidden frames are predicted from
    heads = {"prediction": 2 * shared.OFFSETS * (size * wide + (1 + shared.NEGATIVES) * wide), "masked spectra": hidden * steps}
    return encoder + heads.get(way, hidden * (2 * size + CLUSTERS))


def steps_of(way: str) -> int:
    """As many updates as cost what those of contrastive prediction do."""
    return round(STEPS * multiplications("prediction") / multiplications(way))


def clustered(teacher: nn.Module, layer: int, phrases, number: int, seed: int):
    """Phrases with the cluster of each frame beside them, and the clusters."""
    vectors = frame_vectors(teacher, phrases, layer)
    clusters = k_means(torch.cat(vectors), number, seed)
    return Beside(phrases, Sequences("clusters", [clusters.nearest(each) for each in vectors])), clusters


def informed(model: nn.Module, layer: int, phrases, test, seed: int, small: bool) -> float:
    """PNMI of clusters of a layer, found in some phrases, on others."""
    clusters = clustered(model, layer, phrases, 5 if small else CLUSTERS, seed)[1]
    frames = frame_samples(model, test, layer=layer)
    return phone_information(clusters.nearest(frames.features), frames.labels)


def masked(targets: str, source, rate: float, seed: int, small: bool) -> tuple[nn.Module, float]:
    """A network after masked prediction, and its last loss."""
    model, size = shared.network(seed), shared.network(seed).feature_size
    number = shared.SHAPE.num_mel_bins * shared.SHAPE.conv_stride[0] if targets == "features" else 5 if small else CLUSTERS
    steps = 2 if small else steps_of("masked spectra" if targets == "features" else ROUNDS[0])
    objective = MaskedFrames(size, number, targets, RATIO, SPAN, seed=seed)
    return model, shared.trained(model, objective, source, shared.recipe(steps, shared.BATCH, rate, seed))


def pretrained(way: str, rate: float, seed: int, small: bool, teacher: tuple[nn.Module, int] | None = None) -> tuple[nn.Module, float]:
    """A network that one way has trained, and its last loss; of clusters by those of a teacher's layer."""
    train = shared.data(small).train
    if way == "prediction":
        model, _, loss = shared.pretrained("same", rate, seed, small, STEPS)
        return model, loss
    if teacher is None:
        return masked("features", train, rate, seed, small)
    return masked("clusters", clustered(*teacher, train, 5 if small else CLUSTERS, seed)[0], rate, seed, small)


def chosen(way: str, small: bool, teacher: tuple[nn.Module, int] | None = None) -> tuple[dict, nn.Module]:
    """The rate that tells phones and words best of voices set apart, its settings, and its network."""
    models = {rate: pretrained(way, rate, shared.APART, small, teacher)[0] for rate in (shared.RATES[:1] if small else shared.RATES)}
    found = {rate: shared.settings(model, small) for rate, model in models.items()}
    rate = max(found, key=lambda rate: found[rate]["score"])
    return {"pretrained": rate, "rates": {rate: each["score"] for rate, each in found.items()}, **found[rate]}, models[rate]


def told(model: nn.Module, setting: dict, seed: int, small: bool) -> dict:
    """What a network tells: phones, words, and of each layer phones, voices and PNMI."""
    speech, count = shared.data(small), 1 if small else LABELS
    (best, strength), layers = setting["phones"], (-1,) if isinstance(model, shared.StackedSteps) else LAYERS
    labelled = shared.labelled_phrases(speech.train, 5 if small else shared.PHRASES, seed)
    right = {layer: shared.phones_of(model, layer, labelled, speech.test, strength) for layer in layers}
    return {"phones": right[best], "words": shared.words_of(model, setting["words"], speech.words, speech.words_test, (count,), seed)[count],
            "phones by layer": [right[layer].mean().item() for layer in layers],
            "voices by layer": [shared.voices_of(model, layer, speech.train) for layer in layers],
            "pnmi by layer": [informed(model, layer, speech.train, speech.test, seed, small) for layer in layers]}  # fmt: skip


def measure(arm: str, small: bool = False) -> dict[str, dict]:
    """All of one arm, and of clusters both rounds: {way: the settings that were chosen, and each seed's run}."""
    seeds = SEEDS[:2] if small else SEEDS
    if arm not in ("prediction", "masked spectra", "clusters"):
        setting = shared.settings(shared.unlearned(arm, shared.APART), small)
        return {arm: {"setting": setting, "runs": [told(shared.unlearned(arm, seed), setting, seed, small) for seed in seeds]}}
    parts, teachers = {}, {seed: (shared.Cepstra(), -1) for seed in (shared.APART, *seeds)}
    for way in ROUNDS if arm == "clusters" else (arm,):
        teach = (lambda seed: teachers[seed]) if arm == "clusters" else (lambda seed: None)
        setting, student = chosen(way, small, teach(shared.APART))
        students, runs = {shared.APART: student}, []
        for seed in seeds:
            students[seed], loss = pretrained(way, setting["pretrained"], seed, small, teach(seed))
            runs.append({"loss": loss, **told(students[seed], setting, seed, small)})
        parts[way] = {"setting": setting, "runs": runs}
        teachers = {seed: (student, setting["phones"][0]) for seed, student in students.items()}
    return parts


def finish(parts: dict[str, dict], small: bool = False) -> dict:
    """What is kept of all arms: accuracies, PNMI and loss of each seed, and the leads."""
    found = {way: part for arm in parts.values() for way, part in arm.items()}
    learned = [way for way in WAYS if way in found]

    def scores(pick) -> dict[str, Tensor]:  # {way: (N, seeds)}
        return {way: torch.stack([pick(run) for run in part["runs"]], 1) for way, part in found.items()}

    phones, words, groups = scores(lambda run: run["phones"]), scores(lambda run: run["words"]), shared.utterances(small)
    voices = {way: [torch.stack(layer, 1) for layer in zip(*(run["voices by layer"] for run in part["runs"]))] for way, part in found.items()}
    rivals = {way: [rival for rival in ("frozen random", "masked spectra", *shared.SPECTRA) if rival != way] for way in learned}
    leads = {"phones": {f"{way} over {rival}": lead(phones[way], phones[rival], groups) for way in learned for rival in rivals[way]},
             "words": {f"{way} over {rival}": lead(words[way], words[rival]) for way in learned for rival in rivals[way]},
             "voices, first layer over second": {way: lead(voices[way][1], voices[way][2]) for way in (*learned, "frozen random")}}
    return {"device": "cpu", "phrases": shared.PHRASES, "labels": LABELS, "clusters": CLUSTERS, "batch": shared.BATCH, "updates": {way: steps_of(way) for way in WAYS},
            "multiplications_of_a_frame": {way: multiplications(way) for way in WAYS}, "setting": {way: part["setting"] for way, part in found.items()},
            "loss": {way: [run["loss"] for run in found[way]["runs"]] for way in learned},
            "accuracy": {task: {way: each.mean(0).tolist() for way, each in scored.items()} for task, scored in (("phones", phones), ("words", words))},
            "by layer": {"phones": {way: [run["phones by layer"] for run in part["runs"]] for way, part in found.items()},
                         "voices": {way: torch.stack([layer.mean(0) for layer in each], 1).tolist() for way, each in voices.items()},
                         "pnmi": {way: [run["pnmi by layer"] for run in part["runs"]] for way, part in found.items()}},
            "leads": {task: {name: [list(each) for each in one] for name, one in every.items()} for task, every in leads.items()}}  # fmt: skip


def run(scale: str) -> dict:
    """Accuracies, PNMI and leads of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, leads, points, is_clear = {True: "held", False: "failed"}, measured["leads"], shared.points, shared.is_clear
    phones, words, deeper = leads["phones"], leads["words"], leads["voices, first layer over second"]
    best = {way: max(range(len(runs[0])), key=lambda layer: mean(run[layer] for run in runs)) for way, runs in measured["by layer"]["phones"].items()}
    pnmi = {way: [run[best[way]] for run in runs] for way, runs in measured["by layer"]["pnmi"].items()}
    highest = {way: [max(run) for run in runs] for way, runs in measured["by layer"]["pnmi"].items()}
    teacher, first, second = (highest[way] for way in ("MFCC + Δ", *ROUNDS))
    over = phones["prediction over masked spectra"], phones["masked spectra over frozen random"], words["masked spectra over frozen random"]
    kept = ", ".join(f"{way} {mean(measured['accuracy']['phones'][way]):.3f}, {mean(measured['accuracy']['words'][way]):.3f}, voices "
                     + "/".join(f"{mean(layer):.2f}" for layer in zip(*measured["by layer"]["voices"][way]))
                     + f", PNMI {mean(highest[way]):.3f}" for way in measured["accuracy"]["phones"])  # fmt: skip
    top = max(pnmi, key=lambda way: mean(pnmi[way]))
    return (f"Phones, words with {measured['labels']} labels, voices by layer, and PNMI of the best: {kept}. 1. Prediction over masked spectra {points(over[0])}: "
            f"{said[is_clear(over[0], 0.02)]}. 2. Masked spectra over frozen random {points(over[1])}: {said[not is_clear(over[1])]}. "
            f"3. In words {points(over[2])}: {said[is_clear(over[2], 0.02)]}. "
            f"4. Voices, first layer over second, after prediction {points(deeper['prediction'])}, random {points(deeper['frozen random'])}: "
            f"{said[is_clear(deeper['prediction'], 0.03) and deeper['frozen random'][0][0] < deeper['prediction'][0][0]]}. "
            f"5. The first student has {mean(first):.3f}, and with the worst seed {min(first):.3f}, its teacher {mean(teacher):.3f}: "
            f"{said[mean(first) > mean(teacher) and all(a > b for a, b in zip(first, teacher))]}. "
            f"6. The second student has {mean(second):.3f}: {said[mean(second) > mean(first)]}. "
            f"7. In its best layer for phones {top} is highest with {mean(pnmi[top]):.3f}, prediction has {mean(pnmi['prediction']):.3f}: "
            f"{said[top == 'prediction']}.")  # fmt: skip
