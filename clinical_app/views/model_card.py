"""Model page: what the model is, how well it does, what a threshold trades, where it fails."""

from __future__ import annotations

import math

import streamlit as st

from clinical_app import charts, session, tables
from clinical_app.service import Service
from clinical_app.views import model_changes
from monai_cxr.findings import title_of
from monai_cxr.prediction import OperatingPoint
from monai_cxr.review import performance_file as performances
from monai_cxr.review import trade
from monai_cxr.review.performance_file import PerformanceFile
from monai_cxr.review.statements import point_rows, trade_of
from monai_cxr.review.trade import CurvePoint


def page() -> None:
    """Draw the page."""
    service, _ = session.gate("model")
    with st.container(key="narrow"):
        if service.model is None:
            st.title("No model is loaded")
            st.write("Films can be viewed. Start the viewer with a bundle to score them.")
            return
        identity = service.model.identity
        st.title(f"{identity.name} {identity.version}")
        st.caption(f"Digest {identity.digest} · {identity.runtime} · {_RESEARCH}")
        if service.bundle_changed:
            st.warning(
                "The bundle on disk was changed since this viewer started. This page and "
                "the scores still belong to the one loaded before. Restart to use the new one."
            )
        if service.performance is not None:
            _performance(service, service.performance)
        else:
            st.info(
                "No performance.json of this model was found in its bundle or in a report folder "
                "beside it. `monai-cxr evaluate` writes one."
            )
        st.header("Operating points in use")
        tables.show(point_rows(service.model.operating_points))
        if service.registry is not None or service.ledger is not None:
            st.header("History")
            model_changes.draw(service)
        _card(service)


_FEWEST_POINTS = 2
_RESEARCH = "Research use only, not a medical device."


def _performance(service: Service, performance: PerformanceFile) -> None:
    for column, (name, value, detail) in zip(
        st.columns(4), performances.headline(performance), strict=True
    ):
        column.metric(name, value)
        column.caption(detail)
    finding = st.selectbox(
        "Finding", performance.findings, format_func=title_of, key="model_finding"
    )
    left, right = st.columns([1.2, 1.0], gap="large")
    with left:
        _trade(service, performance, finding)
    with right:
        st.header("Calibration")
        points = performances.reliability_points(performance, finding)
        charts.show(charts.reliability(points), "calibration")
        st.caption("On the dashed line, of films given 30 %, 30 in 100 have the finding.")
    st.header("How well the model detects each finding")
    tables.show(performances.performance_rows(performance))
    groups = performances.subgroup_rows(performance)
    if groups:
        st.header("Subgroups")
        tables.show(groups)
    st.header("Limitations")
    for sentence in performances.limitations(performance):
        st.markdown(f"- {sentence}")


def _trade(service: Service, performance: PerformanceFile, finding: str) -> None:
    st.header("What a threshold trades")
    percents = st.number_input(
        "Prevalence at your site (%)",
        min_value=0.1,
        max_value=99.0,
        value=_site_prevalence(service, performance, finding),
        step=0.5,
        key=f"prevalence_{finding}",
    )
    points = trade.choices(trade.curve_points(performance, finding))
    if len(points) < _FEWEST_POINTS:
        st.write("There is no curve: these data have no films with the finding, or none without.")
        return
    in_use = service.model.operating_points.get(finding) if service.model else None
    word = st.select_slider(
        "Flag from this probability on",
        options=list(points),
        value=trade.nearest(points, in_use.threshold if in_use else math.nan),
        key=f"threshold_{finding}",
    )
    prevalence = percents / 100.0
    chosen = trade.trade_at(performance, finding, points[word], prevalence)
    if chosen is not None:
        st.markdown(trade.trade_sentence(chosen))
        columns = trade.trade_columns(chosen, trade_of(in_use, prevalence))
        st.table(
            {
                name: {row: tables.as_written(words) for row, words in column.items()}
                for name, column in columns.items()
            },
            border="horizontal",
        )
    curve = [_place(point) for point in points.values()]
    charts.show(charts.roc(curve, _place(points[word]), _used(in_use)), "roc")
    st.caption(
        "Circle: chosen here, on the films of this evaluation. Diamond: in use, on the films that "
        "chose it. Intervals assume independent films. The slider changes no setting."
    )


def _place(point: CurvePoint) -> tuple[float, float]:
    return 1.0 - point.specificity, point.sensitivity


def _used(point: OperatingPoint | None) -> tuple[float, float] | None:
    if point is None:
        return None
    return 1.0 - point.specificity.estimate, point.sensitivity.estimate


def _site_prevalence(service: Service, performance: PerformanceFile, finding: str) -> float:
    known = service.settings.prevalence.get(finding)
    item = performance.content[finding]
    measured = item.prevalence if item.n_positive else 0.01
    return min(max((known or measured) * 100.0, 0.1), 99.0)


def _card(service: Service) -> None:
    card = service.bundle / "docs" / "README.md" if service.bundle else None
    if card is not None and card.is_file():
        with st.expander("Model card"):
            st.markdown(card.read_text(encoding="utf-8", errors="replace"))
