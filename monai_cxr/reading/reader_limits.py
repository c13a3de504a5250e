"""Reader limits: how long a reader may take over one film, and how much memory it may hold."""

from __future__ import annotations

from dataclasses import dataclass

from monai_cxr.errors import SettingsError
from monai_cxr.reading.film_input import RefusedFilm

GIB = 2**30

CRASHED, TIMEOUT, MEMORY = "reader_crashed", "reader_timeout", "reader_memory"
"""Reason codes of a film that cost its reader."""

TRIES = 2
"""A film whose reader ends is given to a second reader, and refused when that ends too."""


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What one film may cost.

    Attributes:
        timeout_s: Seconds; a file that takes longer is refused and its reader ended.
        memory_gib: Memory that a reader process may hold in GiB, the 0.2 GiB that it has at its
            start included; a file that takes more is refused. It is watched on Linux alone.
    """

    timeout_s: float = 60.0
    memory_gib: float = 4.0

    def __post_init__(self) -> None:
        """Refuse what no film could be read with.

        Raises:
            SettingsError: If a limit is not a positive number, or the memory below 0.5 GiB.
        """
        if not self.timeout_s > 0 or not self.memory_gib >= 0.5:
            raise SettingsError(
                "Expected a reader's time above 0 s and its memory of at least 0.5 GiB, but got "
                f"{self.timeout_s:g} s and {self.memory_gib:g} GiB."
            )

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes."""
        return int(self.memory_gib * GIB)

    def crashed(self) -> RefusedFilm:
        """The refusal of a film that ends its readers."""
        return RefusedFilm(
            CRASHED, f"Reading the file ended the reader process {TRIES} times. Check the file."
        )

    def took_too_long(self) -> RefusedFilm:
        """The refusal of a film that is not read in time."""
        return RefusedFilm(
            TIMEOUT, f"Reading the file took longer than {self.timeout_s:g} s. Check the file."
        )

    def took_too_much(self) -> RefusedFilm:
        """The refusal of a film that takes too much memory."""
        return RefusedFilm(
            MEMORY,
            f"Reading the file took more than {self.memory_gib:g} GiB of memory. Check the file.",
        )


DEFAULT_LIMITS = ReaderLimits()
