"""README and the how-to pages, typed: each command and block runs here, or its place is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from cryptography.fernet import Fernet
from typed_pages import FENCED, lines_of, shell

from monai_cxr.findings import FINDINGS as KNOWN
from monai_cxr.screening.settings.checks import read_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FINDINGS = [finding.name for finding in KNOWN]
ROOT = Path(__file__).resolve().parents[1]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted(HOW_TO.glob("*.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]

ELSEWHERE = {
    # Run by another test, with other sizes.
    r"monai-cxr (index nih CXR8|split index.parquet --official)": "tests/test_tutorials.py",
    r"monai-cxr (predict run|package run|evaluate test.parquet)": "tests/test_tutorials.py",
    r"monai-cxr (predict bundle split.parquet|calibrate val.parquet)": "tests/test_tutorials.py",
    r"monai-cxr train .*split.parquet --out run --set max_epochs": "tests/test_tutorials.py",
    r"monai-cxr train --from bundle": "tests/training/test_transfer.py",
    r"monai-cxr (plan|retrain|promote|rollback|accept)": "tests/lifecycle/test_story.py",
    r"30 2 \* \* \* /opt": "tests/lifecycle/test_timer.py",
    r"monai-cxr shadow": "tests/lifecycle/test_shadow.py",
    r"monai-cxr view": "tests/viewer/test_browser.py",
    r"monai-cxr screen pull": "tests/pacs/test_pull.py",
    r"monai-cxr screen (doctor|run)|cp deploy/scr": "tests/screening/service/test_start.py",
    r"monai-cxr screen archive /archive": "tests/screening/archive",
    r"monai-cxr screen archive (https|dimse)": "tests/pacs/test_archive_pacs.py",
    r"monai-cxr screen reports|monai-cxr monitor (con|sec|loo)": "tests/monitoring",
    r"monai-cxr predict bundle film.dcm --runtime onnx": "tests/bundle/engines",
    r"monai-cxr monitor (screening|ack|pred|bud)|monai-cxr surveillance": "tests/monitoring",
    r"monai-cxr evaluate predictions.csv --labels nih": "tests/end_to_end/test_verbs.py",
    r"monai-cxr labels (check|audit|corr|apply)|monai-cxr train .*corrected": "tests/labels",
    r"monai-cxr (predict run2|compare test1)": "tests/test_tutorials.py",
    r"monai-cxr train .*--out run1": "tests/test_tutorials.py",
    r"monai-cxr .* site/": "tests/lifecycle/test_story.py",
    r"monai-cxr fetch densenet|monai-cxr (predict|train --from) medmae": "tests/bundle",
    r"monai-cxr (fetch|predict) rad-dino": "tests/bundle/test_encoder.py",
    r"monai-cxr (pretrain|train .*=pretrained)": "tests/monai_zoo/test_pretraining.py",
    r"monai-cxr (few-shot|probe|labels budget)": "tests/bundle/test_learning_from_little.py",
    r"monai-cxr (ensemble|predict together)": "tests/bundle/test_ensemble.py",
    r"monai-cxr .*pneumoniamnist|monai-cxr predict bundle (run|images)/": "tests/end_to_end",
    r"monai-cxr package run --out bundle": "tests/bundle/test_packaging.py",
    r"monai-cxr (index xrv|index join|predict xrv)": "tests/data",
    r"monai-cxr .*(int8|student)": "tests/training/test_distillation.py",
    r"monai-cxr .*--decoding reduced": "tests/reading",
    r"monai-cxr .*--(with|embeddings)": "tests/end_to_end",
    r"monai-cxr (search|runs)": "tests/training/run/test_search.py",
    r"monai-cxr train .*--preset release": "tests/bundle/test_presets.py",
    r"torchrun": "tests/monai_zoo/test_plain_training.py",
    r"make (test|lint)": "Makefile",  # how these tests are started
    r"make demo": "tests/test_demo.py",
    # Not run by a test.
    r"(/opt/monai-cxr/bin/)?pip install": "Needs minutes; benchmarks/install_size.py does it.",
    r"python benchmarks/change_story.py": "Hours of a service; tests/lifecycle has its steps.",
    r"python benchmarks/release.py": "Needs a package index and minutes.",
    r"(useradd|install -|cp -r|cp deploy|runuser|systemctl)": "Changes the machine it runs on.",
    r"python3? -m venv|\. \.venv|git ": "Belongs to a reader's own machine.",
    r"location /xray/|\}": "tests/viewer/test_nginx.py",
    r"Image Index|00000013": "Rows of a table, not a command.",
}

BLOCKS = {
    # By the first line of a fenced block: where it runs, or why it does not.
    "from monai_cxr import BundleModel, read_radiograph": "tests/test_docs.py",
    "import json": "tests/bundle/exporting/test_plain_onnx.py",
    "[ledger]": "tests/pacs/test_tutorial.py",
    "export ORTHANC_PASSWORD": "tests/pacs/test_tutorial.py",
    "monai-cxr screen run": "tests/pacs/test_tutorial.py",
    "monai-cxr index nih": "tests/data/sets/test_nih_folder.py",
    "monai-cxr evaluate test.parquet": "tests/evaluation/test_results.py",
    "monai-cxr cache": "tests/data/test_cache.py",
    "monai-cxr train": "tests/test_tutorials.py",
    "python -m monai.bundle download": "tests/bundle/test_publishing.py",
    "pip install monai-deploy-app-sdk": "tests/release/test_deploy_files.py",
    "npm install --ignore-scripts": "tests/dicom/results/test_ohif.py",
    "from monailabel": "MONAI Label needs an environment of its own, as the page says.",
    "hf upload": "Publishes.",
    "python benchmarks/install_size.py": "Needs a package index and minutes.",
    "python benchmarks/release.py": "Needs a package index and minutes.",
    "buildah bud": "Needs a base image, buildah and minutes.",
    "monai_cxr-0.1.0.tar.gz": "What a command printed.",
    "start verifying": "What a command printed.",
    "python benchmarks/zoo_checks.py": "tests/bundle/test_publishing.py",
    "python benchmarks/tutorials.py": "Needs a package index and minutes.",
    '"AuthenticationEnabled"': "Settings of Orthanc; dicom_peers.py starts one with the same.",
    "CXR8/": "A picture of folders.",
    "path,patient_id": "Rows of a table.",
    "dn: cn=Films": "tests/pacs/test_routing_rules.py",
    '{"targets"': "tests/pacs/test_routing_rules.py",
}


def place(line: str) -> str | None:
    """Where a line is run or why it is not; None if here."""
    for pattern, where in ELSEWHERE.items():
        if re.match(pattern, line):
            return where
    return None


@pytest.fixture(scope="module")
def furnished(packaged_bundle, phantom_index, tmp_path_factory):
    """A folder with what the pages name. Read it, do not change it."""
    folder = tmp_path_factory.mktemp("furnished")
    shutil.copytree(packaged_bundle, folder / "bundle")
    shutil.copytree(packaged_bundle, folder / "demo" / "bundle")
    table = phantom_index.table
    films = folder / "films"
    films.mkdir()
    for split in ("train", "val", "test"):
        for path in phantom_index.rows(split)["path"].head(4):
            shutil.copy(path, films)
    shutil.copytree(films, folder / "FOLDER")
    for place_of_one in (folder / "film.dcm", folder / "FOLDER" / "film.dcm"):
        shutil.copy(table["path"].iloc[0], place_of_one)
    for name in ("split", "index", "site"):
        shutil.copy(phantom_index.path, folder / f"{name}.parquet")
    given = table[["sop_uid", "patient_id", *FINDINGS]]
    given.to_csv(folder / "labels.csv", index=False)
    scored = given.rename(columns={name: f"prob_{name}" for name in FINDINGS})
    scored[scored.columns[2:]] = 0.3 + 0.4 * scored[scored.columns[2:]].fillna(0)
    for split in ("val", "test"):
        scored[(table["split"] == split).to_numpy()].to_csv(folder / f"{split}.csv", index=False)
    texts = ["No pleural effusion.", "Small left pleural effusion. No pneumothorax."] * 6
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in films.iterdir()]
    reports = pd.DataFrame({"id": [one.SOPInstanceUID for one in headers], "text": texts})
    reports.to_csv(folder / "reports.csv", index=False)
    labelled = pd.DataFrame({"Report Impression": texts, "Pleural Effusion": [0.0, 1.0] * 6})
    labelled.to_csv(folder / "labeled_reports.csv", index=False)
    return folder


@pytest.fixture
def typing(furnished, tmp_path, monkeypatch, run_settings):
    """A shell in a copy of that folder."""
    shutil.copytree(furnished, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return shell(monkeypatch, run_settings)


def typed_lines(page: Path) -> list[str]:
    """The commands of a page that are typed here; the tutorials have a test of their own."""
    if page.parent.name == "tutorials":
        return []
    ours = [line for line in lines_of(page) if line.startswith("monai-cxr ")]
    return [line for line in ours if place(line) is None]


@pytest.mark.parametrize("page", list(filter(typed_lines, PAGES)), ids=lambda page: page.name)
def test_what_a_page_says_is_typed(page, typing):
    for line in typed_lines(page):
        typing(line)


def test_every_line_is_typed_or_its_place_is_named():
    unknown = []
    for page in PAGES:
        settings = False
        for line in lines_of(page):
            settings = line.startswith("[") or (settings and " = " in line)
            ours = line.startswith(("monai-cxr ", "python benchmarks/licences.py")) or settings
            if page.parent.name != "tutorials" and not ours and place(line) is None:
                unknown.append(f"{page.name}: {line}")
    assert unknown == []


def test_every_place_is_there_and_every_rule_is_needed():
    lines = [line for page in PAGES for line in lines_of(page)]
    blocks = [
        text.lstrip() for page in PAGES for _, text in FENCED.findall(page.read_text("utf-8"))
    ]
    for where in {*ELSEWHERE.values(), *BLOCKS.values()}:
        assert where.endswith(".") or (ROOT / where).exists(), where
    assert [rule for rule in ELSEWHERE if not any(re.match(rule, line) for line in lines)] == []
    assert [one for one in BLOCKS if not any(text.startswith(one) for text in blocks)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_or_their_place_is_named(page, typing):
    for language, text in FENCED.findall(page.read_text("utf-8")):
        if any(text.lstrip().startswith(start) for start in BLOCKS):
            continue
        assert language in ("", "python"), text
        code = text.replace('"10.0.0.9", port=11112', '"127.0.0.1", port=0')
        code = code.replace('input("Listening', 'str("Listening')
        exec(compile(code, str(page), "exec"), {})


def settings_of(page: Path) -> list[str]:
    """The blocks of indented settings of a page."""
    text = FENCED.sub("", page.read_text("utf-8"))
    blocks = re.findall(r"(?:^    [^\n]*\n|^\n(?=    [\[\w]))+", text, re.MULTILINE)
    lines = ("\n".join(line[4:] for line in block.splitlines()).strip() for block in blocks)
    return [block for block in lines if block.startswith("[")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_shows_are_read(page, tmp_path, monkeypatch):
    for name in ("CXR_HOOK_TOKEN", "ORTHANC_PASSWORD"):
        monkeypatch.setenv(name, "a secret")
    (tmp_path / "report-text.key").write_bytes(Fernet.generate_key())
    for number, block in enumerate(settings_of(page)):
        shown = tomllib.loads(block)
        base = '[ledger]\nurl = "sqlite:///l.sqlite"\n[spool]\nfolder = "spool"\n'
        base += '[model]\nbundle = "b"\n'
        if "viewer" not in shown:
            base += '[[destinations]]\nname = "out"\nkind = "folder"\npath = "out"\n'
        listener = '[listener]\nae_title = "US"\nhost = "127.0.0.1"\nport = 0\n'
        base += listener if "listener" in shown else ""
        path = tmp_path / f"{number}.toml"
        path.write_text(base + block, encoding="utf-8")
        read_settings(path)


def test_the_bill_of_materials_is_written(tmp_path):
    pytest.importorskip("packaging")
    command = [sys.executable, ROOT / "benchmarks" / "licences.py", "--sbom", tmp_path / "s.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "GPL, AGPL or not stated: none" in done.stdout
    assert (tmp_path / "s.json").stat().st_size > 10_000
