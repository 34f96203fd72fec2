"""Pictures for the sample browser, re-encoded and bounded: a page that can be mailed."""

from __future__ import annotations

import base64
import io

from harness.runstore import Run
from harness.types import Image, MediaError

SIDE = 256
BUDGET = 6_000_000


class Thumbnails:
    """Data URLs by content hash. Every picture is decoded and written anew: no byte of the original is on the page."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget
        self.urls: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def add(self, run: Run, content: str) -> None:
        """Take a picture in, or note in one phrase why it is not shown."""
        if content in self.urls or content in self.missing:
            return
        try:
            url = _url(run, content)
        except (OSError, MediaError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self.missing[content] = f"the picture cannot be shown: {why}"
            return
        if len(url) > self.left:
            self.missing[content] = "the picture is left out to keep this page small; it is in the run directory"
            return
        self.left -= len(url)
        self.urls[content] = url


def _url(run: Run, content: str) -> str:
    picture = Image(run.media_path(content).read_bytes()).pil()
    small = max(picture.size) <= SIDE
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG" if small else "JPEG", **({"optimize": True} if small else {"quality": 80}))
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"
