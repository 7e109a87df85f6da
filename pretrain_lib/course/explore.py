"""Cells to touch: sliders and menus that redraw a figure, and a still figure where nobody can touch.

Controls appear in a notebook that is open in front of a reader. `COURSE_WIDGETS=0` keeps them away:
building, running and testing set it, so that what they execute comes out the same every time.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from numbers import Real
from typing import Any

Still = Callable[[], Any]


def explore(draw: Callable, still: Still | None = None, **controls) -> None:
    """Lets the reader change what a cell shows.

    A control changes one argument of `draw`, and when it is let go, `draw` is called anew.

    Args:
        draw: shows one figure (`plots.show`) or prints, for one value of each control.
        still: draws what stands there without controls; None calls `draw` with the starting values.
        controls: by the argument of `draw` that they change. A slider is (lowest, highest, start), or
            (lowest, highest, start, label with the unit), of whole numbers if these three are; a list
            is a menu, which starts with its first value; a text is a field to type in.

    Raises:
        ValueError: if controls and arguments of `draw` differ, a slider starts outside its ends, a
            menu is empty, a control is of another kind, or `draw` leaves a figure open.
    """
    starts = {name: start(name, control) for name, control in controls.items()}
    require_arguments(draw, list(controls))
    if live():
        show_controls(draw, controls, starts)
    else:
        closing_figures(still or (lambda: draw(**starts)))


def live() -> bool:
    """Whether controls can be shown, and somebody may be there to touch them."""
    from IPython import get_ipython

    in_notebook = hasattr(get_ipython(), "kernel")
    return in_notebook and os.environ.get("COURSE_WIDGETS") != "0" and find_spec("ipywidgets") is not None


def start(name: str, control: Any) -> Any:
    """The value that a control starts with."""
    if isinstance(control, str):
        return control
    if isinstance(control, list):
        if not control:
            raise ValueError(f"{name} has nothing to choose from: give its list at least one value")
        return control[0]
    if not is_slider(control):
        raise ValueError(f"{name} must be a slider (lowest, highest, start) or (lowest, highest, start, label), "
                         f"a list to choose from or a text, got {control!r}")
    low, high, first = control[:3]
    if not low < high:
        raise ValueError(f"{name} must reach from a lower to a higher value, got {low} to {high}")
    if not low <= first <= high:
        raise ValueError(f"{name} must start between {low} and {high}, got {first}")
    return first


def is_slider(control: Any) -> bool:
    if not isinstance(control, tuple) or len(control) not in (3, 4):
        return False
    numbers = all(isinstance(n, Real) and not isinstance(n, bool) for n in control[:3])
    return numbers and all(isinstance(label, str) for label in control[3:])


def require_arguments(draw: Callable, names: list[str]) -> None:
    parameters = inspect.signature(draw).parameters
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise ValueError(f"there is a control {unknown[0]!r}, but draw takes {', '.join(parameters) or 'nothing'}")
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in names]
    if missing:
        raise ValueError(f"draw needs {missing[0]!r}: give it a control or a default")


def show_controls(draw: Callable, controls: dict[str, Any], starts: dict[str, Any]) -> None:
    """Shows the controls above what `draw` shows; an error of `draw` appears in its place."""
    import ipywidgets
    from IPython.display import clear_output, display

    widgets = {name: widget(name, control, starts[name]) for name, control in controls.items()}
    output = ipywidgets.Output()

    def redraw(change=None) -> None:
        values = {name: w.value for name, w in widgets.items()}
        with output:
            clear_output(wait=True)
            closing_figures(lambda: draw(**values))

    for w in widgets.values():
        w.observe(redraw, names="value")
    display(ipywidgets.VBox([*widgets.values(), output]))
    redraw()


def widget(name: str, control: Any, first: Any):
    """The control of ipywidgets, 7.7 or later."""
    import ipywidgets

    label = control[3] if isinstance(control, tuple) and len(control) == 4 else name.replace("_", " ")
    look = {"value": first, "description": label, "style": {"description_width": "14em"},
            "layout": {"width": "42em", "max_width": "100%"}}
    if isinstance(control, str):
        look["layout"]["width"] = "auto"
        return ipywidgets.Text(continuous_update=False, **look)
    if isinstance(control, list):
        return ipywidgets.Dropdown(options=control, **look)
    low, high = control[:2]
    ends = {"min": low, "max": high, "continuous_update": False}
    if all(isinstance(n, int) for n in control[:3]):
        return ipywidgets.IntSlider(**ends, **look)
    step = 10.0 ** math.floor(math.log10((high - low) / 20))  # a decimal one, at least 20 to the end
    return ipywidgets.FloatSlider(step=step, **ends, **look)


def closing_figures(show: Still) -> None:
    """Calls `show`, and closes every figure that it leaves open, also where it fails."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        show()
        if set(plt.get_fignums()) - before:
            raise ValueError("draw leaves a figure open: end it with plots.show(fig, alt=…)")
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
