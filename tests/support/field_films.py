"""Films from the field: how the odd files of their tests are made of one phantom film."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from monai_cxr.errors import InputError
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.files import read_for_model, read_radiograph

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
JPEG_LOSSLESS, JPEG_LS, J2K = (f"1.2.840.10008.1.2.4.{n}" for n in (70, 80, 90))
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
PIXELS_AT = b"\xe0\x7f\x10\x00"


def dicom(stored, **attributes):
    bits = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    return synthetic_dicom(stored, **{**bits, **attributes})


def reason(data):
    with pytest.raises(InputError) as caught:
        read_for_model(data)
    return caught.value.reason, str(caught.value)


def same(data, stored, flag=""):
    film = read_for_model(data)
    right = read_radiograph(dicom(stored))
    np.testing.assert_allclose(film.pixels, right.pixels, atol=2e-3)
    assert flag in ("", *film.flags), film.flags
    return film


def jpeg_ls(stored, **attributes):
    return dicom(stored, transfer_syntax=JPEG_LS, **attributes)


def value_of(file):
    """Everything behind the head of Pixel Data."""
    at = file.rindex(PIXELS_AT) + 12
    return file[:at], file[at:]


def framed(file, value):
    return value_of(file)[0] + value


def stream_of(file):
    """The one codestream of a file, without its pad byte."""
    value = value_of(file)[1]
    at = 8 + struct.unpack_from("<I", value, 4)[0]  # behind the Basic Offset Table
    (length,) = struct.unpack_from("<I", value, at + 4)
    stream = value[at + 8 : at + 8 + length]
    return stream[: stream.rindex(b"\xff\xd9") + 2]


def items(*fragments, table=b"", end=DELIMITER + bytes(4)):
    parts = [ITEM + struct.pack("<I", len(part)) + part for part in (table, *fragments)]
    return b"".join(parts) + end


def with_meta_syntax(file, uid):
    """The same file with another Transfer Syntax UID in its meta information."""
    at = file.index(b"\x02\x00\x10\x00UI", 132)
    (length,) = struct.unpack_from("<H", file, at + 6)
    new = uid.encode() + b"\0" * (len(uid) % 2)
    return file[: at + 6] + struct.pack("<H", len(new)) + new + file[at + 8 + length :]


def dataset_at(file):
    return file.index(b"\x08\x00\x16\x00", 132)
