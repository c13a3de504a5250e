"""OHIF itself, as npm publishes it built, served before a DICOMweb service of the same origin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import requests
from http_peer import Quiet, answering

CONFIGURATION = """
window.config = {
  routerBasename: null, extensions: [], modes: [], customizationService: {}, showStudyList: true,
  maxNumberOfWebWorkers: 1, showWarningMessageForCrossOrigin: false, showLoadingIndicator: true,
  showCPUFallbackMessage: false, strictZSpacingForVolumeViewport: true,
  maxNumRequests: { interaction: 10, thumbnail: 5, prefetch: 5 }, defaultDataSourceName: 'peer',
  investigationalUseDialog: { option: 'never' },
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'peer',
    configuration: {
      friendlyName: 'peer', name: 'peer', wadoUriRoot: '/dicom-web', qidoRoot: '/dicom-web',
      wadoRoot: '/dicom-web', qidoSupportsIncludeField: false, imageRendering: 'wadors',
      thumbnailRendering: 'wadors', enableStudyLazyLoad: true, supportsFuzzyMatching: false,
      supportsWildcard: true, omitQuotationForMultipartRequest: true,
      bulkDataURI: { enabled: true, relativeResolution: 'studies' },
    },
  }],
};
"""


@contextlib.contextmanager
def running_ohif(dist: Path, dicom_web: str, user: tuple[str, str]) -> Iterator[str]:
    """Serve the viewer of a folder, and pass ``/dicom-web`` on; gives its address.

    Args:
        dist: Folder ``dist`` of the npm package ``@ohif/app``.
        dicom_web: Address of the DICOMweb service.
        user: Who asks it.
    """

    class Handler(Quiet, SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/dicom-web"):
                return self.passed_on()
            if path == "/app-config.js":
                return self.answer(200, "text/javascript", CONFIGURATION.encode())
            if not (dist / path.lstrip("/")).is_file():
                self.path = "/index.html"  # a page of the application
            return super().do_GET()

        def passed_on(self) -> None:
            accept = {"Accept": self.headers.get("Accept", "*/*")}
            address = dicom_web + self.path.removeprefix("/dicom-web")
            answer = requests.get(address, auth=user, headers=accept, timeout=60)
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            self.answer(answer.status_code, kind, answer.content)

    with answering(partial(Handler, directory=str(dist))) as url:
        yield url
