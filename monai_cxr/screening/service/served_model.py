"""Served model: the bundle that a service reads with now, and the one that made a result.

The settings name a path. Where it is a registry's link ``champion``, it leads to another bundle
after a promotion or a rollback; the service follows, and what it delivers of a result is stated by
the bundle that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.digests import DIGESTS_NAME
from monai_cxr.bundle.engines.by_name import digests_served
from monai_cxr.bundle.model import (
    CALIBRATION_NAME,
    bundle_digest,
    require_findings,
)
from monai_cxr.errors import SettingsError

if TYPE_CHECKING:
    from monai_cxr.bundle.model import BundleModel

_VERSIONS = "versions"
"""Folder of a registry in which its versions lie side by side."""


@dataclass(slots=True)
class ServedModel:
    """A path to a bundle that may come to lead elsewhere.

    Attributes:
        path: Of the settings.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...
    """

    path: Path
    device: str = "auto"
    _loaded: Path | None = field(default=None, init=False, repr=False)
    _made_by: dict[str, Path] = field(default_factory=dict, init=False, repr=False)

    @property
    def bundle(self) -> Path:
        """The folder that the path leads to now."""
        return find_bundle(self.path)

    def load(self) -> BundleModel:
        """Load what the path leads to now."""
        from monai_cxr.bundle.model import BundleModel

        folder = self.bundle
        model = BundleModel.load(folder, device=self.device)
        self._loaded, self._made_by[model.identity.digest] = folder, folder
        return model

    @property
    def has_moved(self) -> bool:
        """Whether the path leads elsewhere than when it was loaded; a missing bundle has not."""
        try:
            return self.path.resolve(strict=True) != self._loaded
        except OSError:
            return False

    def require_calibrated(self) -> None:
        """Miss a calibration or a finding at the start, not at the first report.

        Raises:
            InvalidBundle: If a file is not as it was packaged, or the bundle has no finding.
            SettingsError: If there is no calibration.
        """
        bundle_digest(self.bundle)
        findings = read_config(self.bundle, "inference").get("findings", ())
        require_findings(self.bundle.name, findings)
        if not (self.bundle / CALIBRATION_NAME).is_file():
            raise SettingsError("The bundle is not calibrated, so its results cannot be reported.")

    def made(self, digest: str) -> Path:
        """The bundle that made a result: it, or another version of the registry.

        Args:
            digest: Of the model as it was served.

        Returns:
            Its folder; the present one where none fits, as after a registry was cut down.
        """
        if digest not in self._made_by:
            self._made_by |= {
                served: folder for folder in self._candidates() for served in digests_served(folder)
            }
        return self._made_by.setdefault(digest, self.bundle)

    def _candidates(self) -> Iterator[Path]:
        now = self.bundle
        if now.parent.name == _VERSIONS:
            yield from (one for one in now.parent.iterdir() if (one / DIGESTS_NAME).is_file())
        else:
            yield now
