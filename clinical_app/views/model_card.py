"""Model page: what the model is, how well it does, what a threshold trades, where it fails."""

from __future__ import annotations

import math

import streamlit as st

from clinical_app import charts, session
from clinical_app.service import Service
from monai_cxr.prediction import OperatingPoint
from monai_cxr.review import performance_file as performances
from monai_cxr.review.performance_file import PerformanceFile, Trade
from monai_cxr.review.statements import point_rows
from monai_cxr.review.words import percent
from monai_cxr.review.worklist import title_of


def page() -> None:
    """Draw the page."""
    service, _ = session.gate("model")
    with st.container(key="narrow"):
        if service.model is None:
            st.title("No model is loaded")
            st.write("Films can be looked at. Start the viewer with a bundle to have them read.")
            return
        identity = service.model.identity
        st.title(f"{identity.name} {identity.version}")
        st.caption(f"Digest {identity.digest} · {identity.runtime} · {_RESEARCH}")
        if service.performance is not None:
            _performance(service, service.performance)
        else:
            st.info(
                "No performance.json of this model was found in its bundle or in a report folder "
                "beside it. `monai-cxr evaluate` writes one."
            )
        st.header("Operating points in use")
        st.dataframe(
            point_rows(service.model.operating_points),
            hide_index=True,
            width="stretch",
            height="content",
        )
        _card(service)


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
    left, right = st.columns(2, gap="large")
    with left:
        _trade(service, performance, finding)
    with right:
        st.header("Calibration")
        st.vega_lite_chart(
            charts.reliability(performances.reliability_points(performance, finding))
        )
        st.caption("On the dashed line, films called 30 % have the finding in 30 of 100.")
    st.header("How well each finding is told apart")
    st.dataframe(
        performances.performance_rows(performance),
        hide_index=True,
        width="stretch",
        height="content",
    )
    groups = performances.subgroup_rows(performance)
    if groups:
        st.header("Subgroups")
        st.dataframe(groups, hide_index=True, width="stretch", height="content")
    st.header("Limitations")
    for sentence in performances.limitations(performance):
        st.markdown(f"- {sentence}")


def _trade(service: Service, performance: PerformanceFile, finding: str) -> None:
    st.header("What a threshold trades")
    model = service.model
    point = model.operating_points.get(finding) if model else None
    prevalence = st.number_input(
        "Prevalence at your site (%)",
        min_value=0.1,
        max_value=99.0,
        value=_site_prevalence(service, performance, finding),
        step=0.5,
        key=f"prevalence_{finding}",
    )
    wanted = st.slider(
        "Share of the films with it that must be found (%)",
        min_value=50,
        max_value=100,
        value=90,
        key="wanted",
    )
    curve = performances.trades(performance, finding, prevalence / 100.0)
    trade = performances.trade_at(curve, wanted / 100.0)
    if trade is None:
        st.write("These data have no films with it, or none without: there is no curve.")
        return
    _sentence(trade)
    chosen = (1.0 - trade.specificity, trade.sensitivity)
    drawn = [(1.0 - item.specificity, item.sensitivity) for item in curve]
    st.vega_lite_chart(charts.roc(drawn, chosen, _in_use(point)))
    st.caption("Circle: chosen here. Diamond: the operating point in use. Nothing is changed.")


def _sentence(trade: Trade) -> None:
    threshold = "" if math.isnan(trade.threshold) else f" (threshold {percent(trade.threshold)})"
    st.markdown(
        f"Of 1,000 films: **{trade.found:.0f} found, {trade.missed:.0f} missed, "
        f"{trade.false_alarms:.0f} false alarms**{threshold}. A flag is right in "
        f"{percent(trade.ppv)}, no flag in {percent(trade.npv)}."
    )


def _in_use(point: OperatingPoint | None) -> tuple[float, float] | None:
    if point is None:
        return None
    return 1.0 - point.specificity.estimate, point.sensitivity.estimate


def _site_prevalence(service: Service, performance: PerformanceFile, finding: str) -> float:
    known = service.settings.prevalence.get(finding)
    measured = performance.content["findings"][finding]["prevalence"] or 0.01
    return min(max((known or measured) * 100.0, 0.1), 99.0)


def _card(service: Service) -> None:
    card = service.bundle / "docs" / "README.md" if service.bundle else None
    if card is not None and card.is_file():
        with st.expander("Model card"):
            st.markdown(card.read_text(encoding="utf-8", errors="replace"))
