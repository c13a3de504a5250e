"""Charts: the few plots that pages show, as Vega-Lite in the theme's colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

_FIRST, _SECOND = "#56b4e9", "#e69f00"  # Okabe and Ito: told apart by everybody
_SHARE = {"format": "%", "tickCount": 5}
_CELLS = {"format": "%d %b", "labelOverlap": True, "ticks": False, "grid": False}
_DAYS = {  # a date stands once, however few days there are; Vega takes this of time scales alone
    **_CELLS,
    "tickCount": {"interval": "day", "step": 1},
}


def show(chart: dict[str, Any], name: str) -> None:
    """Draw a chart as high as the theme says, in lengths of type, so that it follows the screen.

    Args:
        chart: Vega-Lite of one of the functions below.
        name: Its own on the page; ``day_...`` is a low one.
    """
    with st.container(key=f"chart_{name}"):
        st.vega_lite_chart(chart, height="stretch")


def _plot(layers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"layer": layers, "config": {"view": {"stroke": None}}}


def roc(
    curve: Sequence[tuple[float, float]], chosen: tuple[float, float] | None, in_use: Any
) -> dict[str, Any]:
    """A ROC curve with a chosen point and the operating point in use.

    Args:
        curve: (1 - specificity, sensitivity).
        chosen: A point of it, or None.
        in_use: The same of the bundle's operating point, or None.
    """
    x = {"field": "x", "type": "quantitative", "title": "1 - specificity", "axis": _SHARE}
    y = {"field": "y", "type": "quantitative", "title": "Sensitivity", "axis": _SHARE}
    layers = [
        {
            "data": {"values": [{"x": a, "y": b} for a, b in curve]},
            "mark": {"type": "line", "color": _FIRST, "interpolate": "step-after"},
            "encoding": {"x": x, "y": y, "order": {"field": "x"}},
        }
    ]
    for point, shape, color in ((in_use, "diamond", "#9aa6b2"), (chosen, "circle", _SECOND)):
        if point is not None:
            layers.append(
                {
                    "data": {"values": [{"x": point[0], "y": point[1]}]},
                    "mark": {"type": "point", "filled": True, "size": 130, "shape": shape}
                    | {"color": color, "opacity": 1},
                    "encoding": {"x": x, "y": y},
                }
            )
    return _plot(layers)


def reliability(points: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Observed share against stated probability, with the diagonal of perfect calibration."""
    x = {"field": "predicted", "type": "quantitative", "title": "Stated probability"}
    y = {"field": "observed", "type": "quantitative", "title": "Observed share"}
    ends = [{"predicted": 0, "observed": 0}, {"predicted": 1, "observed": 1}]
    axes = {"x": x | {"axis": _SHARE}, "y": y | {"axis": _SHARE}}
    return _plot(
        [
            {
                "data": {"values": ends},
                "mark": {"type": "line", "strokeDash": [5, 4], "color": "#9aa6b2"},
                "encoding": axes,
            },
            {
                "data": {"values": list(points)},
                "mark": {"type": "line", "point": {"filled": True, "size": 60}, "color": _FIRST},
                "encoding": axes,
            },
        ]
    )


def by_day(values: Sequence[tuple[str, float]], title: str, *, share: bool) -> dict[str, Any]:
    """Bars by day."""
    scale = {"domain": [0, 1]} if share else {}
    return {
        "data": {"values": [{"day": day, "value": value} for day, value in values]},
        "mark": {"type": "bar", "color": _FIRST, "size": 18},
        "encoding": {
            "x": {"field": "day", "type": "temporal", "title": None, "axis": _DAYS},
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": title,
                "scale": scale,
                "axis": _SHARE if share else {"tickMinStep": 1, "tickCount": 5},
            },
        },
        "config": {"view": {"stroke": None}},
    }


_RULE = "#9aa6b2"
_ALARM = "#d55e00"


def nearness(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How near charts have been to their limit: a row a chart, a cell a day, fuller is nearer."""
    x = {"field": "day", "type": "ordinal", "timeUnit": "yearmonthdate", "title": None}
    near = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": [0.06, 0.95]},
        "legend": {"title": "of the limit", "format": "%", "values": [0.25, 0.5, 0.75, 1]},
    }
    beyond = {"condition": {"test": "datum.share >= 1", "value": _ALARM}, "value": _FIRST}
    return {
        "data": {"values": list(values)},
        "mark": {"type": "rect"},
        "encoding": {
            "x": x | {"axis": _CELLS},
            "y": {
                "field": "chart",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": {"labelLimit": 320, "ticks": False, "domain": False},
            },
            "opacity": near,
            "color": beyond,
            "tooltip": [
                {"field": "chart", "title": "Chart"},
                {"field": "day", "type": "temporal", "title": "Day"},
                {"field": "share", "format": ".0%", "title": "Of the limit"},
            ],
        },
        "config": {"view": {"stroke": None}},
    }


def control(
    values: Sequence[dict[str, Any]], limit: float, changes: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """A control chart: what was too high upwards, too low downwards, limits, alarms, changes.

    Args:
        values: ``day``, ``up``, ``down``, ``films``, ``value`` and ``alarm``, day by day.
        limit: Of both sums.
        changes: (day, what was changed).
    """
    x = {"field": "day", "type": "temporal", "title": None, "axis": _DAYS}
    title = "CUSUM, standard deviations"
    tooltip = [
        {"field": "day", "type": "temporal", "title": "Day"},
        {"field": "value", "title": "Value"},
        {"field": "films", "title": "Films"},
        {"field": "up", "title": "Too high"},
        {"field": "down", "title": "Too low"},
    ]
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"at": limit}, {"at": -limit}]},
            "mark": {"type": "rule", "strokeDash": [5, 4], "color": _ALARM},
            "encoding": {"y": {"field": "at", "type": "quantitative", "title": title}},
        }
    ]
    for way, color in (("up", _FIRST), ("down", _SECOND)):
        y = {"field": way, "type": "quantitative", "title": title}
        layers.append(
            {
                "data": {"values": list(values)},
                "mark": {"type": "line", "color": color, "strokeWidth": 2},
                "encoding": {"x": x, "y": y, "tooltip": tooltip},
            }
        )
    highest = [{**one, "at": one["up"] if one["up"] > -one["down"] else one["down"]}
               for one in values if one["alarm"]]  # fmt: skip
    layers.append(
        {
            "data": {"values": highest},
            "mark": {"type": "point", "filled": True, "size": 55, "color": _ALARM, "opacity": 1},
            "encoding": {"x": x, "y": {"field": "at", "type": "quantitative"}, "tooltip": tooltip},
        }
    )
    late = values[len(values) * 2 // 3]["day"] if values else ""
    marked = [{"day": day, "what": what} for day, what in changes]
    rule = {"type": "rule", "color": _RULE, "strokeDash": [2, 3]}
    layers.append({"data": {"values": marked}, "mark": rule, "encoding": {"x": x}})
    for align, dx, is_late in (("left", 5, False), ("right", -5, True)):  # nothing is cut off
        layers.append(
            {
                "data": {"values": [one for one in marked if (one["day"] >= late) == is_late]},
                "mark": {"type": "text", "align": align, "dx": dx, "color": _RULE},
                "encoding": {"x": x, "y": {"value": 6}, "text": {"field": "what"}},
            }
        )
    return _plot(layers)
