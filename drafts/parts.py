"""parts.py list ID | part ID ARM | finish ID"""
import sys, os, time, json, platform
from pathlib import Path
sys.path.insert(0, os.environ.get("TREE", "."))
import torch
torch.set_num_threads(1)
import importlib; R = importlib.import_module("pretrain_lib.course.results")
ROOT = Path(os.environ.get("TREE", "."))
def load(id):
    from importlib.util import module_from_spec, spec_from_file_location
    for name in (id.replace("-", "_"), "_" + id.replace("-", "_")):
        p = ROOT / "experiments" / f"{name}.py"
        if p.exists():
            spec = spec_from_file_location("experiment_" + id.replace("-", "_"), p); m = module_from_spec(spec); sys.modules[spec.name] = m; spec.loader.exec_module(m); return m
R.load_experiment = load
PARTS = Path("drafts/parts16")
cmd, id = sys.argv[1:3]
m = load(id)
if cmd == "list":
    print(*m.ARMS, sep="\n")
elif cmd == "part":
    arm = sys.argv[3]; t = time.time(); c = time.process_time()
    found = m.measure(arm)
    torch.save((found, time.process_time() - c, time.time() - t), PARTS / f"{id}-{arm.replace(' ', '_').replace(',', '')}.pt")
    print(id, arm, f"{time.process_time()-c:.0f} cpu-s {time.time()-t:.0f} s", {k: v for k, v in found.items() if k in ("setting", "rate", "scores", "updates")}, flush=True)
elif cmd == "finish":
    arms = list(m.ARMS)
    parts, cpu = {}, 0.0
    for arm in arms:
        part, c, w = torch.load(PARTS / f"{id}-{arm.replace(' ', '_').replace(',', '')}.pt", weights_only=False)
        if id == "14-dense": part.setdefault("examples", {})
        parts[arm] = part; cpu += c
    measured = json.loads(json.dumps(m.finish(parts)))
    from datetime import date
    from importlib.metadata import version
    entry = {"id": id, "title": m.TITLE, "prediction": m.PREDICTION, "measured": measured, "verdict": m.verdict(measured), "seeds": list(m.SEEDS),
             "command": f"python course.py reproduce {id}", "seconds": round(cpu), "date": date.today().isoformat(), "hardware": R.hardware(),
             "versions": {name: version(name) for name in ("torch", "numpy")} | {"python": platform.python_version()}}
    R.write_text(ROOT / "results" / f"{id}.json", json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    print(entry["verdict"]); print(round(cpu), "cpu-s")
