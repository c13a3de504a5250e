"""Change story: a site whose scanner is replaced, on phantoms, for docs/how-to/change-a-model.md.

    python benchmarks/change_story.py site SITE      films, indexes, a plan, a service's settings
    python benchmarks/change_story.py days SITE      forty days of charts; the last eight changed
    python benchmarks/change_story.py send SITE 16   the next films of the new scanner arrive
    python benchmarks/change_story.py readers SITE   readers who see no score label what was read

The new scanner's films are brighter (gamma 0.4) and noisier, and name another maker. Everything
else is done by the verbs of monai-cxr, as the page says; tests/lifecycle/test_story.py does the
same. One finding and a small network learn enough from so few films; with 14 findings the best
epoch would be chosen by the noise of 13.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from sqlalchemy import select

from monai_cxr.data.folder import index_folder
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.reading.files import read_radiograph
from monai_cxr.screening.ledger import open_ledger, schema
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.people import reviews
from monai_cxr.screening.ledger.people.reviews import ReviewRow
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.watching import service_charts
from monai_cxr.tables import read_table, write_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from running_service import WATCHING

FINDING, DAY = "Cardiomegaly", 86_400.0
GAMMA, NOISE = 0.4, 0.05
NETWORK = (
    '{"_target_":"DenseNet","spatial_dims":2,"in_channels":1,"out_channels":1,'
    '"init_features":16,"growth_rate":8,"block_config":[2,2]}'
)
TRAINING = (
    *(f"findings={FINDING}", f"network_def={NETWORK}", "image_size=48", "batch_size=16"),
    *("max_epochs=15", "num_workers=0", "learning_rate=0.01"),
)
"""How the champion is trained, as after ``monai-cxr train --set``."""

PLAN = """
name = "A scanner was replaced"
reason = "The alarm of the charts, and films on which readers contradict the model."
registry = "registry"
signers = ["Dr Example"]
changes = ["calibration", "weights"]

[data]
training = "training.parquet"     # old and new films: what the champion knows is to be kept
locked_test = "locked.parquet"    # the old scanner's films
recent_test = "recent.parquet"    # the new scanner's films
labels = "Drawn with the phantom; for the ledger's films, readers who had not seen the score."
ledger = "ledger.sqlite"

[training]
start = "champion"
settings = ["max_epochs=15", "batch_size=16", "num_workers=0", "learning_rate=0.01"]

# About 40 patients with the finding a test: so few can rule out large losses only.
[gate]
goal = "auroc"
auroc = 0.1
sensitivity = 0.3
brier = 0.1
flag_rate = 0.9                   # half of these films have the finding: missed ones are wanted
speed = 9.0                       # of so small a network a busy machine tells little
n_positive = 25
subgroups = []
findings = ["Cardiomegaly"]
criterion = "youden"

[triggers]
alarm_errors = 3

[shadow]
films = 6
share = 1.0
"""
FILMS = {  # name: seed, films, whether the new scanner made them
    "champion": (1, 120, False),
    "locked": (2, 80, False),
    "training": (3, 120, True),
    "recent": (4, 100, True),
    "stream": (5, 60, True),
}


def films_of(folder: Path, seed: int, n: int, *, replaced: bool) -> pd.DataFrame:
    """Index of phantoms, a film per patient, half of them with the finding; a quarter is val."""
    settings = PhantomSettings(
        n, seed=seed, size=96, prevalence={FINDING: 0.5}, mean_films_per_patient=1.0,
        severity=(0.8, 1.0),
    )  # fmt: skip
    labels = write_dicom_archive(folder, settings, workers=1)
    index, _ = index_folder(folder, labels)
    names = {}
    rng = np.random.default_rng(seed)
    for path in sorted(folder.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        names[dataset.PatientID] = f"{seed}-{dataset.PatientID}"  # archives number them alike
        dataset.PatientID = names[dataset.PatientID]
        if replaced:
            _as_the_new_scanner_would(dataset, rng)
        dataset.save_as(path)
    made = {"patient_id": index["patient_id"].map(names)}
    if replaced:
        made["manufacturer"] = "Another"
    split = ["val" if i % 4 == 0 else "train" for i in range(len(index))]
    return index.assign(split=split, **made)


def _as_the_new_scanner_would(dataset: pydicom.Dataset, rng: np.random.Generator) -> None:
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    most = float(2**dataset.BitsStored - 1)
    gray = (dataset.pixel_array / most) ** GAMMA
    gray = np.clip(gray + rng.normal(0.0, NOISE, gray.shape), 0.0, 1.0)
    dataset.PixelData = (gray * most).astype(dataset.pixel_array.dtype).tobytes()
    dataset.Manufacturer = "Another"


def make_site(folder: Path) -> None:
    """Films, indexes, plan and settings of a site."""
    tables = {
        name: films_of(folder / name, seed, n, replaced=replaced)
        for name, (seed, n, replaced) in FILMS.items()
    }
    both = [tables["champion"], tables["training"]]
    tables["training"] = pd.concat(both, ignore_index=True)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    (folder / "in").mkdir()
    (folder / "plan.toml").write_text(PLAN.lstrip(), encoding="utf-8")
    text = WATCHING.lstrip().format(ledger=ledger_of(folder), bundle="registry/champion")
    (folder / "screening.toml").write_text(text, encoding="utf-8")


def ledger_of(folder: Path) -> str:
    return f"sqlite:///{folder.absolute()}/ledger.sqlite"


def pass_days(folder: Path) -> int:
    """Thirty-two days of clean films, then eight of the new scanner's, 25 a day; gives alarms."""
    now = [time.time() - 40 * DAY]
    clean, changed = (
        [read_radiograph(path).quality["mean"] for path in read_table(folder / name)["path"][:30]]
        for name in ("champion.parquet", "recent.parquet")
    )
    rng = np.random.default_rng(0)
    with open_ledger(ledger_of(folder), clock=lambda: now[0]) as ledger:
        for day in range(40):
            with ledger.write() as connection:
                for gray in rng.choice(clean if day < 32 else changed, 25):
                    chart_sums.add(connection, {"picture mean": float(gray)}, now=now[0])
            now[0] += DAY
        drawn = service_charts.draw(ledger, baseline_days=30)
        return alarms.keep(ledger, service_charts.alarms_of(drawn))


def send(folder: Path, n: int) -> int:
    """The next films of the stream arrive in the watched folder; gives how many have come."""
    record = folder / "sent.txt"
    sent = int(record.read_text()) if record.exists() else 0
    paths = read_table(folder / "stream.parquet")["path"][sent : sent + n]
    for path in paths:
        part = folder / "in" / "film.part"
        shutil.copyfile(path, part)
        part.replace(part.with_name(Path(path).name))
    record.write_text(str(sent + len(paths)))
    return sent + len(paths)


def label(ledger: Ledger, folder: Path) -> int:
    """Readers who had not seen the score say what the phantom has; gives how many words."""
    with ledger.read() as connection:
        read = set(connection.execute(select(schema.results.c.sop_uid)).scalars())
    stream = read_table(folder / "stream.parquet")
    known = stream[stream["sop_uid"].isin(read)]
    for row in known.to_dict("records"):
        word = ReviewRow(
            row["sop_uid"], row["study_uid"], FINDING, "reader", "",
            corrected_label=int(row[FINDING]), score_seen=False,
        )  # fmt: skip
        reviews.add(ledger, word)
    return len(known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("step", choices=("site", "days", "send", "readers"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("n", type=int, nargs="?", default=16)
    given = parser.parse_args()
    if given.step == "site":
        make_site(given.folder)
        print(f"{sum(n for _, n, _ in FILMS.values())} films in {given.folder}.")
    elif given.step == "days":
        print(f"{pass_days(given.folder)} alarm.")
    elif given.step == "send":
        print(f"{send(given.folder, given.n)} films of the new scanner have arrived.")
    else:
        with open_ledger(ledger_of(given.folder)) as ledger:
            print(f"{label(ledger, given.folder)} films labelled.")


if __name__ == "__main__":
    main()
