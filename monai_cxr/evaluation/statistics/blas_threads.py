"""BLAS threads: one, where many small products are computed beside each other.

A sum over a hundred thousand films takes less time than the threads of a linear algebra library
take to meet, and they spin while they wait: three quarters of the processor time of a calibration
went into that. The evaluation has threads of its own, one per finding or a block of replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it, NumPy's and SciPy's linear algebra runs in the thread that asks for it."""
    # Looks at the libraries of the process: imported where numbers are computed.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
