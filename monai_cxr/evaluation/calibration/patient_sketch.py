"""Patient sketch: recognise a calibration's patients later, without writing down who they are."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_HASHES = 20
BITS_A_PATIENT = N_HASHES / math.log(2.0)
"""29 bits and 20 hashes a patient: one stranger in a million is taken for a patient."""


@dataclass(frozen=True, slots=True, eq=False)
class PatientSketch:
    """A Bloom filter of patient identifiers (Bloom 1970).

    Attributes:
        bits: uint8, shape (M / 8,), packed.
        numbering: Whose numbers the identifiers are, such as ``"NIH"``, as the names of the images
            tell; empty where they do not, None in files that do not say.
    """

    bits: NDArray[np.uint8]
    numbering: str | None = None

    @classmethod
    def of(cls, patient_ids: ArrayLike, numbering: str | None = None) -> PatientSketch:
        """Sketch the distinct identifiers."""
        names = np.unique(_plain(patient_ids))
        n_bytes = max(8, math.ceil(len(names) * BITS_A_PATIENT / 8))
        flags = np.zeros(n_bytes * 8, dtype=bool)
        flags[_positions(names, n_bytes * 8).reshape(-1)] = True
        return cls(np.packbits(flags), numbering)

    def same_numbering(self, numbering: str) -> bool:
        """Whether equal identifiers mean the same patient: each set counts its own from 1."""
        return self.numbering is None or self.numbering == numbering

    def seen(self, patient_ids: ArrayLike) -> NDArray[np.bool_]:
        """Whether each identifier, shape (N,), was sketched; wrong once in a million at most."""
        names, inverse = np.unique(_plain(patient_ids), return_inverse=True)
        flags = np.unpackbits(self.bits).astype(bool)
        found: NDArray[np.bool_] = np.all(flags[_positions(names, len(flags))], axis=1)
        answers: NDArray[np.bool_] = found[inverse.reshape(-1)]
        return answers

    def to_json(self) -> dict[str, object]:
        """Base 64."""
        packed = base64.b64encode(self.bits.tobytes()).decode()
        named = {} if self.numbering is None else {"numbering": self.numbering}
        return {"bloom_filter": packed, "hashes": N_HASHES, **named}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> PatientSketch:
        """The inverse of :meth:`to_json`."""
        packed = base64.b64decode(str(value["bloom_filter"]), validate=True)
        numbering = value.get("numbering")
        return cls(
            np.frombuffer(packed, dtype=np.uint8), None if numbering is None else str(numbering)
        )


def _plain(patient_ids: ArrayLike) -> NDArray[np.str_]:
    """Identifiers without leading zeros: one table writes 13, another 00000013."""
    names = np.asarray(patient_ids, dtype=np.str_)
    return np.char.lstrip(names, "0") if names.size else names


def _positions(names: NDArray[np.str_], n_bits: int) -> NDArray[np.intp]:
    """N_HASHES bit positions a name by double hashing (Kirsch and Mitzenmacher 2006)."""
    digests = b"".join(hashlib.sha256(str(name).encode()).digest()[:16] for name in names)
    halves = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    steps = np.arange(N_HASHES, dtype=np.uint64)
    # The second hash is odd, so that its multiples do not fall together.
    mixed = halves[:, :1] + steps * (halves[:, 1:] | np.uint64(1))
    return (mixed % np.uint64(n_bits)).astype(np.intp)
