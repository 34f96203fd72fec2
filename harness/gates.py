"""How a score of an input becomes a share of the full strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Gate = Literal["clipped_linear", "sigmoid", "hard"]


@dataclass(frozen=True)
class Ramp:
    """Maps a score to [0, 1]. clipped_linear rises from `tau` to `tau + width`, as in AdaSteer (arXiv 2504.09466); hard
    steps just above `tau`; sigmoid is centred on `tau` with temperature width / 8."""

    gate: Gate
    tau: float
    width: float

    @classmethod
    def calibrated(cls, gate: Gate, harmful: Sequence[float], benign: Sequence[float], spared: float = 0.95) -> Ramp:
        """Closed for the share `spared` of benign scores, fully open for half of the harmful ones.

        Where harmful scores do not lie above benign ones, what is left is a step at that quantile.
        """
        import numpy as np

        low = float(np.quantile(np.asarray(benign), spared))
        high = max(float(np.median(np.asarray(harmful))), low + 1e-6)
        return cls(gate, (low + high) / 2 if gate == "sigmoid" else low, high - low)

    def __call__(self, score: float) -> float:
        if self.gate == "hard":
            return float(score > self.tau)
        share = (score - self.tau) / max(self.width, 1e-12)
        if self.gate == "sigmoid":
            return 0.5 * (1 + math.tanh(4 * share))  # the logistic function of 8 * share, without overflow
        return min(max(share, 0.0), 1.0)
