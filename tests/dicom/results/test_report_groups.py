"""Report groups: filled templates say what highdicom says, whatever the values."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import ModelIdentity

pytest.importorskip("highdicom")
from monai_cxr.dicom.results.report_groups import (
    Values,
    Wording,
    encoded_group,
    encoded_item,
    measurement_group,
)

UIDS = st.integers(1, 2**128 - 1).map(lambda n: f"2.25.{n}")
WORDINGS = st.builds(
    Wording,
    st.sampled_from(FINDING_NAMES),
    st.sampled_from([True, False, None]),
    st.sampled_from([ModelIdentity("chest", "1.0", "ab" * 32), ModelIdentity("b", "", "cd" * 32)]),
    st.sampled_from([("threshold=0.1",), ("threshold=0.1", "cautions=inverted")]),
    st.sampled_from([ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation]).map(
        str
    ),
    st.booleans(),
)
VALUES = st.builds(
    Values, UIDS, st.floats(0.0, 1.0), UIDS, st.tuples(st.integers(1, 65535), st.integers(1, 65535))
)


def _decoded(item: bytes) -> Dataset:
    """What an item holds, by pydicom, out of a Content Sequence of undefined length."""
    start = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    (content,) = read_dataset(io.BytesIO(start + item + end), False, True).ContentSequence
    return content


@given(WORDINGS, VALUES)
def test_a_filled_template_is_the_group_of_highdicom(wording, values):
    (expected,) = measurement_group(wording, values)
    assert _decoded(encoded_group(wording, values)) == _decoded(encoded_item(expected))
