"""The 14 findings: order, names, codes."""

from __future__ import annotations

import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES, FINDINGS, FindingSet

_D = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_P1 = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _verhoeff_check(number: str) -> int:
    """Zero for a valid number (Verhoeff 1969), which every SNOMED CT identifier is."""
    permutations = [tuple(range(10))]
    for _ in range(7):
        permutations.append(tuple(permutations[-1][i] for i in _P1))
    check = 0
    for position, digit in enumerate(reversed(number)):
        check = _D[check][permutations[position % 8][int(digit)]]
    return check


def test_verhoeff_witness():
    assert _verhoeff_check("2363") == 0  # the textbook example: 236 has check digit 3
    assert _verhoeff_check("2364") != 0


def test_order_is_nih_s():
    assert ", ".join(FINDING_NAMES) == (
        "Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule, Pneumonia, "
        "Pneumothorax, Consolidation, Edema, Emphysema, Fibrosis, Pleural_Thickening, Hernia"
    )


@pytest.mark.parametrize("finding", FINDINGS, ids=FINDING_NAMES)
class TestCodes:
    def test_snomed_codes_pass_their_check_digit(self, finding):
        for code in (finding.code, finding.site):
            if code.scheme == "SCT":
                assert _verhoeff_check(code.value) == 0

    def test_every_code_has_a_source(self, finding):
        codes = [finding.code, finding.site] + ([finding.radlex] if finding.radlex else [])
        assert all(code.source and code.meaning for code in codes)

    def test_radlex_identifiers(self, finding):
        if finding.radlex is not None:
            assert finding.radlex.scheme == "RADLEX"
            assert finding.radlex.value.removeprefix("RID").isdigit()


@pytest.mark.parametrize("number", ["129614006", "60567007", "78381009", "95436003", "73122008"])
def test_codes_known_to_be_wrong_fail_the_check_digit(number):
    assert _verhoeff_check(number) != 0
    assert number not in {finding.code.value for finding in FINDINGS}


def test_a_code_stands_for_one_finding():
    codes = [finding.code.value for finding in FINDINGS]
    assert len(set(codes)) == 14


class TestNames:
    def test_torchxrayvision_knows_every_name(self):
        import torchxrayvision as xrv  # the witness

        assert {finding.torchxrayvision for finding in FINDINGS} <= set(
            xrv.datasets.default_pathologies
        )

    def test_nih_has_exactly_these(self):
        from monai_cxr.data.sets.chestxray14 import read_labels

        labels = read_labels()
        assert all(labels[name].sum() > 0 for name in FINDING_NAMES)

    def test_aliases(self):
        assert FINDINGS["Infiltrate"].name == "Infiltration"
        assert FINDINGS["pleural thickening"].name == "Pleural_Thickening"
        assert FINDINGS["Pleural Effusion"].chexpert == "Pleural Effusion"
        assert FINDINGS["Pleural_Thickening"].title == "Pleural thickening"
        assert "No Finding" not in FINDINGS
        assert FINDINGS.index("Mass") == 4

    def test_unknown_name_lists_the_known(self):
        with pytest.raises(SettingsError, match=r"Unknown finding 'Cold'.*Atelectasis"):
            FINDINGS["Cold"]

    def test_a_set_has_no_repeats(self):
        first = next(iter(FINDINGS))
        with pytest.raises(SettingsError, match="distinct"):
            FindingSet([first, first])


def test_concepts_of_reports_are_those_of_pydicom_s_dictionary():
    from pydicom.sr._concepts_dict import concepts

    from monai_cxr import findings

    named = (
        "PROBABILITY", "NO_UNITS", "PRESENT", "ABSENT", "CLINICAL_FINDING", "DEVICE",
        "ARTIFICIAL_INTELLIGENCE", "REPORT_TITLE", "IMAGING_MEASUREMENTS",
    )  # fmt: skip
    for code in (*(getattr(findings, name) for name in named), *findings.MAP_METHODS.values()):
        meanings = [m[code.value][0] for m in concepts[code.scheme].values() if code.value in m]
        assert any(meaning.startswith(code.meaning) for meaning in meanings), code
