"""What came out of fine-tuning, for people: a page of Markdown and a picture."""

from __future__ import annotations

from pathlib import Path

from ..data.text.unknown import about_unknown

LISTED = 10  # rows left out that the page names
COLOURS = {"fine-tuned": "#0072B2", "TF-IDF": "#E69F00", "majority class": "#777777"}
MOST_WRITTEN = 12  # classes of a confusion matrix whose numbers are written into the picture


def as_markdown(report: dict) -> str:
    """The report for people."""
    lines = [f"# {report['model']} fine-tuned on {report['data']}", "",
             f"{report['training_texts']} texts to train on, {report['test_texts']} others to test "
             f"on. Learning rate {report['learning_rate']:g}, the best of {report['trials']}. "
             f"TF-IDF counts {report['tfidf']['terms']}, which served it better in "
             "cross-validation.",
             "", what_became_of_texts(report), *left_out(report["left_out"]), "",
             about_unknown(report["unknown"]), "",
             "| | accuracy | macro-F1 |", "|---|---|---|"]
    lines += [f"| {name} | {s['accuracy']:.3f} | {s['macro_f1']:.3f} |"
              for name, s in report["scores"].items()]
    lead = report["lead_over_tfidf"]
    if lead is not None:
        lines += ["", f"Lead over TF-IDF in accuracy: {lead['difference']:+.3f}, 95 % interval "
                      f"{lead['low']:+.3f} to {lead['high']:+.3f}, p = {lead['p']:.4f} "
                      "(paired bootstrap)."]
    else:
        lines += ["", "Too few texts to tell whether the lead over TF-IDF is more than chance."]
    lines += ["", *curve_table(report["curve"])]
    names = [" ".join(name.split()).replace("|", "\\|") for name in report["classes"]]
    lines += ["", "Rows are the true classes, columns the predicted ones:", "",
              "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(map(str, row)) + " |"
              for name, row in zip(names, report["confusion_matrix"], strict=True)]
    lines += ["", "![Accuracy against the number of labels, and which classes are taken for "
                  "which](report.png)"]
    return "\n".join(lines) + "\n"


def what_became_of_texts(report: dict) -> str:
    """How many texts were not used, or not as they are, in a sentence."""
    training, test = report["cut_off"]
    return (f"Left unused: {report['unused']} texts. Cut off behind {report['length']} tokens: "
            f"{training} of those to train on, {test} of those to test on. Unreadable: "
            f"{len(report['left_out'])} rows. Repeated: {report['repeated']} texts, which say what "
            "another before them says.")


def left_out(sources: list[str]) -> list[str]:
    if not sources:
        return []
    more = ", …" if len(sources) > LISTED else ""
    rows = "1 row was" if len(sources) == 1 else f"{len(sources)} rows were"
    return ["", f"{rows} left out for want of text or class: {', '.join(sources[:LISTED])}{more}."]


def curve_table(curve: dict) -> list[str]:
    """Accuracy against the number of labels, as the lines of a table."""
    names = [name for name in curve if name != "labels"]
    lines = ["Accuracy with fewer labels, each number a part of the next; the settings are those "
             "chosen with all:", "", "| labels | " + " | ".join(names) + " |",
             "|---" * (len(names) + 1) + "|"]
    for i, number in enumerate(curve["labels"]):
        values = " | ".join(f"{curve[name][i]:.3f}" for name in names)
        lines.append(f"| {number} | {values} |")
    return lines


def draw_report(report: dict, path: Path) -> None:
    """Draws the learning curve and the confusion matrix into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_curve(left, report["curve"])
    draw_matrix(right, report["confusion_matrix"], report["classes"])
    figure.savefig(path)


def draw_curve(axes, curve: dict) -> None:
    for name, colour in COLOURS.items():
        style = {"linestyle": "--"} if name == "majority class" else {"marker": "o"}
        axes.plot(curve["labels"], curve[name], color=colour, label=name, markersize=4, **style)
    axes.set_xscale("log")
    axes.set_xticks(curve["labels"], list(map(str, curve["labels"])))
    axes.minorticks_off()
    axes.set_xlabel("labels to train on")
    axes.set_ylabel("accuracy on texts not trained on")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def draw_matrix(axes, matrix: list[list[int]], classes: list[str]) -> None:
    shares = [[cell / max(1, sum(row)) for cell in row] for row in matrix]
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    few = len(classes) <= MOST_WRITTEN
    for i, row in enumerate(matrix if few else []):
        for j, cell in enumerate(row):
            colour = "white" if shares[i][j] > 0.5 else "black"
            axes.text(j, i, cell, ha="center", va="center", color=colour, fontsize=9)
    names = [name if len(name) <= 14 else name[:13] + "…" for name in classes]
    size = 9 if few else 5
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=size,
                    parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
