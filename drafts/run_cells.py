"""run a percent notebook as a script, timing cells. nb.py SRC [until-string]"""
import sys, time, re, os
os.environ.setdefault("MPLBACKEND","agg"); os.environ["COURSE_WIDGETS"]="0"
import torch; torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS","1")))
import jupytext
nb = jupytext.read(sys.argv[1])
g = {"__name__": "__main__"}
import matplotlib.pyplot as plt
from pretrain_lib.course import plots
from pathlib import Path
out = Path(os.environ.get("FIGS","build/figures")); out.mkdir(exist_ok=True)
orig = plots.show
def show(fig, alt, number=None):
    fig.savefig(out / f"{number or 'x'}.png", dpi=70, bbox_inches="tight"); plt.close(fig); print(f"[FIG {number}] {alt}")
plots.show = show
for i, c in enumerate(nb.cells):
    if c.cell_type != "code": continue
    t, p = time.time(), time.process_time()
    try: exec(compile(c.source, f"cell{i}", "exec"), g)
    except Exception as e:
        import traceback; traceback.print_exc(); print("CELL", i, c.source[:300]); sys.exit(1)
    d = time.process_time() - p
    if d > 1: print(f"### cell {i}: {d:.1f} cpu s, {time.time()-t:.1f} s: {c.source[:60]!r}")
