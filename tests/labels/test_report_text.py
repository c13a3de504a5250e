"""What reports say, sentence by sentence, in three languages."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.errors import SettingsError
from monai_cxr.labels.lexicon import LANGUAGES, read_lexicon
from monai_cxr.labels.report_text import ABSENT, PRESENT, UNCERTAIN, label_report

P, A, U = PRESENT, ABSENT, UNCERTAIN

ENGLISH = {
    "Small left pleural effusion.": {"Effusion": P},
    "Small left pleural efussion.": {"Effusion": P},
    "Bilateral effs.": {"Effusion": P},
    "?pneumonia right base.": {"Pneumonia": U},
    "? pneumonia right base.": {"Pneumonia": U},
    "Pneumothorax? Small effusion.": {"Pneumothorax": U, "Effusion": P},
    "Effusion cannot be seen any more.": {"Effusion": A},
    "The effusion can no longer be identified.": {"Effusion": A},
    "Pneumothorax not seen.": {"Pneumothorax": A},
    "Effusion:none": {"Effusion": A},
    "Pneumonia cannot exclude.": {"Pneumonia": U},
    "Possible but not definite effusion.": {"Effusion": U},
    "No effusion and/or pneumothorax.": {"Effusion": A, "Pneumothorax": A},
    "No pneumothorax, effusion or consolidation.": {
        **{"Pneumothorax": A, "Effusion": A, "Consolidation": A}
    },
    "Lungs: Clear. Pleura: No effusion. Heart: Enlarged.": {
        **dict.fromkeys(("Atelectasis", "Consolidation", "Edema", "Infiltration"), A),
        **dict.fromkeys(("Mass", "Nodule", "Pneumonia", "Effusion"), A),
        **{"Cardiomegaly": P},
    },
    "Cardiomegaly is present, pneumothorax is not.": {"Cardiomegaly": P, "Pneumothorax": A},
    "Pleural effusion - none": {"Effusion": A},
    "Edema, if present, is mild.": {"Edema": U},
    "Right lower lobe pneumonia has not resolved.": {"Pneumonia": P},
    "Left pleural effusion has nearly resolved.": {"Effusion": P},
    "Near-complete resolution of the pneumothorax.": {"Pneumothorax": P},
    "The previously described nodule is stable.": {"Nodule": P},
    "The previously described nodule.": {},
    "Skin fold mimics a pneumothorax.": {"Pneumothorax": A},
    "Doubt pneumothorax.": {"Pneumothorax": U},
    "No doubt pneumonia.": {"Pneumonia": P},
    "Concerning for pna.": {"Pneumonia": U},
    "Fluid in the minor fissure.": {"Effusion": P},
    "Early pneumonia could have this appearance.": {"Pneumonia": U},
    "More consistent with atelectasis than pneumonia.": {"Atelectasis": P, "Pneumonia": U},
    "Cardiomegaly without edema.": {"Cardiomegaly": P, "Edema": A},
    "Neither effusion nor consolidation.": {"Effusion": A, "Consolidation": A},
    "No effusion, but a small pneumothorax.": {"Effusion": A, "Pneumothorax": P},
    "No change in effusion.": {"Effusion": P},
    "No interval change in large right effusion.": {"Effusion": P},
    "Pneumonia, effusion less likely.": {"Pneumonia": P, "Effusion": U},
    "No pneumothorax, mild cardiomegaly.": {"Pneumothorax": A, "Cardiomegaly": P},
    "No edema, large effusion, or pneumothorax.": {"Edema": A, "Effusion": A, "Pneumothorax": A},
    "A hiatal hernia is not as well seen.": {"Hernia": P},
    "Heart size is upper limits of normal or mildly enlarged.": {"Cardiomegaly": U},
    "The effusion has resolved.": {"Effusion": A},
    "Resolved pneumonia.": {"Pneumonia": A},
    "Pneumonia cannot be excluded.": {"Pneumonia": U},
    "Cannot exclude pneumonia.": {"Pneumonia": U},
    "Borderline cardiomegaly.": {"Cardiomegaly": P},
    "Borderline heart size.": {"Cardiomegaly": U},
    "This may be due to atelectasis.": {"Atelectasis": U},
    "A density which may be secondary to hiatal hernia.": {"Hernia": U},
    "Evaluation for pneumothorax is limited.": {"Pneumothorax": U},
    "Cardiomegaly with suspected pulmonary edema.": {"Cardiomegaly": P, "Edema": U},
    "No cardiomegaly with bilateral pleural effusions.": {"Cardiomegaly": A, "Effusion": P},
    "Small pleural air collection.": {"Pneumothorax": P},
    "Masslike density.": {"Mass": U},
    "Possible pneumonia.": {"Pneumonia": U},
    "Left base atelectasis versus infiltrate.": {"Atelectasis": U, "Infiltration": U},
    "Effusion: none. Pneumothorax: No. Stable cardiomegaly.": {
        **{"Effusion": A, "Pneumothorax": A, "Cardiomegaly": P}
    },
    "The heart is mildly enlarged.": {"Cardiomegaly": P},
    "The heart is not enlarged.": {"Cardiomegaly": A},
    "Heart size is normal.": {"Cardiomegaly": A},
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
    "Comparison: prior study showed effusion. No effusion now. A 5 mm nodule.": {
        **{"Effusion": A, "Nodule": P}
    },
    "INDICATION: fever. Pneumonia?\n\nThe heart is enlarged.": {"Cardiomegaly": P},
    "INDICATION: fever. Pneumonia?": {},
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
    "Aumento de densidad sin poder descartar neumonía.": {"Pneumonia": U},
    "Se descarta neumotórax.": {"Pneumothorax": A},
    "Secuelas de proceso infeccioso.": {},
    "Motivo de consulta infección respiratoria.": {},
    "Imagen pseudonodular.": {},
}
# Written for this table, not taken from reports: no measurement of how right German labels are.
GERMAN = {
    "V.a. Pneumonie links basal.": {"Pneumonia": U},
    "Z.n. Pneumonie 2019.": {},
    "Aufnahme vom 3.4. mit Erguss.": {"Effusion": P},
    "Pneumothorax rechts apikal, 2 cm.": {"Pneumothorax": P},
    "Kein Pneumothorax. Kleiner Pleuraerguss links.": {"Pneumothorax": A, "Effusion": P},
    "Kein Nachweis eines Pneumothorax.": {"Pneumothorax": A},
    "Pneumothorax nicht mehr nachweisbar.": {"Pneumothorax": A},
    "Beidseitige Pleuraergüsse, rechts mehr als links.": {"Effusion": P},
    "Die Pleuraergüsse sind vollständig zurückgebildet.": {"Effusion": A},
    "Erguss: keiner.": {"Effusion": A},
    "Randwinkel beidseits frei.": {"Effusion": A},
    "Randwinkel links verschattet.": {"Effusion": U},
    "Unveränderter Erguss links ohne Größenzunahme.": {"Effusion": P},
    "Keine Änderung des Pleuraergusses.": {"Effusion": P},
    "Herzschatten linksbetont verbreitert.": {"Cardiomegaly": P},
    "Herz nicht vergrößert.": {"Cardiomegaly": A},
    "Kardiomegalie mit pulmonalvenöser Stauung.": {"Cardiomegaly": P, "Edema": U},
    "Herzgröße im Normbereich.": {"Cardiomegaly": A},
    "Grenzwertig großes Herz.": {"Cardiomegaly": U},
    "Pneumonie nicht auszuschließen.": {"Pneumonia": U},
    "Verdacht auf Pneumonie im rechten Unterlappen.": {"Pneumonia": U},
    "V. a. Pneumonie links basal.": {"Pneumonia": U},
    "Zustand nach Pneumonie.": {},
    "Kein Anhalt für Infiltrate oder Erguss.": {"Infiltration": A, "Effusion": A},
    "Infiltrat im linken Oberfeld, am ehesten pneumonisch.": {"Infiltration": P, "Pneumonia": U},
    "Weder Stauung noch Infiltrate.": {"Edema": A, "Infiltration": A},
    "Plattenatelektasen beidseits basal.": {"Atelectasis": P},
    "Dystelektasen rechts, DD Infiltrat.": {"Atelectasis": P, "Infiltration": U},
    "Rundherd im rechten Oberlappen, 8 mm.": {"Nodule": P},
    "Keine Rundherde.": {"Nodule": A},
    "Raumforderung rechts hilär.": {"Mass": P},
    "Mediastinale Raumforderung.": {},
    "Lungenemphysem, keine Infiltrate.": {"Emphysema": P, "Infiltration": A},
    "Weichteilemphysem.": {},
    "Lungenfibrose mit Honigwabenmuster.": {"Fibrosis": P},
    "Mukoviszidose.": {},
    "Pleuraschwiele links, kein Erguss.": {"Pleural_Thickening": P, "Effusion": A},
    "Hiatushernie.": {"Hernia": P},
    "Leistenhernie operiert.": {},
    "Lungenödem.": {"Edema": P},
    "Kein Lungenödem, aber Konsolidierung rechts.": {"Edema": A, "Consolidation": P},
    "Fragestellung: Pneumothorax? Beurteilung: Kein Pneumothorax.": {"Pneumothorax": A},
    "Klinische Angaben: Pneumonie.\nBefund: Lungen frei.": {"Pneumonia": A},
    "Kein Pneumothorax, kein Pleuraerguss, keine Infiltrate.": {
        **{"Pneumothorax": A, "Effusion": A, "Infiltration": A}
    },
    "Keine Infiltrate, Ergüsse oder Stauungszeichen.": {
        **{"Infiltration": A, "Effusion": A, "Edema": A}
    },
    "Ausschluss Pneumothorax.": {"Pneumothorax": A},
    "Ein Pneumothorax ist nicht abgrenzbar.": {"Pneumothorax": A},
    "Ein Pneumothorax lässt sich nicht abgrenzen.": {"Pneumothorax": A},
    "Ein Pneumothorax stellt sich nicht dar.": {"Pneumothorax": A},
    "Pneumothorax: nein. Erguss: ja.": {"Pneumothorax": A, "Effusion": P},
    "Pneumothorax: keiner. Infiltrate: keine.": {"Pneumothorax": A, "Infiltration": A},
    "Ohne Nachweis von Infiltraten.": {"Infiltration": A},
    "Kardiomegalie ohne Zeichen der Stauung.": {"Cardiomegaly": P, "Edema": A},
    "Hinweise auf ein Infiltrat bestehen nicht.": {"Infiltration": A},
    "Infiltrate sind nicht zu erkennen.": {"Infiltration": A},
    "Der Pneumothorax hat sich vollständig zurückgebildet.": {"Pneumothorax": A},
    "Das Infiltrat ist nicht mehr erkennbar.": {"Infiltration": A},
    "Rückläufiger Pleuraerguss links.": {"Effusion": P},
    "Regredienter Erguss, progrediente Infiltrate.": {"Effusion": P, "Infiltration": P},
    "Zunehmende Infiltrate beidseits.": {"Infiltration": P},
    "Erguss links nicht wesentlich verändert.": {"Effusion": P},
    "Der Erguss ist noch nicht vollständig zurückgebildet.": {"Effusion": P},
    "Infiltrat weitgehend unverändert, kein neuer Erguss.": {"Infiltration": P, "Effusion": A},
    "Konstanter Befund mit Pleuraerguss rechts.": {"Effusion": P},
    "Ohne wesentliche Befundänderung des Pneumothorax.": {"Pneumothorax": P},
    "Eine Pneumonie kann nicht ausgeschlossen werden.": {"Pneumonia": U},
    "Ein kleiner Erguss ist nicht sicher auszuschließen.": {"Effusion": U},
    "Ein Rundherd ist nicht auszuschliessen.": {"Nodule": U},
    "Mögliches Infiltrat rechts basal.": {"Infiltration": U},
    "Fraglicher Rundherd im linken Oberfeld.": {"Nodule": U},
    "Rundherd links fraglich.": {"Nodule": U},
    "Vd. a. Pneumonie.": {"Pneumonia": U},
    "Pneumonieverdacht.": {"Pneumonia": U},
    "Pneumonie möglich, DD Atelektase.": {"Pneumonia": U, "Atelectasis": U},
    "Infiltrat versus Atelektase links basal.": {"Infiltration": U, "Atelectasis": U},
    "Z. n. Pneumonie, aktuell keine Infiltrate.": {"Infiltration": A},
    "Bekannter Rundherd, größenkonstant.": {"Nodule": P},
    "Bei Zustand nach Pleuraerguss jetzt Randwinkel frei.": {"Effusion": A},
    "Randwinkelerguss links, Spitzenpneu rechts.": {"Effusion": P, "Pneumothorax": P},
    "Kein Pneu.": {"Pneumothorax": A},
    "Belüftungsstörung links basal.": {"Atelectasis": U},
    "Minderbelüftung beidseits basal.": {"Atelectasis": U},
    "Pleuraergus rechts, Pneumotorax links.": {"Effusion": P, "Pneumothorax": P},
    "Pulmonalvenöse Stauung mit interstitiellem Ödem.": {"Edema": P},
    "Kein Hautemphysem. Kein Mediastinalemphysem.": {},
    "Bronchialkarzinom links zentral.": {"Mass": P},
    "Z. n. Mammakarzinom.": {},
    "Bandscheibenhernie. Nabelhernie.": {},
    "Axiale Gleithernie.": {"Hernia": P},
    "Upside-down-stomach.": {"Hernia": P},
    "Narbige Veränderungen, Pleurakuppenschwielen beidseits.": {"Pleural_Thickening": P},
    "Das Herz ist deutlich vergrößert, die Lungen sind frei.": {"Cardiomegaly": P},
    "Herz normal groß. Lungen frei belüftet.": {"Cardiomegaly": A, "Pneumonia": A},
    "Herz-Thorax-Quotient über 0,5.": {"Cardiomegaly": P},
    "Unauffälliger Herz-Lungen-Befund.": {"Cardiomegaly": A, "Effusion": A},
    "Befund: Erguss links.\nBeurteilung: Kein Erguss.": {"Effusion": A},
    "Befund:\n- Kein Erguss\n- Infiltrat rechts": {"Effusion": A, "Infiltration": P},
    "Rechtfertigende Indikation: Pneumonie?\nBefund: Kein Infiltrat.": {"Infiltration": A},
    "Voraufnahme vom April mit Erguss. Jetzt kein Erguss.": {"Effusion": A},
    "Herz: vergrößert. Pleura: kein Erguss.": {"Cardiomegaly": P, "Effusion": A},
    "Perikarderguss.": {},
    "Lymphknoten mediastinal.": {},
}
CASES = [
    (language, text, states)
    for language, cases in (("en", ENGLISH), ("es", SPANISH), ("de", GERMAN))
    for text, states in cases.items()
]
# General statements ("no acute abnormality") make more findings absent than the case names.
GENERAL = {"No acute abnormality", "Heart size", "nicht vergrößert", "Lungen frei"}
GENERAL |= {"Lungen sind frei", "Unauffälliger Herz"}


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


def test_a_normal_statement_names_findings_of_the_lexicon(tmp_path):
    text = files("monai_cxr.labels").joinpath("lexicons", "de.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('"Mass", "Nodule"', '"Masse", "Nodule"'), encoding="utf-8")
    with pytest.raises(SettingsError, match="'Masse' is absent, which is none of its findings"):
        read_lexicon(path)


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
