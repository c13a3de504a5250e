"""MLflow mirror: a registry's versions and aliases in MLflow's model registry, where one is wanted.

The folder stays the registry: it decides, works without a server, and can be rolled back in
seconds. MLflow is brought in line with it, as often as wanted, by the digest that each version
carries as a tag.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from monai_cxr.atomic import write_json
from monai_cxr.errors import SettingsError
from monai_cxr.lifecycle.registry import Registry, check_version
from monai_cxr.optional import require

MIRROR_NAME = "mlflow.json"
_DIGEST, _STAGE, _ARTIFACTS = "digest", "stage", "bundle"
_BRIEF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Nothing is told to anybody else, and a server that is away is given up soon."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where a registry is mirrored.

    Attributes:
        uri: Of MLflow's tracking and registry server, or ``sqlite:///FILE``.
        name: Of the registered model.
    """

    uri: str
    name: str


def mirror_of(registry: Registry) -> Mirror | None:
    """Where this registry is mirrored; None where it is not.

    Raises:
        SettingsError: If the file that says so is damaged.
    """
    path = registry.folder / MIRROR_NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Mirror(str(content["uri"]), str(content["name"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"The {MIRROR_NAME} of '{registry.folder.name}' is damaged. Write it again: monai-cxr "
            "registry mirror --mlflow URI --name NAME"
        ) from None


def write_mirror(registry: Registry, mirror: Mirror) -> None:
    """Remember where a registry is mirrored.

    Raises:
        SettingsError: If the name is empty or the address holds a password.
    """
    if not mirror.name.strip() or not mirror.uri.strip():
        raise SettingsError("Expected --mlflow and --name, but one is empty.")
    if "@" in mirror.uri.partition("://")[2].partition("/")[0]:
        raise SettingsError(
            "A secret does not belong into the registry: leave it out of --mlflow, and set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    write_json(registry.folder / MIRROR_NAME, {"uri": mirror.uri, "name": mirror.name})


def bring_in_line(registry: Registry, mirror: Mirror) -> Mapping[str, str]:
    """Bring MLflow in line with a registry; what is there already is not sent again.

    Args:
        registry: As it stands.
        mirror: Where to.

    Returns:
        MLflow's version number by digest.

    Raises:
        SettingsError: If MLflow cannot be reached or refuses; the registry is as it was.
        MissingDependency: If mlflow is not installed.
        InvalidBundle: If a version was changed since it was added; nothing is sent then.
    """
    for version in registry.versions:
        check_version(registry, version)
    with _environment():
        mlflow = require("mlflow", extra="tracking")
        from mlflow.exceptions import MlflowException

        try:
            client = mlflow.MlflowClient(tracking_uri=mirror.uri, registry_uri=mirror.uri)
            numbers = _versions(client, registry, mirror.name)
            _aliases(client, registry, mirror.name, numbers)
        except (MlflowException, OSError) as error:
            raise SettingsError(
                f"MLflow could not be brought in line ({type(error).__name__}); the registry "
                f"'{registry.folder.name}' is as it should be. When MLflow is back: monai-cxr "
                f"registry mirror --registry {registry.folder.name}"
            ) from None
    return numbers


def _versions(client: Any, registry: Registry, name: str) -> dict[str, str]:
    """Create what is missing; gives MLflow's numbers by digest."""
    if not client.search_registered_models(filter_string=f"name='{name}'"):
        client.create_registered_model(name)
    known = {
        one.tags[_DIGEST]: str(one.version)
        for one in client.search_model_versions(f"name='{name}'")
        if _DIGEST in one.tags
    }
    for digest in registry.versions:
        if digest in known:
            continue
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name)
        run = client.create_run(number, tags={_DIGEST: digest})
        client.log_artifacts(run.info.run_id, str(registry.path_of(digest)), _ARTIFACTS)
        client.set_terminated(run.info.run_id)
        made = client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{_ARTIFACTS}",
            run_id=run.info.run_id,
            tags={_DIGEST: digest},
        )
        known[digest] = str(made.version)
    return known


def _aliases(client: Any, registry: Registry, name: str, numbers: Mapping[str, str]) -> None:
    """Set the aliases, and the stage of every version, of which many may be retired."""
    stages = {d: alias for alias, digests in registry.aliases.items() for d in digests}
    held = client.get_registered_model(name).aliases
    for alias, digests in registry.aliases.items():
        if digests:
            client.set_registered_model_alias(name, alias, numbers[digests[-1]])
        elif alias in held:
            client.delete_registered_model_alias(name, alias)
    for digest in registry.versions:
        client.set_model_version_tag(name, numbers[digest], _STAGE, stages.get(digest, "none"))


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _BRIEF}
    for name, value in _BRIEF.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
