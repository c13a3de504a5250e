"""A MONAI Deploy application: films of a folder in, a JSON file and a structured report a film out.

    pip install monai-deploy-app-sdk
    pip install -r deploy/serving.txt && pip install --no-deps .
    python deploy/monai_deploy/app.py -i films -m bundle -o out

``-m`` is a packaged bundle; with an export (``monai-cxr export bundle --to onnx``) torch is not
needed. A film that is refused has its reason code in ``predictions.json`` and gets no report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, Fragment, Operator, OperatorSpec

from monai_cxr import BundleModel, InputError, Prediction, read_for_model
from monai_cxr.atomic import write_text
from monai_cxr.data.folder import film_paths
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.reading.files import read_bytes

Film = tuple[Path, Prediction | None, str]
"""A path, what the model says of it, and the reason where it says nothing."""


class ReadFilms(Operator):
    """Reads each film of the input folder and lets the bundle predict it."""

    def __init__(self, fragment: Fragment, *args: Any, model: BundleModel, folder: Path, **kw: Any):
        self.model, self.folder = model, folder
        super().__init__(fragment, *args, **kw)

    def setup(self, spec: OperatorSpec) -> None:
        """One output: the films with their predictions."""
        spec.output("films")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Predict the folder."""
        op_output.emit(list(self._films()), "films")

    def _films(self) -> Iterator[Film]:
        for path in film_paths(self.folder):
            try:
                yield path, self.model.predict([read_for_model(path)])[0], ""
            except InputError as error:
                yield path, None, error.reason


class WriteResults(Operator):
    """Writes ``predictions.json`` and a structured report for each film that has a prediction."""

    def __init__(self, fragment: Fragment, *args: Any, model: BundleModel, out: Path, **kw: Any):
        self.model, self.out = model, out
        super().__init__(fragment, *args, **kw)

    def setup(self, spec: OperatorSpec) -> None:
        """One input: what ``ReadFilms`` gives."""
        spec.input("films")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Write the results."""
        self.out.mkdir(parents=True, exist_ok=True)
        rows = []
        for path, prediction, reason in op_input.receive("films"):
            row: dict[str, Any] = {"film": path.name, "reason": reason}
            if prediction is not None:
                row["probabilities"] = {s.finding: s.probability for s in prediction.scores}
                try:
                    row["report"] = self._report(path, prediction)
                except InputError as error:  # such as a PNG, which belongs to no study
                    row["not_reported"] = error.reason
            rows.append(row)
        content = {"model": self.model.identity.digest, "films": rows}
        write_text(self.out / "predictions.json", json.dumps(content, indent=2) + "\n")

    def _report(self, path: Path, prediction: Prediction) -> str:
        film = ReportedFilm(read_bytes(path)[0], prediction)
        report = structured_report(film, **self.model.stated)
        name = f"{report.sop_uid}.dcm"
        (self.out / name).write_bytes(report.data)
        return name


class ChestFilms(Application):
    """The whole: read, predict, write."""

    def compose(self) -> None:
        """Two operators and the one flow between them."""
        context: AppContext = Application.init_app_context(self.argv)
        model = BundleModel.load(Path(context.model_path))
        read = ReadFilms(
            self, CountCondition(self, 1), model=model, folder=Path(context.input_path),
            name="read_films",
        )  # fmt: skip
        write = WriteResults(self, model=model, out=Path(context.output_path), name="write_results")
        self.add_flow(read, write, {("films", "films")})


if __name__ == "__main__":
    ChestFilms().run()
