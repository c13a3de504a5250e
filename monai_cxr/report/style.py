"""Page style: the one style sheet of the report, for the screen and for paper."""

from __future__ import annotations

from monai_cxr.report.plot_frame import PLOT_STYLE

PAGE_STYLE = (
    """
:root{--ink:#1f2328;--soft:#59636e;--rule:#d8dee4;--paper:#fff;--wash:#f5f7f9;--blue:#0072B2;
--warn:#8a4b00;--warnwash:#fff6e8}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--wash);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:32px auto;padding:44px 48px 56px;background:var(--paper);
border:1px solid var(--rule);border-radius:10px}
header p{margin:0}
.kicker{color:var(--blue);font-weight:600;font-size:13px;letter-spacing:.02em}
h1{font-size:30px;line-height:1.2;margin:4px 0 8px;font-weight:650;letter-spacing:-.01em}
.lead{color:var(--soft);max-width:70ch}
h2{font-size:19px;margin:44px 0 4px;font-weight:650;letter-spacing:-.005em}
h2+p{margin-top:2px}
p{max-width:78ch}
h3{font-size:15px;margin:26px 0 2px;font-weight:650}
.hint{color:var(--soft);font-size:13.5px;margin:0 0 14px}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:0;margin:26px 0 6px;
border:1px solid var(--rule);border-radius:8px;overflow:hidden}
.tile{padding:16px 20px;border-left:1px solid var(--rule)}
.tile:first-child{border-left:0}
.tile b{display:block;font-size:27px;line-height:1.2;font-weight:620;letter-spacing:-.01em}
.tile span{display:block;color:var(--soft);font-size:13px}
.warnings{background:var(--warnwash);border-left:4px solid #E69F00;border-radius:4px;
padding:10px 18px;margin:18px 0;color:var(--warn);font-size:14px}
.warnings ul{margin:4px 0;padding-left:18px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{font-weight:600;color:var(--soft);font-size:12.5px;text-align:right;vertical-align:bottom;
padding:6px 7px;border-bottom:1.5px solid var(--ink);line-height:1.25}
td{padding:0 7px;height:25px;text-align:right;border-bottom:1px solid #eaeef2;white-space:nowrap}
th:first-child,td:first-child,th.text,td.text{text-align:left}
td:first-child,th:first-child{padding-left:0}
td.text{white-space:normal}
td.plot,th.plot{padding:0 4px;width:170px;text-align:center}
td.plot svg,th.plot svg{display:block;margin:0 auto}
td small{color:var(--soft);font-size:12px}
tr.mean td{border-top:1.5px solid var(--ink);border-bottom:0;font-weight:600;padding-top:6px}
tr.head td{padding-top:16px;padding-bottom:3px;font-weight:600;border-bottom:1px solid var(--rule)}
td.none{color:var(--soft);font-style:italic}
.panels{display:grid;grid-template-columns:repeat(7,1fr);gap:14px 4px;margin:8px 0 0 -6px}
.panels svg{width:100%;height:auto;display:block}
.films{display:flex;flex-wrap:wrap;gap:22px}
.films figure{margin:0;break-inside:avoid}
.films div{display:flex;gap:4px}
.films img,.films i{width:158px;height:158px;object-fit:cover;background:#0d1117;border-radius:4px}
.films figcaption{max-width:320px;font-size:12.5px;line-height:1.4;margin-top:5px;color:var(--soft);
overflow-wrap:anywhere}
.films figcaption b{color:var(--ink);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 22px;font-size:13.5px;margin:8px 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.limits{font-size:14px;padding-left:18px;max-width:82ch}
.limits li{margin:5px 0}
footer{margin-top:36px;padding-top:12px;border-top:1px solid var(--rule);color:var(--soft);
font-size:13px}
.key{display:inline-block;width:22px;height:0;border-top:2px solid var(--blue);
vertical-align:middle;
margin-right:5px}
.key.other{border-top:2px dashed #D55E00}
.key.chance{border-top:1.5px dashed #8c959f}
table.narrow{width:auto}table.narrow td,table.narrow th{padding-right:26px}
table.dense{font-size:12px}table.dense th{font-size:11px;padding:6px 4px}
table.dense td{padding:0 4px}
table.dense td:first-child{white-space:normal;line-height:1.25;min-width:150px;padding:3px 0}
tr.own td{font-weight:650;border-bottom:1.5px solid var(--ink)}
.sources{columns:2;column-gap:34px;font-size:12px;color:var(--soft);padding-left:16px;
margin:12px 0 0}
.sources li{margin:2px 0;break-inside:avoid;overflow-wrap:anywhere}
@media screen and (max-width:1080px){.scroll{overflow-x:auto}
table{font-size:11.5px}th{font-size:11px;padding:5px 3px}td{padding:0 3px}td small{font-size:10px}
td.plot,th.plot{width:92px;padding:0}td.plot svg,th.plot svg{width:92px;height:auto}
table.dense,table.dense th{font-size:10px}table.dense td,table.dense th{padding-left:2px;
padding-right:2px}table.dense td:first-child{min-width:96px}}
@media screen and (max-width:700px){.sources{columns:1}}
@media screen and (max-width:900px){main{margin:0;padding:24px 18px;border:0;border-radius:0}
.tiles{grid-template-columns:repeat(2,1fr)}.tile:nth-child(3){border-left:0}
.tile:nth-child(n+3){border-top:1px solid var(--rule)}
.panels{grid-template-columns:repeat(auto-fill,minmax(140px,1fr))}h1{font-size:25px}}
@page{size:A4;margin:12mm 13mm}
@media print{body{background:#fff;font-size:9.5pt;-webkit-print-color-adjust:exact;
print-color-adjust:exact}
main{max-width:none;margin:0;padding:0;border:0}
h1{font-size:19pt}h2{font-size:12.5pt;margin:15pt 0 1pt;break-after:avoid}
.hint{font-size:8.5pt;line-height:1.35;break-after:avoid;margin-bottom:4pt;max-width:none}
table{font-size:8pt}th{font-size:7.4pt;padding:3pt 3pt}td{padding:1pt 3pt}td small{font-size:7pt}
td.plot,th.plot{width:104px;padding:0}td.plot svg,th.plot svg{width:104px;height:auto}
td{height:auto}.figure{break-inside:avoid}
.tiles{margin:9pt 0 4pt}.warnings{margin:8pt 0;padding:5pt 12pt;font-size:8.5pt}
.tile{padding:6pt 10pt}.tile b{font-size:16pt}.tile span{font-size:8pt}
tr,.panels svg{break-inside:avoid}thead{display:table-header-group}
.panels{grid-template-columns:repeat(5,1fr);gap:3px 2px;max-width:172mm}
.films img,.films i{width:29mm;height:29mm}
.films{gap:10px}
.films figcaption{max-width:59mm;font-size:7.5pt}.warnings,.tiles,dl{break-inside:avoid}
h3{font-size:10.5pt;margin:9pt 0 1pt;break-after:avoid}
table.dense{font-size:6.8pt}table.dense th{font-size:6.2pt;padding:3pt 1.5pt}
table.dense td{padding:1pt 1.5pt}table.dense td:first-child{min-width:30mm}
.sources{columns:3;column-gap:14pt;font-size:6.5pt;margin-top:5pt}.wide,tbody.group{break-inside:avoid}
dl,.limits{font-size:8pt;line-height:1.35}.limits{break-inside:avoid;margin:3pt 0}
.limits li{margin:2pt 0}dl{gap:1pt 14pt}}
"""
    + PLOT_STYLE
)
