"""Film packing: bytes on the wire and time to pack, of films as the viewer sends them.

    python benchmarks/film_packing.py FILM...

Beside the plain 16 bits a value: the exact differences in gzip that the viewer sends, and gzip of
the plain values.
"""

from __future__ import annotations

import argparse
import time
import zlib
from pathlib import Path

import numpy as np

from monai_cxr.errors import InputError
from monai_cxr.reading.files import read_display
from monai_cxr.review.film_packing import as_differences, from_differences, gzipped


def main() -> None:
    """Print one line per film."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", nargs="+", type=Path)
    print(f"{'rows x columns':>14} {'plain, kB':>10} {'sent':>6} {'ms':>5} {'gzip':>6} {'ms':>5}")
    for path in parser.parse_args().films:
        try:
            values = read_display(path.read_bytes()).values
        except InputError:
            continue
        began = time.perf_counter()
        planes = as_differences(values)
        sent = len(gzipped(b"".join(plane.tobytes() for plane in planes)))
        packed = time.perf_counter()
        plain = len(zlib.compress(values.astype("<u2").tobytes(), 6))
        ended = time.perf_counter()
        np.testing.assert_array_equal(from_differences(*planes), values)
        n = 2 * values.size
        size = f"{values.shape[0]} x {values.shape[1]}"
        print(
            f"{size:>14} {n / 1e3:10,.0f} {sent / n:6.2f} {(packed - began) * 1e3:5.0f} "
            f"{plain / n:6.2f} {(ended - packed) * 1e3:5.0f}"
        )


if __name__ == "__main__":
    main()
