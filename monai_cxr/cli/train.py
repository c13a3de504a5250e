"""Model verbs: train, package, ensemble, verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.arguments import DryRunOption, LabelFloorOption, TrackingOption, WorkersOption
from monai_cxr.cli.output import JsonOption, emit, note, progress, say

ConformalOption = Annotated[
    float,
    typer.Option(
        metavar="ALPHA",
        help="Promised error of the rules for absent, uncertain and present. 0: no such rules.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(train)
    app.command()(package)
    app.command()(ensemble)
    app.command()(verify)


def train(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="Folder of a bundle or run, or the name of a bundle; or use --from.",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Index with train and val splits, or an .npz file of MedMNIST."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="Folder of the run.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Named settings of the bundle: release, chexnet, pneumonia, "
            "pneumoniamnist, student (with --set teacher=BUNDLE); or a JSON file."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a config id, e.g. image_size=224, max_epochs=30, weighting=chexnet, "
            "loss=focal, architecture=resnet18, head=csra, findings=Pneumonia, "
            "initial_weights=model.pt, train::augmentation::rotate_degrees=10. Repeatable; goes "
            "before the preset.",
        ),
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Further settings, as with --set."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Transfer: start from the configs and weights of this bundle. Findings may "
            "differ. trainable=head makes a linear probe, backbone_rate=0.1 sets discriminative "
            "rates.",
        ),
    ] = None,
    tracking: TrackingOption = None,
    bundle_out: Annotated[
        Path | None,
        typer.Option(
            "--package", metavar="DIR", help="Package the finished run as a bundle in this folder."
        ),
    ] = None,
    dry_run: DryRunOption = False,
    label_floor: LabelFloorOption = 0.8,
    json: JsonOption = False,
) -> None:
    """Train a bundle: write its configs into RUN, print the plain MONAI command, run it.

    If it is stopped, repeat the command: it continues after the last complete epoch.

    Example: monai-cxr train chest_xray_classification --index split.parquet --out run
    """
    import shlex

    from monai_cxr.training.run import request, workflow

    if bundle is not None and "=" in bundle:  # train --from BUNDLE key=value
        more, bundle = [bundle, *(more or ())], None
    if index is None or out is None:
        raise typer.BadParameter("Training needs --index and --out.")
    settings = [*(setting or ()), *(more or ())]
    wanted = request.TrainingRequest(
        bundle, index, out, settings, preset, source, tracking, label_floor
    )
    with progress("films") as report:
        command = request.prepare(wanted, progress=report)
    note(shlex.join(command))
    if not dry_run:
        workflow.train(command)
        if bundle_out is not None:
            from monai_cxr.bundle import packaging

            verified = packaging.package(out, bundle_out)
            if not json:
                _tell(verified, bundle_out, json)
    if json:
        made = {"run": out, "command": command, "weights": out / "models" / "model.pt"}
        emit({**made, "bundle": bundle_out})
    else:
        say(f"Run: {out}")


def package(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder made by train; with --zip or --hub also a packaged bundle."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the bundle.")],
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file written by calibrate. Default: fit it here on the val split."),
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Rule for the operating points, for example youden or specificity>=0.90. "
            "Default: that of the run."
        ),
    ] = None,
    conformal: ConformalOption = 0.1,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="A file written by thresholds, to include. Default: choose rules here on the "
            "val split."
        ),
    ] = None,
    zip_file: Annotated[
        bool,
        typer.Option(
            "--zip",
            help="Also write DIR_vVERSION.zip, as MONAI's model zoo and monai.bundle.download "
            "expect it.",
        ),
    ] = False,
    hub: Annotated[
        bool,
        typer.Option(
            "--hub",
            help="Lay DIR out as a Hugging Face repository: a README.md with the model card's "
            "metadata.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a bundle of a run: weights, calibration, operating points, priors, digests.

    Example: monai-cxr package run --out bundle
    """
    from monai_cxr.bundle import packaging, publishing, verification

    if rules is not None and criterion is not None:
        raise typer.BadParameter("--rules holds chosen operating points: leave --criterion away.")
    if publishing.is_packaged(run) and (zip_file or hub):
        if calibration or criterion or rules:
            raise typer.BadParameter(
                f"'{run.name}' is packaged: --calibration, --criterion and --rules need a run."
            )
        publishing.copy_packaged(run, out)
        verified = verification.verify(out)
    else:
        chosen = {"calibration": calibration, "rules": rules}
        verified = packaging.package(
            run, out, criterion=criterion, alpha=conformal or None, **chosen
        )
    if hub:
        page = publishing.write_hub_page(out)
        note(f"Hub page: {page}")
    zipped = publishing.zip_bundle(out) if zip_file else None
    _tell(verified, out, json, zipped)


def ensemble(
    bundles: Annotated[
        list[str], typer.Argument(metavar="BUNDLE...", help="Two or more packaged bundles.")
    ],
    index: Annotated[
        Path,
        typer.Option(
            help="Index whose val films, on which no member was trained, calibrate the ensemble."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new bundle.")],
    criterion: Annotated[
        str, typer.Option(help="Rule for the operating points, for example specificity>=0.90.")
    ] = "sensitivity>=0.90",
    conformal: ConformalOption = 0.1,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Make one bundle of several: mean logits, calibration and operating points of their own.

    Its predictions have a column of the members' disagreement for each finding.

    Example: monai-cxr ensemble bundle_a bundle_b --index split.parquet --out together
    """
    from monai_cxr.bundle.joining import join

    verified = join(
        bundles, index, out, criterion=criterion, alpha=conformal or None, workers=workers
    )
    _tell(verified, out, json)


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a packaged bundle.")],
    json: JsonOption = False,
) -> None:
    """Check a bundle: digests first, then configs, classes, weights, calibration, a forward pass.

    Example: monai-cxr verify bundle
    """
    from monai_cxr.bundle.verification import verify as run_check

    _tell(run_check(bundle), bundle, json)


def _tell(verified: object, folder: Path, json: bool, zipped: Path | None = None) -> None:
    facts = asdict(verified)  # type: ignore[call-overload]
    if json:
        emit({**facts, "bundle": folder, **({} if zipped is None else {"zip": zipped})})
        return
    say(f"Bundle {facts['name']} {facts['version']}: {facts['n_files']} files as packaged.")
    if facts["not_packaged"]:
        say(f"Not packaged, and not used: {', '.join(facts['not_packaged'])}.")
    say(f"Model digest: {facts['digest']}")
    say(f"Bundle: {folder}")
    if zipped is not None:
        say(f"Zip: {zipped}")
