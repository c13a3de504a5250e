"""Bench report: what was measured of a machine and a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from monai_cxr.bundle.exports import Parity


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured.

    Attributes:
        processor: Its name.
        cores: That this process may use.
        load: Mean number of running processes in the minute before; NaN where unknown.
        gflops: Fp32 multiplications and additions a second of a large matrix product, in 1e9.
        versions: Versions of the engines.
    """

    processor: str
    cores: int
    load: float
    gflops: float
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """What a bundle's network is and what it costs, whatever runs it.

    Attributes:
        bundle: As it was named.
        network: Its architecture, head, further outputs or members in words.
        image_size: Side of its input in pixels.
        findings: Number of its outputs; 0 for an encoder.
        parameters: Number of its weights.
        gflop: Multiplications and additions for a film, in 1e9.
    """

    bundle: str
    network: str
    image_size: int
    findings: int
    parameters: int
    gflop: float


@dataclass(frozen=True, slots=True)
class EngineRate:
    """One engine at one batch size.

    Attributes:
        bundle: As it was named.
        runtime: As ``--runtime`` takes it.
        batch_size: Films at a time.
        films_per_second: Median of the rounds.
        cpu_ms: CPU time of all threads, a film.
        flop_share: Share of the measured fp32 FLOP limit, which int8 may exceed; None where the
            network's cost is not known.
        file_mb: Size of the files that it opens, in 1e6 bytes.
    """

    bundle: str
    runtime: str
    batch_size: int
    films_per_second: float
    cpu_ms: float
    flop_share: float | None
    file_mb: float


@dataclass(frozen=True, slots=True)
class ReadingTime:
    """One kind of file: median ms to read, decode, window and resize, in one thread."""

    kind: str
    ms: float


@dataclass(frozen=True, slots=True)
class EndToEndRate:
    """Files to logits, through the pipeline of ``monai-cxr predict``.

    Attributes:
        kind: Kind of file.
        readers: ``"processes"`` or ``"threads"``.
        films_per_second: Over all films; starting the readers is left out.
    """

    kind: str
    readers: str
    films_per_second: float


@dataclass(frozen=True, slots=True)
class EngineParity:
    """How far an engine's probabilities are from those in fp32.

    Attributes:
        bundle: As it was named.
        runtime: As ``--runtime`` takes it.
        change: Measured when it was exported; on this machine for bf16 of an fp32 export.
    """

    bundle: str
    runtime: str
    change: Parity


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that was measured.

    Attributes:
        machine: Where.
        networks: What each bundle holds, in the order in which they were named. Reading, the whole
            and the recommendation are of the first.
        image_size: Side of the first network's input in pixels.
        engines: The networks alone, all in turn.
        reading: Files alone.
        end_to_end: Both.
        agreement: How far each engine is from torch in fp32.
        unavailable: Why an engine was not measured, by name; with ``" of BUNDLE"`` after the name
            for all but the first bundle.
        recommendation: Options of ``monai-cxr predict``.
        faster: Runtimes of other precisions that are clearly faster than the recommended one, and
            how many times, the fastest first. Their results are those of another model.
    """

    machine: Machine
    networks: tuple[MeasuredNetwork, ...]
    image_size: int
    engines: tuple[EngineRate, ...]
    reading: tuple[ReadingTime, ...]
    end_to_end: tuple[EndToEndRate, ...]
    agreement: tuple[EngineParity, ...]
    unavailable: Mapping[str, str]
    recommendation: str
    faster: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)
