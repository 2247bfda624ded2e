"""Costs that grow with size: as a table and as a plot, with the slope named."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.common import console


@dataclass
class Costs:
    """`of`: by what it is and its unit, the cost at each size."""

    of: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)

    def add(self, what: str, unit: str, size: int, cost: float) -> None:
        self.of.setdefault((what, unit), {})[size] = cost

    def sizes(self) -> list[int]:
        return sorted({size for costs in self.of.values() for size in costs})

    def rows(self) -> list[tuple[str, str]]:
        return [
            (f"{what}, {unit}", "  ".join(f"{cost:,.1f}" for cost in costs.values()) + f"   ~ n^{slope(costs):.2f}")
            for (what, unit), costs in self.of.items()
        ]


def slope(costs: dict[int, float]) -> float:
    """The exponent of size that the cost grows with: the slope of a line through the points, both axes logarithmic."""
    if len(costs) < 2:
        return 0.0
    return float(np.polyfit(np.log(list(costs)), np.log(list(costs.values())), 1)[0])


def draw(path: Path, title: str, costs: Costs, *, of: str = "passages") -> None:
    """A PNG with one panel a unit, over the number `of` something.

    Without matplotlib (the extra `bench`) it is left out, and that is said.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        console.print("matplotlib is not installed: no plot (pip install 'triptych[bench]')")
        return
    units = list(dict.fromkeys(unit for _, unit in costs.of))
    figure = Figure(figsize=(5 * len(units), 4.2), layout="constrained")
    for axes, unit in zip(figure.subplots(1, len(units), squeeze=False)[0], units, strict=True):
        for (what, its), found in costs.of.items():
            if its == unit:
                axes.plot(list(found), list(found.values()), "o-", label=f"{what}  ~ n^{slope(found):.2f}")
        axes.set(xscale="log", yscale="log", xlabel=of, ylabel=unit)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    console.print(f"drawn: {path}")
