from __future__ import annotations

from typing import ClassVar

from harness.contracts import Defense, Fidelity


class NoDefense(Defense):
    """The undefended model: the reference of every comparison."""

    fidelity: ClassVar[Fidelity] = Fidelity("control", "gapbench")
