"""Bounds: the largest file and film that are read, and what a damaged one raises."""

from __future__ import annotations

import struct
import zlib

MAX_FILE_BYTES = 256 * 2**20
"""Largest file, and largest inflated data set, that is read."""

MAX_PIXELS = 50_000_000
"""Largest film, in samples: 7,000 x 7,000 gray. The largest detectors have 4,300 x 3,600."""

MALFORMED: tuple[type[Exception], ...] = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError),
    *(MemoryError, NameError, OSError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error),
)
"""What decoders raise on malformed bytes; found by fuzzing, caught at the boundary only."""
