"""Learning from little: pretrain, and on frozen features probe and few-shot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.arguments import DryRunOption, TrackingOption, WorkersOption
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Folder of a bundle whose features are used.")
]


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(pretrain)
    app.command()(probe)
    app.command(name="few-shot")(few_shot)


def pretrain(
    index: Annotated[
        Path,
        typer.Argument(metavar="INDEX", help="An index with splits; its train films are seen."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run.")],
    bundle: Annotated[
        str, typer.Option(help="Folder or name of a pretraining bundle.")
    ] = "chest_xray_pretraining",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a config id, e.g. pretext=moco, image_size=64, max_epochs=100, "
            "architecture=resnet18, initial_weights=BUNDLE. Repeatable.",
        ),
    ] = None,
    tracking: TrackingOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Learn features from films without labels, by the plain MONAI command that it prints.

    Two views of a film, or two films of a study, are brought together. The weights go on by
    monai-cxr train --set initial_weights=RUN. Patients of val and test are never seen. Stopped, it
    continues from the last complete epoch when the same command is given again.

    Example: monai-cxr pretrain demo/index.parquet --out pretrained --set image_size=64
    """
    import shlex

    from monai_cxr.training.run import request, workflow

    wanted = request.TrainingRequest(bundle, index, out, setting or (), tracking=tracking)
    with progress("films") as report:
        command = request.prepare(wanted, progress=report)
    note(shlex.join(command))
    if not dry_run:
        workflow.train(command)
    if json:
        emit({"run": out, "command": command, "weights": out / "models" / "model.pt"})
    else:
        say(f"Run: {out}")


def probe(
    bundle: BundleArgument,
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="An index with splits.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of curve.csv.")] = Path(
        "probe"
    ),
    share: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Share of patients. Default: 0.01, 0.05, 0.2, 1."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of patients.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Ask what frozen features know: linear models on growing shares of patients.

    It tests views and makers as well: features that know the maker can learn a shortcut.
    The curve is a table that labels budget reads.

    Example: monai-cxr probe demo/bundle demo/index.parquet --out probe
    """
    from monai_cxr.bundle.learning.probe import SHARES
    from monai_cxr.bundle.learning.probe import probe as run_probe
    from monai_cxr.tables import write_table

    curve, probed = run_probe(
        bundle, index, shares=share or SHARES, draws=draws, seed=seed, workers=workers
    )
    write_table(curve, out / "curve.csv")
    if json:
        emit({"probed": probed, "curve": out / "curve.csv"})
        return
    rows = [(one.target, one.n, str(one.auroc)) for one in probed]
    show("Linear probe", ("target", "patients", "AUROC (95 % interval over draws)"), rows)
    say(f"Curve: {out / 'curve.csv'}")


def few_shot(
    bundle: BundleArgument,
    finding: Annotated[str, typer.Option(help="Name of the new finding, a column of the index.")],
    index: Annotated[Path, typer.Option(help="Films with labels of the finding.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new bundle.")],
    shots: Annotated[
        int | None,
        typer.Option(min=1, help="Positive and negative patients. Default: all labelled films."),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            help="A finding of the bundle that the new one is a site's own head for: its labels "
            "are learned from, and both heads are judged on the same films."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of patients.")] = 0,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Add a finding to a bundle from a few films; its old findings stay as they are.

    Example: monai-cxr few-shot demo/bundle --finding Calcification --index labelled.parquet
    --shots 16 --out demo/with_calcification

    monai-cxr few-shot demo/bundle --finding Effusion_here --beside Effusion --index split.parquet
    --out demo/with_own_effusion
    """
    from monai_cxr.bundle.learning.few_shot import add_finding

    made = add_finding(
        bundle, finding, index, out, shots=shots, beside=beside, seed=seed, workers=workers
    )
    if json:
        emit({"few_shot": made, "bundle": out})
        return
    say(
        f"Learned {made.finding} from {made.n} films, {made.n_positive} positive; stated "
        f"prevalence {made.prevalence:.3f}."
    )
    say(
        f"AUROC {made.auroc} on {made.n_judged} films of the val split, one a patient."
        if made.n_judged
        else "No film of split val has a label, so nothing says how well it does."
    )
    if made.beside is not None:
        known = made.beside
        say(
            f"The bundle's own {known.finding} has {known.auroc} there; the new head minus this is "
            f"{known.gain} (DeLong, paired)."
        )
    say(f"Bundle: {out}")
