"""Theme: a dark reading-room theme and a light one, as Streamlit's options; the page frame."""

from __future__ import annotations

from typing import Any

_DARK = {
    "primaryColor": "#6cb6ff",
    "backgroundColor": "#0c0f13",
    "secondaryBackgroundColor": "#14191f",
    "textColor": "#dfe5ec",
    "borderColor": "#2b333d",
    "linkColor": "#8cc8ff",
}
_LIGHT = {
    "primaryColor": "#0b5cad",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f3f5f8",
    "textColor": "#1c2229",
    "borderColor": "#ccd4dd",
    "linkColor": "#0b5cad",
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

FRAME = """
<style>
/* One type scale: every length of type is a multiple of the root's, which follows the screen. */
@media (min-width: 2000px) { html:root { font-size: 16px; } }
@media (min-width: 2000px) and (min-height: 2000px) { html:root { font-size: 24px; } }
.stMainBlockContainer, .block-container { padding: 4.1rem 1rem .6rem; max-width: none; }
.stAppHeader { height: 3.4rem; min-height: 3.4rem; }
[data-testid="stMain"] :is(h1, h2) { font-weight: 650; letter-spacing: 0; }
[data-testid="stMain"] h1 { font-size: 1.57rem; padding: .3rem 0 .2rem; }
[data-testid="stMain"] h2 { font-size: 1.21rem; padding: .9rem 0 .1rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] :not(a) {
  color: inherit !important; }
[data-testid="stCaptionContainer"] { opacity: .82; }
[class*="st-key-chart_"] { flex: none; height: 21.5rem; }
[class*="st-key-chart_day_"] { height: 14.3rem; }
/* White letters on the dark theme's light blue are too faint: they follow the theme. */
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"] * {
  color: light-dark(#ffffff, #0c0f13) !important; }
/* The desk says by itself that the server is away, beside the film and not over it. */
body:has(.st-key-desk) [data-baseweb="modal"] { display: none !important; }
/* An answer: its state as a coloured edge, and in words. */
.answer { border-left: 4px solid #9aa6b2; padding: .1rem 0 .1rem .8rem; margin: .1rem 0 .5rem;
  font-size: 1.12rem; }
.answer.well { border-color: #56b4e9; } .answer.look { border-color: #e69f00; font-weight: 650; }
.thumbnail { width: 6.9rem; height: 6.9rem; display: grid; place-items: center; background: #000;
  border-radius: 4px; overflow: hidden; color: #9aa6b2; font-size: .86rem; }
.thumbnail > * { grid-area: 1 / 1; }
.thumbnail i { width: 6.9rem; height: 6.9rem; background: center / contain no-repeat; }
[data-testid="stMetricValue"] { font-size: 1.85rem; font-variant-numeric: tabular-nums; }
/* Where there is no film yet, the place to drop one is the page. */
[data-testid="stMain"]:not(:has(.st-key-upload_desk)) [data-testid="stFileUploaderDropzone"] {
  min-height: 50vh; display: grid; align-content: center; justify-items: center; gap: .8rem; }
.stMainBlockContainer:has(.st-key-narrow) { max-width: 88.5rem; margin: 0 auto; }
[data-testid="stMain"]:has(.st-key-narrow) { scrollbar-gutter: stable; }
</style>
"""
"""Slim frame: the film gets the screen."""


def theme_options(base: str) -> dict[str, Any]:
    """Streamlit's ``theme.*`` options."""
    options: dict[str, Any] = {"theme.font": _FONT, "theme.baseFontSize": 14}
    if base != "system":
        options["theme.base"] = base
    options |= {"theme.baseRadius": "6px", "theme.showWidgetBorder": True}
    named = {"dark": _DARK, "light": _LIGHT}
    if base in named:
        return options | {f"theme.{key}": value for key, value in named[base].items()}
    for name, colors in named.items():
        options |= {f"theme.{name}.{key}": value for key, value in colors.items()}
    return options
