"""A film as Motion JPEG in an AVI file: every decoder reads it, and no encoder is needed to write it.

Layout: Microsoft's AVI RIFF file reference (an `hdrl` list with one video stream, a `movi` list, an `idx1` index).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

HAS_INDEX = 0x10
KEY_FRAME = 0x10


def avi(frames: Sequence[bytes], size: tuple[int, int], rate: int) -> bytes:
    """The file's bytes. `frames` are JPEG pictures of one `size` (width, height); `rate` is frames a second."""
    width, height = size
    largest, count = max(map(len, frames)), len(frames)
    main = struct.pack("<10I16x", 1_000_000 // rate, largest * rate, 0, HAS_INDEX, count, 0, 1, largest, width, height)
    stream = struct.pack(
        "<4s4sIHHIIIIIIII4H",
        b"vids",
        b"MJPG",
        0,
        0,
        0,
        0,
        1,
        rate,
        0,
        count,
        largest,
        0xFFFFFFFF,
        0,
        0,
        0,
        width,
        height,
    )
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    header = _list(b"hdrl", _chunk(b"avih", main) + _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture)))
    index, movie, offset = b"", b"", 4  # offsets count from the list's name
    for frame in frames:
        chunk = _chunk(b"00dc", frame)
        index += struct.pack("<4sIII", b"00dc", KEY_FRAME, offset, len(frame))
        movie += chunk
        offset += len(chunk)
    return _chunk(b"RIFF", b"AVI " + header + _list(b"movi", movie) + _chunk(b"idx1", index))


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(name: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", name + data)
