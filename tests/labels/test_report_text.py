"""What reports say, sentence by sentence, in three languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.labels.lexicon import LANGUAGES, read_lexicon
from monai_cxr.labels.report_text import ABSENT, PRESENT, UNCERTAIN, label_report

P, A, U = PRESENT, ABSENT, UNCERTAIN

ENGLISH = {
    "Small left pleural effusion.": {"Effusion": P},
    "No pneumothorax, effusion or consolidation.": {
        **{"Pneumothorax": A, "Effusion": A, "Consolidation": A}
    },
    "Cardiomegaly without edema.": {"Cardiomegaly": P, "Edema": A},
    "Neither effusion nor consolidation.": {"Effusion": A, "Consolidation": A},
    "No effusion, but a small pneumothorax.": {"Effusion": A, "Pneumothorax": P},
    "No change in effusion.": {"Effusion": P},
    "No interval change in large right effusion.": {"Effusion": P},
    "The effusion has resolved.": {"Effusion": A},
    "Resolved pneumonia.": {"Pneumonia": A},
    "Pneumonia cannot be excluded.": {"Pneumonia": U},
    "Cannot exclude pneumonia.": {"Pneumonia": U},
    "Possible pneumonia.": {"Pneumonia": U},
    "Left base atelectasis versus infiltrate.": {"Atelectasis": U, "Infiltration": U},
    "Effusion: none. Pneumothorax: No. Stable cardiomegaly.": {
        **{"Effusion": A, "Pneumothorax": A, "Cardiomegaly": P}
    },
    "The heart is mildly enlarged.": {"Cardiomegaly": P},
    "The heart is not enlarged.": {"Cardiomegaly": A},
    "Heart size is normal.": {"Cardiomegaly": A},
    "Borderline cardiomegaly.": {"Cardiomegaly": U},
    "Status post pneumonia.": {},
    "History of emphysema.": {},
    "Subcutaneous emphysema.": {},
    "Pericardial effusion.": {},
    "No mass effect.": {},
    "Cystic fibrosis.": {},
    "Hernia repair of the groin.": {},
    "Moderate hiatal hernia.": {"Hernia": P},
    "Blunting of the left costophrenic angle.": {"Effusion": U},
    "INDICATION: rule out pneumonia.\nFINDINGS: Small nodule.": {"Nodule": P},
    "HISTORY: effusion, edema\nIMPRESSION: Fibrosis.": {"Fibrosis": P},
    "FINDINGS: Effusion is present.\nIMPRESSION: No effusion.": {"Effusion": A},
    "FINDINGS: Effusion is present.\nIMPRESSION: No acute abnormality.": {"Effusion": P},
    "Atelectatic changes. Cardiomegally. Pnuemothorax.": {
        **{"Atelectasis": P, "Cardiomegaly": P, "Pneumothorax": P}
    },
    "1. Effusion.\n2. No edema.": {"Effusion": P, "Edema": A},
}
SPANISH = {
    "Derrame pleural derecho. No se observa neumotórax.": {"Effusion": P, "Pneumothorax": A},
    "Sin derrame pleural. Cardiomegalia.": {"Effusion": A, "Cardiomegaly": P},
    "Posible neumonía.": {"Pneumonia": U},
    "no aprec derram pleural . herni hiat .": {"Effusion": A, "Hernia": P},
    "Sin cambios en el derrame pleural.": {"Effusion": P},
    "Enfisema subcutáneo.": {},
}
GERMAN = {
    "Kein Pneumothorax. Kleiner Pleuraerguss links.": {"Pneumothorax": A, "Effusion": P},
    "Herz nicht vergrößert.": {"Cardiomegaly": A},
    "Pneumonie nicht auszuschließen.": {"Pneumonia": U},
    "Zustand nach Pneumonie.": {},
    "Kein Anhalt für Infiltrate oder Erguss.": {"Infiltration": A, "Effusion": A},
    "Weichteilemphysem.": {},
}
CASES = [
    (language, text, states)
    for language, cases in (("en", ENGLISH), ("es", SPANISH), ("de", GERMAN))
    for text, states in cases.items()
]
# General statements ("no acute abnormality") make more findings absent than the case names.
GENERAL = {"No acute abnormality", "Heart size", "nicht vergrößert"}


@pytest.mark.parametrize(("language", "text", "states"), CASES, ids=lambda value: str(value)[:40])
def test_sentences(language, text, states):
    got = dict(label_report(text, read_lexicon(language)).states)
    if any(words in text for words in GENERAL):
        assert {name: got.get(name) for name in states} == states
    else:
        assert got == states


@pytest.mark.parametrize("language", LANGUAGES)
def test_lexicons_know_the_fourteen(language):
    from monai_cxr.findings import FINDING_NAMES

    assert read_lexicon(language).findings == FINDING_NAMES


def test_evidence_points_at_the_mention():
    report = label_report("Some text. A small left effusion is seen.", read_lexicon("en"))
    (evidence,) = report.evidence
    start, end = evidence.span
    assert evidence.sentence[start:end] == "effusion"


@given(st.text(max_size=400), st.sampled_from(LANGUAGES))
def test_any_text_is_read(text, language):
    report = label_report(text, read_lexicon(language))
    assert set(report.states.values()) <= {P, A, U}
    for one in report.evidence:
        assert one.sentence in text
        assert 0 <= one.span[0] < one.span[1] <= len(one.sentence)


@given(st.lists(st.sampled_from(list(ENGLISH)), min_size=1, max_size=5))
def test_a_finding_named_present_anywhere_outside_headings_stays(sentences):
    plain = [text for text in sentences if ":" not in text and "\n" not in text]
    got = label_report(" ".join(plain), read_lexicon("en")).states
    for text in plain:
        for name, state in ENGLISH[text].items():
            if state == P:
                assert got[name] == P
