from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from harness import plugins

STRANGER = Path(__file__).with_name("stranger.py")


@pytest.fixture(scope="session")
def stranger() -> Path:
    """The path of a file of plugins that is included already."""
    plugins.include(STRANGER)
    return STRANGER
