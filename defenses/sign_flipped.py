from __future__ import annotations

from typing import Any, ClassVar, Self

from harness.calibration import Calibration
from harness.composition import create_defense
from harness.contracts import Capability, Defense, Fidelity, Model, PluginError


class SignFlipped(Defense):
    """The control of steering: a steering method at its own strength, in the opposite direction.

    If this lowers attack success as the method does, it is the size of the edit that matters and not its direction.

    of   the method, as on the command line: a name, or a name with parameters such as "mars(kappa=2)". It must have a
         parameter `sign`. "auto" strengths are chosen for the method, then the sign is turned
    """

    requires: ClassVar[Capability] = Capability.GENERATE | Capability.ACTIVATIONS
    needs_fit: ClassVar[bool] = True
    fidelity: ClassVar[Fidelity] = Fidelity("control", "gapbench; recommended by the audits of activation steering")

    def __init__(self, of: str = "drift_correction") -> None:
        self.of = of
        self._method = _flipped(of)

    def fit(self, model: Model, calibration: Calibration) -> Self:
        self._method.fit(model, calibration)
        return self

    def wrap(self, model: Model) -> Model:
        return self._method.wrap(model)

    def state(self) -> dict[str, Any]:
        return self._method.state()

    def restore(self, state: dict[str, Any]) -> Self:
        self._method.restore(state)
        return self


def _flipped(of: str) -> Defense:
    method = create_defense(of)[1]
    params: dict[str, Any] = {} if hasattr(method, "parts") else method.params()
    if "sign" not in params:
        raise PluginError(f"sign_flipped(of={of!r}): it takes one steering method, with a parameter `sign` to turn")
    made = type(method)(**{**params, "sign": -params["sign"]})
    made.plugin_name = method.plugin_name
    return made
