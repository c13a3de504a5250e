"""Change verbs: plan, retrain, shadow, promote, rollback, registry."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, note, say, show

PlanArgument = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan, TOML.")]
SignerOption = Annotated[
    str, typer.Option(metavar="NAME", help="Name of the person who is responsible for it.")
]
ReasonOption = Annotated[str, typer.Option(help="Why, in words.")]
RegistryOption = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the registry.")]

plan_app = typer.Typer(
    no_args_is_help=True, help="Plan a change of a model: write, explain and seal its rules."
)
registry_app = typer.Typer(
    no_args_is_help=True, help="Versions of a model: add one, show which is in use and why."
)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    plan_app.command("new")(plan_new)
    plan_app.command("check")(plan_check)
    plan_app.command("seal")(plan_seal)
    app.add_typer(plan_app, name="plan")
    app.command()(retrain)
    app.command()(shadow)
    app.command()(promote)
    app.command()(rollback)
    registry_app.command("add")(registry_add)
    registry_app.command("show")(registry_show)
    registry_app.command("mirror")(registry_mirror)
    app.add_typer(registry_app, name="registry")


def plan_new(plan: PlanArgument, json: JsonOption = False) -> None:
    """Write a plan to fill in, with the reason of each line beside it.

    Example: monai-cxr plan new plan.toml
    """
    from monai_cxr.lifecycle.plan import write_plan

    write_plan(plan)
    if json:
        emit({"plan": plan})
        return
    say(f"Plan: {plan}")
    say(f"Fill it in, then: monai-cxr plan check {plan}")


def plan_check(plan: PlanArgument, json: JsonOption = False) -> None:
    """Check a plan and say in words what it allows and asks.

    Example: monai-cxr plan check plan.toml
    """
    from monai_cxr.lifecycle.plan import check_seal, read_plan, seal_path
    from monai_cxr.lifecycle.plan_words import plan_sentences

    sentences = plan_sentences(read_plan(plan))
    seal = check_seal(plan) if seal_path(plan).exists() else None
    if json:
        emit({"plan": plan, "sentences": sentences, "seal": seal and asdict(seal)})
        return
    for sentence in sentences:
        say(sentence)
    say(f"Sealed at {seal.at}, unchanged since." if seal else "Not sealed yet.")


def plan_seal(plan: PlanArgument, json: JsonOption = False) -> None:
    """Fix a plan and its locked test by SHA-256, before results on its data are seen.

    Example: monai-cxr plan seal plan.toml
    """
    from monai_cxr.lifecycle.plan import seal_path, seal_plan

    seal = seal_plan(plan)
    if json:
        emit({**asdict(seal), "seal": seal_path(plan)})
        return
    say(f"Plan SHA-256: {seal.plan}")
    say(f"Locked test SHA-256: {seal.locked_test}")
    say(f"Seal: {seal_path(plan)}")


def retrain(
    plan: PlanArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the attempt.")
    ] = None,
    attempts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Instead of --out: continue the attempt in DIR that is not finished, or begin one "
            "named by the day.",
        ),
    ] = None,
    if_due: Annotated[
        bool,
        typer.Option("--if-due", help="Only if a trigger of the plan fires; for cron."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make an attempt under a sealed plan: the smallest change first, judged by the gate.

    It promotes nothing. If it is stopped or killed, repeat the command: it continues where it was.
    The exit status is 1 when no kind of change passed.

    Example: monai-cxr retrain plan.toml --out attempt
    """
    from monai_cxr.errors import SettingsError
    from monai_cxr.lifecycle.retraining import next_attempt
    from monai_cxr.lifecycle.retraining import retrain as run
    from monai_cxr.lifecycle.verdict import PASSED

    if out is None and attempts is not None:
        out = next_attempt(plan, attempts)
    elif out is None or attempts is not None:
        raise SettingsError(
            "Expected --out DIR for one attempt, or --attempts DIR for a folder of attempts."
        )
    if if_due and not (reasons := _due(plan, out)):
        if json:
            emit({"attempt": None, "due": []})
        else:
            say("No attempt is due.")
        return
    if if_due:
        for reason in reasons:
            note(reason)
    attempt = run(plan, out, tell=note)
    tried = attempt.content["tried"]
    if json:
        emit({"attempt": out, "outcome": attempt.outcome, "tried": tried})
    else:
        rows = [(t["kind"], t["outcome"], str(out / t["kind"] / "gate.html")) for t in tried]
        show("Kinds of change, the smallest first", ("kind", "gate", "page"), rows)
        say(f"Attempt: {out} ({attempt.outcome})")
    if attempt.outcome != PASSED:
        raise typer.Exit(1)


def _due(plan: Path, out: Path) -> tuple[str, ...]:
    """Why an attempt is due; one that was begun is."""
    from time import time

    from monai_cxr.lifecycle.attempt import ATTEMPT_NAME, read_attempt
    from monai_cxr.lifecycle.plan import check_seal, read_plan
    from monai_cxr.lifecycle.registry import open_registry
    from monai_cxr.lifecycle.triggers import reasons_for

    check_seal(plan)
    if (out / ATTEMPT_NAME).is_file() and not read_attempt(out).outcome:
        return ("An attempt was begun and is not finished.",)
    content = read_plan(plan)
    return reasons_for(content, open_registry(content.registry), now=time())


def shadow(
    attempt: Annotated[
        Path, typer.Argument(metavar="ATTEMPT", help="An attempt that passed the gate.")
    ],
    settings: Annotated[
        str, typer.Option(metavar="FILE", help="The service's TOML, or its SQLite ledger.")
    ],
    films: Annotated[
        int | None, typer.Option(min=1, help="Films to read. Default: the plan's number.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Let a challenger read the live stream beside the champion; nothing is delivered.

    It uses the share of one processor that the plan states, and can be repeated after kill -9. The
    exit status is 1 when the share of flagged films rises beyond the plan's margin.

    Example: monai-cxr shadow attempt --settings screening.toml
    """
    from monai_cxr.lifecycle.shadow import keep_to_one_processor, run_shadow
    from monai_cxr.lifecycle.verdict import REFUSED

    keep_to_one_processor()
    found = run_shadow(attempt, settings, n_films=films, tell=note)
    if json:
        emit(found)
    else:
        columns = ("finding", "films", "champion flags", "challenger flags", "agree", "check")
        keys = ("finding", "n", "champion_rate", "challenger_rate", "agreement", "outcome")
        show(
            "Both on the same films", columns, [[one[k] for k in keys] for one in found["findings"]]
        )
        say(f"Shadow: {found['outcome']}, {found['n_films']} films.")
    if found["outcome"] == REFUSED:
        raise typer.Exit(1)


def promote(
    attempt: Annotated[Path, typer.Argument(metavar="ATTEMPT", help="Folder written by retrain.")],
    signer: SignerOption,
    registry: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Registry. Default: the attempt's own.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the challenger of an attempt that passed the champion; a signer of the plan decides.

    Example: monai-cxr promote attempt --signer "Dr Example"
    """
    from monai_cxr.lifecycle.attempt import read_attempt
    from monai_cxr.lifecycle.promotion import promote as run

    version = run(attempt, by=signer, registry_folder=registry)
    _mirror(registry or (attempt / str(read_attempt(attempt).content["registry"])))
    if json:
        emit({"champion": version, "signer": signer})
        return
    say(f"Champion: {version}")


def rollback(
    registry: RegistryOption,
    signer: SignerOption,
    reason: ReasonOption,
    expected: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DIGEST",
            help="Do it only if this is the champion, so that it is safe to repeat.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the champion before the present one the champion again.

    Example: monai-cxr rollback --registry registry --signer "Dr Example" --reason "Missed cases"
    """
    from monai_cxr.lifecycle.promotion import rollback as run

    version = run(registry, by=signer, reason=reason, expected=expected)
    _mirror(registry)
    if json:
        emit({"champion": version, "signer": signer})
        return
    say(f"Champion again: {version}")


def registry_add(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a packaged bundle.")],
    registry: RegistryOption,
    signer: SignerOption,
    reason: ReasonOption,
    json: JsonOption = False,
) -> None:
    """Add a packaged bundle; the first one of a registry becomes its champion.

    Example: monai-cxr registry add bundle --registry registry --signer "Dr Example" --reason
    "Local acceptance test"
    """
    from monai_cxr.lifecycle.promotion import adopt
    from monai_cxr.lifecycle.registry import open_registry

    version = adopt(registry, bundle, by=signer, reason=reason)
    _mirror(registry)
    aliases = open_registry(registry).aliases
    if json:
        emit({"version": version, "aliases": aliases})
        return
    alias = next((name for name, versions in aliases.items() if version in versions), "a version")
    say(f"{version}: {alias}")


def registry_show(registry: RegistryOption, json: JsonOption = False) -> None:
    """Show the versions, which alias leads to which, and who changed it when and why.

    Example: monai-cxr registry show --registry registry
    """
    from monai_cxr.errors import SettingsError
    from monai_cxr.lifecycle.registry import check_version, open_registry

    found = open_registry(registry)
    if not found.events:
        raise SettingsError(f"The registry '{registry.name}' is empty or not there.")
    for version in found.versions:
        check_version(found, version)
    if json:
        emit({"aliases": found.aliases, "events": [asdict(event) for event in found.events]})
        return
    show(
        "Aliases",
        ("alias", "versions"),
        [(name, ", ".join(v[:12] for v in versions)) for name, versions in found.aliases.items()],
    )
    show(
        "Events",
        ("at", "what", "version", "by", "reason"),
        [(e.at, e.action, e.version[:12] or "-", e.by, e.reason) for e in found.events],
    )


def registry_mirror(
    registry: RegistryOption,
    mlflow: Annotated[
        str, typer.Option(metavar="URI", help="MLflow's server. Default: the one given before.")
    ] = "",
    name: Annotated[
        str, typer.Option(help="Name of the registered model. Default: as before.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Bring MLflow's model registry in line: versions by digest, aliases champion and challenger.

    After a first run with --mlflow and --name, registry add, promote and rollback do it too. The
    folder decides and needs no server: if MLflow cannot be reached, repeat this later.

    Example: monai-cxr registry mirror --registry registry --mlflow http://127.0.0.1:5000 --name cxr
    """
    from monai_cxr.errors import SettingsError
    from monai_cxr.lifecycle import mlflow_mirror
    from monai_cxr.lifecycle.registry import open_registry

    found = open_registry(registry)
    if mlflow or name:
        mlflow_mirror.write_mirror(found, mlflow_mirror.Mirror(mlflow, name))
    mirror = mlflow_mirror.mirror_of(found)
    if mirror is None:
        raise SettingsError("Name MLflow's address and the model: --mlflow URI --name NAME.")
    numbers = mlflow_mirror.bring_in_line(found, mirror)
    if json:
        emit({"name": mirror.name, "versions": numbers})
        return
    show("In MLflow", ("version", "digest"), [(n, digest[:12]) for digest, n in numbers.items()])


def _mirror(folder: Path) -> None:
    """Bring MLflow in line where that was asked for; it never undoes what was decided."""
    from monai_cxr.errors import CXRError
    from monai_cxr.lifecycle.mlflow_mirror import bring_in_line, mirror_of
    from monai_cxr.lifecycle.registry import open_registry

    try:
        found = open_registry(folder)
        if (mirror := mirror_of(found)) is not None:
            bring_in_line(found, mirror)
    except CXRError as error:
        note(str(error))
