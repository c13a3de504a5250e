"""Films that crash, hang or bloat their decoder, planted wherever many films are read.

    python benchmarks/reader_faults.py --json faults.json
    python benchmarks/reader_faults.py --bundle demo/bundle --films 16 --places service cache

Every place gets the same folder of phantom films twice: as it is, and with four films among them
whose decoding ends its process by SIGSEGV or SIGKILL, never returns, or takes memory without end
(benchmarks/planted wraps the decoder in every process, that of the place included). A reader may
take --timeout seconds and --memory GiB for a film. The places:

    predict    monai-cxr predict
    cache      monai-cxr cache
    archive    monai-cxr screen archive
    ray        monai-cxr screen archive --ray local
    service    monai-cxr screen run; all films come by C-STORE, and C-ECHO is asked meanwhile
    folder     the viewer's folder
    upload     the viewer's uploads

Printed are the seconds of both runs, and what became of each film. Ends with 1 if a planted film
has another reason than its own, if a film without a fault has no result, if a process of the place
ended, or if the listener kept anybody waiting for longer than --timeout.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from planted_places import PLACES, Reasons, uids_of, view

from monai_cxr.phantom import PhantomSettings, write_dicom_archive

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from planted_faults import REASONS, plant


def draw(target: Path, n: int) -> None:
    """Phantom films, side by side."""
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="faults-archive-") as drawn:
        settings = PhantomSettings(n_patients=n, seed=11, size=128, mean_films_per_patient=1.0)
        write_dicom_archive(Path(drawn), settings, workers=1)
        for number, path in enumerate(sorted(Path(drawn).rglob("*.dcm"))[:n]):
            path.replace(target / f"film-{number:03}.dcm")


def planted(clean: Path, target: Path) -> Reasons:
    """Copy the films, and plant the faults among them; the reasons that they should get."""
    shutil.copytree(clean, target)
    film = next(iter(sorted(clean.glob("*.dcm"))))
    return {
        plant(film, target / f"film-{number:03}-planted.dcm", fault): reason
        for number, (fault, reason) in enumerate(REASONS.items())
    }


def make_bundle(work: Path) -> Path:
    """A small bundle of phantom films, where none is named."""
    from monai_cxr.bundle.packaging import package
    from monai_cxr.data.folder import index_folder
    from monai_cxr.data.splits import split_by_patient
    from monai_cxr.tables import write_table
    from monai_cxr.training.run import workflow

    settings = PhantomSettings(n_patients=40, seed=7, size=128, mean_films_per_patient=1.2)
    labels = write_dicom_archive(work / "training", settings, workers=1)
    index, _ = index_folder(work / "training", labels)
    write_table(split_by_patient(index, (0.5, 0.3, 0.2), seed=0), work / "index.parquet")
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 14}
    network |= {"init_features": 16, "growth_rate": 8, "block_config": [2, 2]}
    run_settings = {"image_size": 32, "batch_size": 8, "max_epochs": 1, "num_workers": 0}
    run_settings["network_def"] = network
    prepared = workflow.prepare_run(
        "chest_xray_classification", work / "index.parquet", work / "run", run_settings
    )
    workflow.train(prepared)
    package(work / "run", work / "bundle")
    return work / "bundle"


def measure(options: argparse.Namespace, place: str, work: Path, wanted: Reasons) -> dict:
    """Seconds of a place with and without the faults, and what was lost."""
    row: dict[str, object] = {"place": place}
    lost: list[str] = []
    for kind, expected in (("clean", {}), ("planted", wanted)):
        films, here = work / kind, work / f"{place}-{kind}"
        here.mkdir()
        began = time.monotonic()
        try:
            reasons = PLACES[place](options, films, here)
        except (RuntimeError, OSError, ValueError) as error:
            lost.append(f"{kind}: {error}")
            continue
        row[f"{kind}_s"] = round(time.monotonic() - began, 2)
        for uid in uids_of(films).values():
            got, should = reasons.get(uid, "no row"), expected.get(uid, "")
            if got != should:
                lost.append(f"{kind}: a film has '{got}' and should have '{should}'")
        if kind == "planted":
            row["reasons"] = sorted(reasons.get(uid, "no row") for uid in wanted)
            row["n_others"] = len(reasons) - len(wanted)
    return {**row, "lost": lost}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: a small one is trained")
    parser.add_argument("--films", type=int, default=12, help="without a fault")
    parser.add_argument("--places", nargs="+", choices=list(PLACES), default=list(PLACES))
    parser.add_argument("--timeout", type=float, default=20.0, help="of a reader, in seconds")
    parser.add_argument("--memory", type=float, default=0.5, help="of a reader, in GiB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--viewer", choices=("folder", "upload"), help=argparse.SUPPRESS)
    parser.add_argument("films_of_viewer", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.viewer:
        view(options)
        return 0
    places = list(options.places)
    if "ray" in places and importlib.util.find_spec("ray") is None:
        print("ray is not installed: pip install 'monai-cxr[ray]'; this place is left out")
        places.remove("ray")
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        work = Path(name)
        options.bundle = options.bundle or make_bundle(work)
        draw(work / "clean", options.films)
        wanted = planted(work / "clean", work / "planted")
        rows = []
        for place in places:
            rows.append(measure(options, place, work, wanted))
            show(rows[-1])
    if options.json:
        limits = {"timeout_s": options.timeout, "memory_gib": options.memory}
        content = {"n_films": options.films, "limits": limits, "places": rows}
        options.json.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return 1 if any(row["lost"] for row in rows) else 0


def show(row: dict) -> None:
    seconds = [f"{k} {row[f'{k}_s']:.1f} s" for k in ("clean", "planted") if f"{k}_s" in row]
    reasons = ", ".join(row.get("reasons", []))
    others = f"{row.get('n_others', 0)} others with a result"
    print(f"{row['place']:<9}{', '.join(seconds)}; {reasons}; {others}; {len(row['lost'])} lost")
    for line in row["lost"]:
        print(f"{'':<9}{line}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
