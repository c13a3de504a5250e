"""OHIF itself, before Orthanc and in Chromium: two reports, and their findings on the films."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pydicom
import pytest
import requests
from browser import Browser, require_chromium
from dicom_peers import ORTHANC_USER
from ohif_app import running_ohif

from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction

MODEL = ModelIdentity("chest_model", "1.0", "ab" * 32)
STUDY = "1.2.826.0.1.3680043.10.1479.77.2.9001"
SAID = re.compile(r"AI (.+): (present|absent)")
FIND = """
const [selector, words] = arguments;
return [...document.querySelectorAll(selector)].filter((e) => new RegExp(words).test(e.innerText));
"""


def study(folder: Path) -> list[bytes]:
    """Two films of one study, each with its report; the second has other decisions."""
    settings = PhantomSettings(n_patients=2, seed=11, size=512, mean_films_per_patient=1.0)
    write_dicom_archive(folder, settings, workers=1)
    objects = []
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))[:2]):
        film = pydicom.dcmread(path)
        film.StudyInstanceUID, film.PatientID, film.PatientName = STUDY, "P1", "Phantom^One"
        film.SeriesInstanceUID, film.SeriesNumber = f"{STUDY}.{number}", number + 1
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, film, enforce_file_format=True)
        scores = tuple(
            FindingScore(name, 0.0, 0.05 * place + 0.1, (place > 9) != bool(number))
            for place, name in enumerate(FINDING_NAMES)
        )
        said = Prediction(open_dicom(stream.getvalue()).facts.key, MODEL, scores)
        report = structured_report(ReportedFilm(stream.getvalue(), said))
        objects += [stream.getvalue(), report.data]
    return objects


def test_each_report_lies_on_its_film(orthanc, tmp_path):
    dist = os.environ.get("MONAI_CXR_OHIF_APP", "")
    if not dist:
        pytest.skip("OHIF is not here: npm pack @ohif/app, and set MONAI_CXR_OHIF_APP to its dist.")
    require_chromium()
    from selenium.webdriver.common.action_chains import ActionChains

    for data in study(tmp_path / "films"):
        url = f"http://127.0.0.1:{orthanc.http_port}/instances"
        requests.post(url, data=data, auth=ORTHANC_USER, timeout=60).raise_for_status()
    with running_ohif(Path(dist), orthanc.dicom_web, ORTHANC_USER) as url:
        browser = Browser(url, size=(1900, 1000))
        try:
            browser.open(f"/viewer?StudyInstanceUIDs={STUDY}")

            def found(selector: str, words: str = "") -> list:
                return browser.driver.execute_script(FIND, selector, words)

            tour = browser.until(lambda: found("button,a", "^Skip all$"), "the tour")
            tour[0].click()
            rows = "[data-cy=study-browser-thumbnail-no-image]"
            browser.until(lambda: len(found(rows, "AI chest findings")) == 2, "two reports")
            shown = []
            for place in range(2):
                row = found(rows, "AI chest findings")[place]
                ActionChains(browser.driver).double_click(row).perform()
                browser.until(lambda: found("[data-cy=viewport-pane]", r"\bSR\b"), "a report")
                if not place:  # a film is drawn anew, with what lies on it, when its place changes
                    panel = "[data-cy=trackedMeasurements-btn]"
                    browser.driver.find_element("css selector", panel).click()
                shown.append(browser.until(lambda: said_of(browser, shown), "findings on the film"))
                if pictures := os.environ.get("MONAI_CXR_PICTURES"):
                    browser.driver.save_screenshot(f"{pictures}/ohif-report-{place + 1}.png")
        finally:
            browser.close()
    titles = {FINDINGS[name].title for name in FINDING_NAMES}
    for one in shown:
        assert set(one) == titles
    decisions = [sorted(one.values()).count("present") for one in shown]
    assert sorted(decisions) == [4, 10]


def said_of(browser: Browser, before: list[dict[str, str]]) -> dict[str, str]:
    """Findings and decisions on the page, once they are all there and not those of before."""
    page = browser.driver.execute_script("return document.body.innerText")
    said = dict(SAID.findall(page))
    return said if len(said) == len(FINDING_NAMES) and said not in before else {}
