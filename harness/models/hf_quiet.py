"""Loading without chatter: transformers warns at each start about things that the user cannot change."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the logs of transformers and the hub client, progress bars and Python warnings inside the block."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    hub_level = hub.get_verbosity()
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


def one_sentence(error: BaseException, limit: int = 240) -> str:
    """The first line of an error's message, without what follows it, for a report of one sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if isinstance(error, KeyError):
        text = f"missing key {text}"
    return text[:limit].rstrip(" .:")
