"""Fuzz the reader: a mutated file costs at most one of our exceptions, and little time and memory.

Usage: python benchmarks/fuzz_reading.py [--count 20000] [--seed 0] [--data DIR]

Seeds are synthetic files of many kinds, and the real ones under --data where they are small. A case
is named by its number: `--first N --count 1` repeats it. Cases run in a child process, which is
replaced when a decoder crashes. Exit status 1 if anything but our errors came out, if a read took
more than 10 s of CPU (reading never waits, and a loaded machine is no finding), or if the process
grew over 1 GiB above its start.
"""

from __future__ import annotations

import argparse
import collections
import functools
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import time
import traceback
import zlib
from pathlib import Path

import numpy as np

MAX_SECONDS = 10.0
MAX_BYTES = 2**30
MAX_SEED_BYTES = 420_000
TAGS = (
    "0028,0002", "0028,0004", "0028,0008", "0028,0010", "0028,0011", "0028,0030", "0028,0100",
    "0028,0101", "0028,0102", "0028,0103", "0028,0120", "0028,0121", "0028,1050", "0028,1051",
    "0028,1052", "0028,1053", "0028,1056", "0028,3000", "0028,3002", "0028,3006", "0028,3010",
    "0008,0005", "0008,0060", "0010,0020", "0010,1010", "0018,0015", "0018,5101", "2050,0020",
    "7FE0,0010", "0002,0010", "FFFE,E000", "FFFE,E0DD",
)  # fmt: skip
SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.100",
)  # fmt: skip


def seeds(data: Path | None) -> list[bytes]:
    """Synthetic files of every kind, then the real ones."""
    from monai_cxr.phantom.synthetic import lut_item, sequence, synthetic_dicom

    rows = np.linspace(0, 4095, 96 * 80).reshape(96, 80).astype(np.uint16)
    small = (rows // 16).astype(np.uint8)
    common = {"BitsStored": 12, "HighBit": 11}
    table = np.linspace(0, 65535, 4096).astype(np.uint16)
    result = [synthetic_dicom(rows, transfer_syntax=s, **common) for s in SYNTAXES[:4]]
    result += [
        synthetic_dicom(rows, WindowCenter=[2000, 900], WindowWidth=[3000, 400], **common),
        synthetic_dicom(rows.astype(np.int16), RescaleSlope=2, RescaleIntercept=-9),
        synthetic_dicom(rows, VOILUTSequence=sequence(lut_item(0, table, 16)), **common),
        synthetic_dicom(rows, ModalityLUTSequence=sequence(lut_item(0, table, 16)), **common),
        synthetic_dicom(rows, PixelPaddingValue=0, PixelPaddingRangeLimit=10, **common),
        synthetic_dicom(np.stack([small] * 3, axis=2)),
        synthetic_dicom(np.stack([rows] * 3), **common),
    ]
    palettes: dict[str, object] = {}
    for color in ("Red", "Green", "Blue"):
        palettes[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palettes[f"{color}PaletteColorLookupTableData"] = table[:256].tobytes()
    bare = synthetic_dicom(rows, transfer_syntax=SYNTAXES[0], **common)
    result += [
        synthetic_dicom(small, PhotometricInterpretation="PALETTE COLOR", **palettes),
        bare[bare.index(b"\x08\0\x16\0", 132) :],  # a data set without preamble
    ]
    for syntax in ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"):
        result += [synthetic_dicom(rows, transfer_syntax=syntax, **common)] * 2
    return [*result, *compressed(rows, small), *plain(rows, small), *real(data)]


def compressed(rows: np.ndarray, small: np.ndarray) -> list[bytes]:
    from monai_cxr.phantom.synthetic import synthetic_dicom

    try:
        import imagecodecs
    except ImportError:
        return []
    streams = {
        "1.2.840.10008.1.2.4.50": (small, imagecodecs.jpeg8_encode(small)),
        "1.2.840.10008.1.2.4.51": (rows, imagecodecs.jpeg8_encode(rows, bitspersample=12)),
        "1.2.840.10008.1.2.4.70": (rows, imagecodecs.jpeg8_encode(rows, lossless=True)),
        "1.2.840.10008.1.2.4.201": (rows, imagecodecs.htj2k_encode(rows)),
    }
    return [
        synthetic_dicom(pixels, transfer_syntax=syntax, codestream=bytes(stream))
        for syntax, (pixels, stream) in streams.items()
    ] * 2


def plain(rows: np.ndarray, small: np.ndarray) -> list[bytes]:
    import nibabel
    from PIL import Image

    def saved(pixels: np.ndarray, kind: str, mode: str = "", **options: object) -> bytes:
        stream = io.BytesIO()
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(stream, format=kind, **options)
        return stream.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6

    film = nibabel.Nifti1Image(rows.T[:, :, None], np.diag([-0.2, -0.2, 1.0, 1.0])).to_bytes()
    return [
        saved(small, "PNG"),
        saved(rows, "PNG"),
        saved(np.stack([small] * 3, axis=2), "JPEG"),
        saved(small, "JPEG", "CMYK"),
        saved(small, "JPEG", exif=exif),
        saved(small, "PNG", "P"),
        saved(rows, "TIFF"),
        saved(rows, "TIFF", compression="tiff_lzw"),
        saved(rows / np.float32(4095), "TIFF", big_tiff=True),
        film,
        nibabel.Nifti2Image(small.T[:, None, :], np.diag([1.0, 1.0, 1.0, 1.0])).to_bytes(),
        gzip.compress(film),
    ]


def real(data: Path | None) -> list[bytes]:
    if data is None or not data.is_dir():
        return []
    paths = sorted((data / "dicom").glob("*.dcm"))
    return [p.read_bytes() for p in paths if p.stat().st_size <= MAX_SEED_BYTES]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three mutations of a file."""
    for _ in range(int(rng.integers(1, 4))):
        data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    return data


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(0, len(data) + 1))]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Anywhere, or in the first two kilobytes, or near the start of the pixels."""
    changed = bytearray(data)
    if not changed:
        return data
    pixels = max(data.rfind(b"\xe0\x7f\x10\x00"), 0)
    low, high = [(0, len(data)), (128, 2048), (pixels, pixels + 300)][int(rng.integers(3))]
    for place in rng.integers(low, max(min(high, len(data)), low + 1), int(rng.integers(1, 40))):
        if place < len(changed):
            changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def replace_chunk(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data) + 1))
    length = int(rng.integers(0, 200))
    filler = [b"", b"\xff" * length, b"\0" * length, data[at : at + length] * 2, rng.bytes(length)]
    return data[:at] + filler[int(rng.integers(5))] + data[at + length :]


def change_tag(data: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite the value, the length or the VR of one known element."""
    group, element = (int(v, 16) for v in TAGS[int(rng.integers(len(TAGS)))].split(","))
    at = data.find(group.to_bytes(2, "little") + element.to_bytes(2, "little"), 128)
    if at < 0:
        return data
    extreme = [0, 1, 2, 7, 255, 256, 32767, 65535, int(rng.integers(65536))]
    value = extreme[int(rng.integers(len(extreme)))].to_bytes(2, "little")
    offset = int(rng.choice([4, 6, 8, 8, 8, 10, 12]))
    if rng.integers(4) == 0:
        value = rng.bytes(int(rng.integers(1, 12)))
    return data[: at + offset] + value + data[at + offset + len(value) :]


def change_syntax(data: bytes, rng: np.random.Generator) -> bytes:
    """Claim another transfer syntax."""
    at = data.find(b"\x02\x00\x10\x00UI")
    if at < 0:
        return data
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    uid = SYNTAXES[int(rng.integers(len(SYNTAXES)))].encode()
    uid += b"\0" * (len(uid) % 2)
    size = len(uid).to_bytes(2, "little")
    return data[: at + 6] + size + uid + data[at + 8 + length :]


def bomb(data: bytes, rng: np.random.Generator) -> bytes:
    """Claim huge sizes, or deflate a gigabyte of nothing behind a valid header."""
    kind = int(rng.integers(20))
    if kind == 0:
        meta = data[:132] + data[132:].partition(b"\x08\x00\x05\x00")[0][:400]
        return meta.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99") + deflated_zeros()
    for tag in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        at = data.find(tag)
        if at >= 0:
            size = int(rng.choice([65535, 60000, 7000, 30000])).to_bytes(2, "little")
            data = data[: at + 8] + size + data[at + 10 :]
    return data


@functools.cache
def deflated_zeros() -> bytes:
    """300 MiB of nothing in 300 KiB."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"\0" * 2**20
    return b"".join(deflater.compress(zeros) for _ in range(300)) + deflater.flush()


MUTATIONS = (
    truncate, flip_bits, flip_bits, flip_bits, replace_chunk, change_tag, change_tag, change_tag,
    change_syntax, bomb,
)  # fmt: skip


def work(first: int, count: int, seed: int, data: Path | None, place: Path) -> int:
    """Read mutated files; report what should not have happened. The child's part."""
    from monai_cxr.errors import CXRError
    from monai_cxr.reading.files import read_for_model, read_radiograph

    files = seeds(data)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    outcomes: collections.Counter[str] = collections.Counter()
    n_wrong, slowest = 0, 0.0
    with place.open("w") as mark:
        for case in range(first, first + count):
            os.pwrite(mark.fileno(), f"{case:12d}".encode(), 0)
            rng = np.random.default_rng([seed, case])
            mutated = mutate(files[int(rng.integers(len(files)))], rng)
            read = read_for_model if case % 3 == 0 else read_radiograph
            began = time.process_time()
            try:
                read(mutated)
                outcomes["read"] += 1
            except CXRError as error:
                outcomes[getattr(error, "reason", type(error).__name__)] += 1
            except Exception:  # noqa: BLE001 - to find these is the purpose
                n_wrong += 1
                print(f"case {case}: not of our tree\n{traceback.format_exc()}", file=sys.stderr)
            seconds = time.process_time() - began
            slowest = max(slowest, seconds)
            if seconds > MAX_SECONDS:
                n_wrong += 1
                print(f"case {case}: took {seconds:.1f} s of CPU", file=sys.stderr)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - start
    if grown > MAX_BYTES:
        n_wrong += 1
        print(f"memory grew by {grown / 2**20:.0f} MiB", file=sys.stderr)
    print(json.dumps([dict(outcomes), slowest, grown]))
    return 1 if n_wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1000, help="cases a child process")
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.place:
        return work(
            arguments.first, arguments.count, arguments.seed, arguments.data, arguments.place
        )
    return supervise(arguments)


def supervise(arguments: argparse.Namespace) -> int:
    """Run batches in child processes and add up what they say."""
    outcomes: collections.Counter[str] = collections.Counter()
    slowest, grown, n_wrong = 0.0, 0, 0
    case, end = arguments.first, arguments.first + arguments.count
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"fuzz_reading.{os.getpid()}"
    while case < end:
        count = min(arguments.batch, end - case)
        command = [sys.executable, "-W", "error", __file__, "--place", str(place)]
        command += ["--first", str(case), "--count", str(count), "--seed", str(arguments.seed)]
        command += ["--data", str(arguments.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        sys.stderr.write(done.stderr[-6000:])
        if done.returncode in (0, 1) and done.stdout.startswith("["):
            counts, seconds, size = json.loads(done.stdout)
            outcomes.update(counts)
            slowest, grown = max(slowest, seconds), max(grown, size)
            n_wrong += done.returncode
            case += count
        else:
            died = int(place.read_text())
            print(f"case {died}: the process died with {done.returncode}", file=sys.stderr)
            n_wrong += 1
            case = died + 1
    place.unlink(missing_ok=True)
    print(f"{arguments.count} mutated files: {dict(outcomes.most_common())}")
    print(
        f"slowest {slowest:.2f} s of CPU, memory grew by {grown / 2**20:.0f} MiB, wrong: {n_wrong}"
    )
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
