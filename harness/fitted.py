"""Fitted defenses on disk: learned once for a model, a defense and a calibration set, then read back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.contracts import Defense, Model, PluginError
from harness.types import digest


def fit_key(defense: Defense, model: Model, calibration_id: str) -> str:
    return digest([defense.spec(), defense.origin(), model.fingerprint(), calibration_id])


def save(state: dict[str, Any], path: Path) -> None:
    """Tensors as safetensors, everything else (floats, ints, strings, None, lists of them) as JSON in its header."""
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items() if hasattr(v, "detach")}
    try:
        plain = json.dumps({k: v for k, v in state.items() if k not in tensors})
    except TypeError as error:
        raise PluginError(f"fitted state must be tensors, numbers, strings or lists of them: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"plain": plain})
    os.replace(temporary, path)


def load(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()} | json.loads(file.metadata()["plain"])  # noqa: SIM118
