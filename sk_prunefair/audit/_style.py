"""The style sheet of the page: narrow and wide screens, light and dark, paper."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b2129; --soft: #57606c;
  --line: #d9dee4; --box: #f5f7f9; --lost: #b2430c; --gained: #0a69a8; --good: #1a6f37;
  --bad: #b3261e; --focus: #0a69a8; }
@media (prefers-color-scheme: dark) { :root { --paper: #11161c; --ink: #e5e9ee; --soft: #a3adb8;
  --line: #323b45; --box: #1a2129; --lost: #ff9a5a; --gained: #6fb9f2; --good: #63cf85;
  --bad: #ff8f86; --focus: #6fb9f2; } }
* { box-sizing: border-box; }
html { background: var(--paper); -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  max-width: 70rem; margin: 0 auto; padding: 2rem 1.5rem 3rem;
  font-variant-numeric: tabular-nums; }
h1, h2, p, li, dt, dd, caption, figcaption, summary, span { overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; margin: 0; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .75rem; }
p, main li { max-width: 46rem; }
a { color: var(--gained); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
section { margin: 3rem 0 0; }
.subtitle { color: var(--soft); margin: .35rem 0 0; }
#summary { margin-top: 1.5rem; }
.verdict { font-size: 1.25rem; line-height: 1.4; font-weight: 600; margin: 0 0 1rem;
  max-width: none; }
.findings { border: 1px solid var(--bad); border-left-width: .35rem; border-radius: .4rem;
  padding: .75rem 1rem; margin: 0 0 1.25rem; }
.findings p { margin: 0; color: var(--bad); }
.findings ul { margin: .25rem 0 0; padding-left: 1.2rem; }
.promise { margin: 0 0 1rem; padding: .5rem .9rem; border-left: .35rem solid;
  background: var(--box); border-radius: .2rem; max-width: none; }
.promise.kept { border-color: var(--good); }
.promise.broken { border-color: var(--bad); }
.promise span { font-weight: 700; }
.kept span { color: var(--good); }
.broken span { color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: .9rem;
  margin: 1.25rem 0 0; }
.cards > div { background: var(--box); border: 1px solid var(--line); border-radius: .5rem;
  padding: .85rem 1rem; }
.cards dt { font-size: .875rem; font-weight: 400; color: var(--soft); }
.cards dd { margin: 0; }
.cards .big { font-size: 1.3rem; font-weight: 650; line-height: 1.3; margin: .15rem 0 .2rem; }
.cards small { font-size: .875rem; font-weight: 400; }
.cards .more { font-size: .875rem; line-height: 1.45; }
.cards .more + .more { margin-top: .35rem; }
nav { margin: 1.5rem 0 0; font-size: .875rem; }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: .35rem 1.25rem; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--soft); font-size: .875rem; max-width: 46rem; margin: 0 0 .75rem; }
.bars ol { list-style: none; margin: 0; padding: 0; }
.bar { display: grid; grid-template-columns: minmax(0, 15rem) minmax(0, 1fr) 9.25rem 6.5rem;
  column-gap: 1.25rem; align-items: center; max-width: none; }
.bars li { border-top: 1px solid var(--line); }
.bars li:last-child { border-bottom: 1px solid var(--line); }
.bar.all { font-weight: 600; }
.who { padding: .2rem 0; line-height: 1.3; }
.bar small { color: var(--soft); font-size: .8125rem; font-weight: 400; white-space: nowrap; }
.cell { position: relative; align-self: stretch; min-height: 28px; }
.bar svg { display: block; width: 100%; overflow: visible; }
.cell svg { position: absolute; inset: 0; height: 100%; }
.bar .axis { grid-column: 2; height: 20px; }
.value, .change { text-align: right; white-space: nowrap; font-size: .9375rem; }
.change { font-weight: 600; }
svg text { font-size: 12px; fill: var(--soft); }
.grid { stroke: var(--line); stroke-width: 1; }
.zero { stroke: var(--soft); stroke-width: 1; }
.stem { stroke-width: 3; }
.before { fill: var(--paper); stroke: var(--soft); stroke-width: 2; }
.whisker { stroke: var(--ink); stroke-width: 1; }
.cap { fill: var(--ink); transform: translate(-.5px, -5px); }
.row.lost .stem { stroke: var(--lost); }
.row.lost .after { fill: var(--lost); }
.row.gained .stem { stroke: var(--gained); }
.row.gained .after { fill: var(--gained); }
.row.same .stem { stroke: var(--soft); }
.row.same .after { fill: var(--soft); }
.plot { padding: 0 .75rem 2rem 3rem; }
.plot figcaption { margin-left: -3rem; }
.curves { display: block; width: 100%; max-width: 46rem; height: 280px; overflow: visible; }
.curves polyline { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
polyline.other { stroke: var(--soft); stroke-width: 1; opacity: .55; }
polyline.worst { stroke: var(--lost); stroke-width: 2.5; stroke-dasharray: 6 4; }
polyline.overall { stroke: var(--ink); stroke-width: 3.5; }
circle.worst { fill: var(--lost); }
circle.overall { fill: var(--ink); }
details { margin: 1rem 0 0; }
summary { cursor: pointer; font-weight: 600; padding: .35rem 0; width: fit-content; }
.scroll { overflow-x: auto; margin: .5rem 0 0; }
table { border-collapse: separate; border-spacing: 0; font-size: .9375rem; }
caption { text-align: left; color: var(--soft); font-size: .875rem; padding: .3rem 0; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
thead th { vertical-align: bottom; max-width: 11rem; font-weight: 500; font-size: .875rem;
  color: var(--soft); }
th[scope=row], thead th:first-child { text-align: left; min-width: 8rem; max-width: 20rem;
  padding-left: 0; }
tbody th { font-weight: 500; overflow-wrap: anywhere; position: sticky; left: 0;
  background: var(--paper); }
td { max-width: 18rem; white-space: nowrap; }
td bdi { white-space: normal; overflow-wrap: anywhere; }
section > dl:not(.cards), details > dl { margin: 0; }
dl:not(.cards) > div { display: grid; grid-template-columns: 15rem minmax(0, 1fr); gap: 0 1.25rem;
  padding: .3rem 0; }
dt { font-weight: 500; }
dl:not(.cards) dt { color: var(--soft); }
dd { margin: 0; max-width: 46rem; }
main > section > ul > li { margin: .35rem 0; }
figure img { max-width: 100%; min-width: 34rem; height: auto; background: #fff; }
figure img.wide { min-width: 56rem; }
footer { border-top: 1px solid var(--line); margin-top: 3rem; font-size: .875rem;
  color: var(--soft); }
@media (max-width: 44rem) {
  body { padding: 1.25rem 1rem 2rem; }
  h1 { font-size: 1.375rem; }
  section { margin-top: 2.25rem; }
  .verdict { font-size: 1.0625rem; margin-bottom: .75rem; }
  .cards { grid-template-columns: 1fr; gap: .5rem; margin-top: .75rem; }
  .cards > div { padding: .55rem .85rem; }
  .cards .big { font-size: 1.125rem; margin: 0; }
  .cards small, .cards .more, .cards dt { font-size: .8125rem; }
  .cards .more + .more { margin-top: .15rem; }
  .bar { grid-template: "who value" auto "plot change" auto / minmax(0, 1fr) 9rem;
    column-gap: .75rem; }
  .bar .cell, .bar .axis { grid-area: plot; }
  .who { grid-area: who; }
  .value { grid-area: value; }
  .change { grid-area: change; }
  .bar.head { grid-template: "plot ." auto / minmax(0, 1fr) 9rem; }
  tbody th { max-width: 9rem; }
  dl:not(.cards) > div { grid-template-columns: minmax(0, 1fr); }
}
@media print {
  @page { size: A4; margin: 15mm; }
  :root { color-scheme: light; --paper: #ffffff; --ink: #000000; --soft: #444b54; --line: #c3c9d0;
    --box: #f5f7f9; --lost: #b2430c; --gained: #0a69a8; --good: #1a6f37; --bad: #b3261e; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  nav, summary { display: none; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  section { margin-top: 1.5rem; }
  .cards { grid-template-columns: repeat(4, 1fr); gap: .5rem; }
  .cards > div { padding: .5rem .6rem; }
  .cards .big { font-size: 1.05rem; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .12rem .35rem; }
  td { white-space: normal; }
  thead th { font-size: 7.5pt; }
  tbody th { min-width: 0; position: static; background: none; }
  thead, tbody tr:first-child { break-after: avoid; }
  figure.plot, tr, .bar, .cards > div { break-inside: avoid; }
  figure img, figure img.wide { min-width: 0; }
  h2, figcaption, caption, .head { break-after: avoid; }
}
"""
