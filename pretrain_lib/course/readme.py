"""The part of the README that shows results: a figure and a table, written from the ledger.

    python -m pretrain_lib.course.readme     writes both anew
"""

from __future__ import annotations

import re
from statistics import mean, median

from ..zoo import ZOO, models_of
from .results import ROOT, machine, results

BEGIN, END = "<!-- results: written by pretrain_lib.course.readme -->", "<!-- end of results -->"
FIGURE = "docs/better-than-counting.png"


def zoo_scores(name: str) -> tuple[float, str]:
    """Masked loss and accuracy of a model of the zoo, as its card says."""
    card = (ZOO / name / "README.md").read_text(encoding="utf-8")
    loss, right = re.search(rf"\*\*{name}\*\* \| ([\d.]+) \| ([\d.]+%)", card).groups()
    return float(loss), right


def heard_by(name: str) -> tuple[str, str, str]:
    """What a probe tells of synthesised speech by a model of the zoo, as its card says."""
    card = (ZOO / name / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+%) \| ([\d.]+%) \| [\d.]+% \|$", card, re.MULTILINE)
    *others, (_, phones, words) = rows
    return (f"phones of synthesised voices told by a probe on `{name}`, 20 labelled phrases", f"{phones}; words, one label each, {words}",
            "; ".join(f"{row} {phones} and {words}" for row, phones, words in others if name not in row))


def megabytes(runs: dict) -> float:
    """The most memory that preparing a text took."""
    return max(run["megabytes"] for run in runs["prepare"])


def percent(runs: list[float]) -> str:
    """The mean over seeds, with the lowest and the highest."""
    return f"{mean(runs):.1%} ({100 * min(runs):.0f} to {100 * max(runs):.0f})"


def compressed() -> list[tuple[str, str, str]]:
    """What a student and int8 keep of a classifier's accuracy."""
    rows = []
    tasks = results("13-frontier")["measured"]["tasks"]
    adapted = results("13-adapted-teacher")["measured"]
    for task, found in [*tasks.items(), ("docstring-library, after reading docstrings", adapted)]:
        share = {name: mean(found["accuracy"][name]) / mean(found["accuracy"]["teacher"]) for name in ("student", "student without teacher", "int8")}
        size = {name: found["bytes"][name] / found["bytes"]["teacher"] for name in ("student", "int8")}
        rows.append((f"{task}: a student of {size['student']:.0%} of the bytes keeps, of its teacher's accuracy", f"{share['student']:.1%}",
                     f"the same student without a teacher {share['student without teacher']:.1%}; int8, {size['int8']:.0%} of the bytes, keeps {share['int8']:.1%}"))
    return rows


def sooner() -> tuple[str, str, str]:
    """How much of the lead over scratch is left with more updates."""
    found = results("01-patience")["measured"]
    (few, many), (first, *_, last) = found["per_class"], found["updates"]
    points = [[f"{100 * gain[at]['over_seeds']['difference']:.1f}" for at in (0, -1)] for gain in found["gain"]]
    return (f"MNIST, {few} labels per class: lead of a pretrained network over scratch, in points of accuracy",
            f"{points[0][0]} after {first} updates, {points[0][1]} after {last:,}", f"with {many} labels per class {points[1][0]} and {points[1][1]}")


def after_reading() -> tuple[str, str, str]:
    """What adapters reach on another domain, once the model has read of it."""
    read = results("12-lora-adapted")["measured"]
    right = {name: percent(runs) for name, runs in read["accuracy"].items()}
    unread = percent(results("12-lora-rate")["measured"]["accuracy"]["full"])
    return (f"docstring-library of a sentence, {read['labels']} labels, after reading {read['tokens'] / 1e6:.1f} M tokens of docstrings, right",
            f"LoRA with {read['trained']['share']:.1%} of the parameters {right['LoRA']}; all of them {right['full']}",
            f"without that reading {unread}, scratch {right['scratch']}, frozen random {right['frozen random']}, TF-IDF {right['TF-IDF']}")


def table() -> str:
    """The rows, in Markdown."""
    clock = results("08-better-than-counting")
    curves, lines = clock["measured"]["curves"], clock["measured"]["lines"]
    end = {who: median(curve[-1][2] for curve in runs) for who, runs in curves.items()}
    smaller = mean(results("08-peer-batch")["measured"]["batches"]["8"]["losses"])
    few = [results(id)["measured"] for id in ("08-few-labels-text", "11-few-labels")]
    speed, on = results("08-speed")["measured"], machine(results("08-speed")["hardware"])
    language = results("07-bayes-optimal")["measured"]["languages"]
    sizes = results("05-prepare-at-scale")["measured"]["sizes"]
    smallest, *_, largest = sizes
    seconds = f"{clock['measured']['seconds']:.0f} s"
    rows = [("what", "here", "beside"),
            ("---", "---", "---"),
            (f"masked loss after {seconds} on two cores, nats (4 × 128, median of {len(curves['ours'])} seeds)", f"{end['ours']:.2f}",
             f"`transformers`' `Trainer` and BERT {end['theirs']:.2f}, in batches of 8 on as many tokens {smaller:.2f}; "
             f"counting neighbours {lines['bigram']:.2f}, tokens {lines['unigram']:.2f}")]
    rows.append(sooner())
    for name in models_of("TextData"):
        loss, right = zoo_scores(name)
        rows.append((f"masked loss of `{name}`, nats", f"{loss:.2f}", f"right at {right} of the blanks"))
    rows += [heard_by(name) for name in models_of("SpeechData")]
    for task, found, row in [(task, found, one["labels"].index(50)) for one in few for task, found in one["tasks"].items()]:
        right = {name: percent(runs[row]) for name, runs in found["accuracy"].items()}
        rows.append((f"{task} of a sentence, 50 labels, right (lowest to highest draw)", f"{right['zoo, fine-tuned']}; frozen {right['zoo, frozen']}",
                     f"scratch {right['scratch']}, frozen random {right['frozen random']}, TF-IDF {right['TF-IDF']}, "
                     f"majority {found['majority']['accuracy']:.1%}"))
    rows += [("of the way from counting to the Bayes optimum, in a language where that is known",
              f"{min(one['closed'] for one in language):.1%}", f"the worst of {len(language)} languages"),
             (f"a step of BERT 4 × 256 on {on}", f"{speed['steps']['main']['speedup']:.2f} times as fast",
              f"as {speed['steps']['main']['their_best']}, the same weights and batches"),
             (f"the trainer on {on}", f"{speed['trainers']['speedup']:.2f} times as fast", "as `transformers`' `Trainer` with its collator"),
             after_reading(),
             *compressed(),
             (f"memory for tokenising {largest} GB of text", f"{megabytes(sizes[largest]):.0f} MB",
              f"{megabytes(sizes[smallest]):.0f} MB for {smallest} GB")]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def section() -> str:
    """The README's results, from marker to marker."""
    return (f"{BEGIN}\n![Held-out masked loss against seconds of training: our recipe, transformers' Trainer, and counting]({FIGURE})\n\n"
            f"{table()}\n\nThe curves were measured on {machine(results('08-better-than-counting')['hardware'])}; each number with its seeds, hardware, versions "
            f"and command is in `results/`.\n{END}")


def draw(path) -> None:
    """The curves against the clock."""
    from matplotlib.figure import Figure

    from . import plots

    measured = results("08-better-than-counting")["measured"]
    figure = Figure(figsize=(7.5, 3.8), dpi=110, layout="constrained")
    ax = figure.subplots()
    for who, label, colour in [("theirs", "transformers' Trainer", plots.ORANGE), ("ours", "pretrain_lib", plots.BLUE)]:
        for number, curve in enumerate(measured["curves"][who]):
            seconds, _, loss, _ = zip(*curve)
            ax.plot(seconds, loss, color=colour, lw=1.4, label=None if number else label)
    for name in ("unigram", "bigram"):
        ax.axhline(measured["lines"][name], color=plots.GREY, lw=1, ls="--")
        ax.annotate(f"counting {'tokens' if name == 'unigram' else 'neighbours'}", (measured["seconds"], measured["lines"][name]), xytext=(0, 3),
                    textcoords="offset points", ha="right", fontsize=8, color=plots.GREY)
    ax.set(xlabel="seconds of training on two cores", ylabel="held-out masked loss (nats)", ylim=(3, 8))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + section() + after, encoding="utf-8")
    draw(ROOT / FIGURE)


if __name__ == "__main__":
    main()
