"""Promotion: a challenger that passed takes the champion's place, by a signer; and the way back."""

from __future__ import annotations

from pathlib import Path

from monai_cxr.bundle.digests import file_digest
from monai_cxr.errors import SettingsError
from monai_cxr.lifecycle import shadow
from monai_cxr.lifecycle.attempt import PLAN_NAME, Attempt, read_attempt
from monai_cxr.lifecycle.plan import read_plan
from monai_cxr.lifecycle.registry import (
    REGISTRY_NAME,
    Event,
    Registry,
    add_version,
    changing,
    check_version,
    record,
)
from monai_cxr.lifecycle.verdict import PASSED


def adopt(folder: Path, bundle: Path, *, by: str, reason: str) -> str:
    """Add a version; the first one of a registry becomes its champion.

    Args:
        folder: Of the registry; it is made where it is missing.
        bundle: A packaged bundle.
        by: Who answers for it.
        reason: On which evidence, in words.

    Returns:
        The version's digest.

    Raises:
        SettingsError: If nobody answers for it.
        InvalidBundle: If the bundle is not as it was packaged.
    """
    _require(by, "--signer")
    _require(reason, "--reason")
    with changing(folder) as registry:
        registry, version = add_version(registry, bundle, by=by, reason=reason)
        if not registry.champions and not any(e.action == "promote" for e in registry.events):
            record(registry, Event("promote", version, by, "", reason))
    return version


def promote(folder: Path, *, by: str, registry_folder: Path | None = None) -> str:
    """Make the challenger of an attempt the champion.

    Args:
        folder: Of the attempt.
        by: One of the plan's signers.
        registry_folder: The registry; the attempt's own by default.

    Returns:
        The new champion's digest.

    Raises:
        SettingsError: If the attempt did not pass, was changed, or started from another champion,
            lacks a shadow that the plan asks for, or the signer is none of the plan's.
        InvalidBundle: If the version in the registry was changed.
    """
    attempt = read_attempt(folder)
    where = registry_folder or (folder / str(attempt.content["registry"])).resolve()
    if not (where / REGISTRY_NAME).is_file():
        raise SettingsError(
            f"The registry '{where.name}' of this attempt is not there. Name it with --registry."
        )
    with changing(where) as registry:
        version = _passed(attempt, registry)
        _require_signer(attempt, by)
        if registry.champions[-1:] == (version,):
            raise SettingsError(f"Version {version[:12]} is the champion already.")
        before = str(attempt.content["basis"]["champion"])
        if registry.champions[-1:] != (before,):
            raise SettingsError(
                f"The champion is no longer the one that this attempt was judged against "
                f"({before[:12]}). Make another attempt."
            )
        _require_shadow(attempt, registry, version)
        check_version(registry, version)
        record(registry, Event("promote", version, by, "", "passed the gate", attempt.digest))
    return version


def rollback(folder: Path, *, by: str, reason: str, expected: str | None = None) -> str:
    """Make the champion before the present one the champion again.

    Args:
        folder: Of the registry.
        by: Who decides.
        reason: In words.
        expected: First digits of the champion that is to go. With it, a command that is repeated
            after a crash goes back once, not twice.

    Returns:
        The digest of the champion that is in use again.

    Raises:
        SettingsError: If there is no earlier champion, or the present one is not the expected one.
        InvalidBundle: If the earlier champion was changed; nothing happens then.
    """
    _require(by, "--signer")
    _require(reason, "--reason")
    if not (folder / REGISTRY_NAME).is_file():
        raise SettingsError(
            f"'{folder.name}' is no registry. Expected a folder with {REGISTRY_NAME}."
        )
    with changing(folder) as registry:
        champions = registry.champions
        if expected is not None and not (champions and champions[-1].startswith(expected)):
            now = champions[-1][:12] if champions else "none"
            raise SettingsError(
                f"The champion is {now}, not {expected}. It was rolled back already, or another "
                "was promoted: see monai-cxr registry show."
            )
        if len(champions) < 2:
            raise SettingsError("There is no earlier champion to go back to.")
        earlier = champions[-2]
        check_version(registry, earlier)
        record(registry, Event("rollback", earlier, by, "", reason))
    return earlier


def _passed(attempt: Attempt, registry: Registry) -> str:
    """The version that an attempt, unchanged since, put into the registry."""
    name = attempt.folder.name
    if attempt.outcome != PASSED:
        raise SettingsError(
            f"The attempt '{name}' is {attempt.outcome or 'not finished'}, so nothing is promoted. "
            "Expected one that passed the gate."
        )
    events = [e for e in registry.events if e.action == "attempt" and e.evidence == attempt.digest]
    if not events:
        raise SettingsError(
            f"The registry '{registry.folder.name}' does not know the attempt '{name}' as it is: "
            "its record was changed, or it belongs to another registry."
        )
    attempt.check_files()
    return events[0].version


def _require_signer(attempt: Attempt, by: str) -> None:
    plan = attempt.folder / PLAN_NAME
    if file_digest(plan) != attempt.content["basis"]["plan"]:
        raise SettingsError(f"The plan of the attempt '{attempt.folder.name}' was changed.")
    signers = read_plan(plan).signers
    if by not in signers:
        raise SettingsError(
            f"'{by}' is none of the plan's signers. Expected --signer as one of: "
            f"{', '.join(signers)}."
        )


def _require_shadow(attempt: Attempt, registry: Registry, version: str) -> None:
    wanted = read_plan(attempt.folder / PLAN_NAME).shadow.films
    if wanted and not shadow.is_shown(attempt, registry.events, version):
        raise SettingsError(
            f"The plan asks for {wanted} films that the challenger reads beside the champion, and "
            "the registry knows no such shadow that passed. Run: monai-cxr shadow "
            f"{attempt.folder.name} --settings FILE"
        )


def _require(value: str, option: str) -> None:
    if not value.strip():
        raise SettingsError(f"Expected {option} in words, but it is empty.")
