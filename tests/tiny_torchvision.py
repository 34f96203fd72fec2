"""torchvision in tests: `AVAILABLE` says whether there is one, and where it is, importing it works from here on.

Its wheels are built for CUDA builds of torch. Importing one beside a CPU build stops at two operators that the CPU
build lacks and that no processor calls, so they are declared here. `make test` keeps torchvision in a folder of its
own, which only the tests marked `torchvision` get to see.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch

SKIPPED = "needs torchvision, which `make test` puts beside the virtual environment"
_kept: list[Any] = []


def _importable() -> bool:
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)  # declared for as long as it lives
        importlib.import_module("torchvision")
    return True


AVAILABLE = _importable()
