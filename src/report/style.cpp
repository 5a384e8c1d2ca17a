#include "report/style.h"

namespace ssa::report {

// The eight colours of runs differ for readers with and without colour blindness, and stand out
// from the page (tests/report/palette_test.cpp). Each has another shade on a dark page.
std::string_view style_sheet() {
  return R"css(
:root { color-scheme: light dark;
  --page: #fcfcfb; --ink: #1b1b19; --soft: #5c5b57; --rule: #e3e2de; --axis: #a9a8a2;
  --box: #f4f3f0; --heat: #1c5cab;
  --s0: #2495da; --s1: #980000; --s2: #00534b; --s3: #819a00;
  --s4: #ab1c90; --s5: #916641; --s6: #5857d1; --s7: #c57a8c; }
@media (prefers-color-scheme: dark) { :root {
  --page: #1a1a19; --ink: #f1f0ec; --soft: #b6b5ae; --rule: #34342f; --axis: #6b6a64;
  --box: #242422; --heat: #6da7ec;
  --s0: #829ce6; --s1: #e59f00; --s2: #88ccb0; --s3: #61fc70;
  --s4: #bc389a; --s5: #d5070d; --s6: #5a5bf1; --s7: #bc807b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(0.9rem, 3vw, 2.5rem) 3rem; max-width: 98rem;
  background: var(--page); color: var(--ink); overflow-wrap: break-word;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 0.6rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; padding-top: 0.8rem;
  border-top: 1px solid var(--rule); }
.runs { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.4rem 1.6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
main > section:first-child > h2 { border-top: none; margin-top: 0.8rem; }
.runs li { margin: 0 0 0.5rem; }
.about, footer { color: var(--soft); font-size: 0.9rem; max-width: 95ch; }
.missing { color: var(--soft); font-size: 0.9rem; margin: 0.8rem 0 0; padding-left: 1.2rem; }
.legend { margin: 0 0 0.6rem; display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; }
.facts { display: grid; gap: 0.8rem 1.6rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
.facts > div { background: var(--box); border-radius: 6px; padding: 0.6rem 0.9rem; }
.facts dt { color: var(--soft); font-size: 0.85rem; }
.facts dd { margin: 0; }
.facts b { font-size: 1.15rem; }
nav { font-size: 0.9rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { margin: 0.25rem 0; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--ink); text-decoration: underline; }
nav.beside { display: none; }
nav.above { position: sticky; top: 0; z-index: 2; background: var(--page); padding: 0.2rem 0;
  border-bottom: 1px solid var(--rule); }
section { scroll-margin-top: 2.6rem; }
@media (min-width: 1300px) {
  body { display: grid; grid-template-columns: 12rem minmax(0, 1fr); column-gap: 2.5rem; }
  header, main, footer { grid-column: 2; }
  header { grid-row: 1; }
  nav.above { display: none; }
  nav.beside { display: block; grid-column: 1; grid-row: 1 / span 3; position: sticky; top: 1.5rem;
    align-self: start; max-height: calc(100vh - 3rem); overflow-y: auto; }
  section { scroll-margin-top: 0.5rem; } }
ul.about { padding-left: 1.2rem; margin: 0.4rem 0; }
h3 { font-size: 1rem; margin: 1rem 0 0.3rem; }
.set-off > * { background: var(--box) !important; color: var(--ink); }
.run { overflow-wrap: anywhere; }
.style { color: var(--soft); }
svg.chip { width: 22px; height: 10px; margin-right: 0.15rem; overflow: visible; }
svg.scale { width: 112px; height: 12px; vertical-align: -1px; }
/* A shadow at the right edge shows that a table goes on there. */
.scroll { overflow-x: auto;
  background: linear-gradient(to left, var(--page) 2rem, transparent) right / 4rem 100% no-repeat
      local, linear-gradient(to left, var(--rule), transparent) right / 1.2rem 100% no-repeat; }
table { border-collapse: collapse; font-size: 0.92rem; }
th, td { padding: 0.28rem 1.1rem 0.28rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 400; color: var(--soft); }
tr:first-child th { color: var(--ink); vertical-align: bottom; }
td { font-variant-numeric: tabular-nums; }
th .run { overflow-wrap: normal; }
tr > :first-child { position: sticky; left: 0; min-width: 8.5rem; background: var(--page); }
.by-run tr > :first-child { min-width: min(21rem, 42vw); }
.numbers td { white-space: nowrap; }
.numbers td, .numbers tr:first-child th:not(:first-child) { text-align: right; }
.charts { display: grid; gap: 0.8rem 1.6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.charts + .legend { margin-top: 1.2rem; }
figure + .legend { margin-top: 0.4rem; font-size: 0.9rem; }
.charts > div { min-width: 0; }
.charts > div > :first-child { margin-top: 0; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: 0.92rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 560px; overflow: visible; }
figure svg svg { overflow: hidden; }
text { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
text.note { fill: var(--ink); font-size: 11px; paint-order: stroke; stroke: var(--page);
  stroke-width: 3px; }
.c0 { --c: var(--s0); } .c1 { --c: var(--s1); } .c2 { --c: var(--s2); } .c3 { --c: var(--s3); }
.c4 { --c: var(--s4); } .c5 { --c: var(--s5); } .c6 { --c: var(--s6); } .c7 { --c: var(--s7); }
path { fill: none; stroke: none; }
.grid { stroke: var(--rule); }
.axis { stroke: var(--axis); }
.line { stroke: var(--c, var(--soft)); stroke-width: 2; stroke-linejoin: round; }
.line:hover { stroke-width: 4; }
.thin { stroke: var(--c, var(--soft)); stroke-width: 1.2; stroke-opacity: 0.55;
  stroke-linejoin: round; }
.dashed, .mark { stroke: var(--c, var(--soft)); stroke-width: 1.4; stroke-dasharray: 5 4; }
.crowded .thin { stroke-opacity: 0.22; }
.dot { fill: var(--c, var(--soft)); stroke: var(--page); stroke-width: 1; }
.whisker { stroke: var(--c, var(--soft)); stroke-width: 1.4; }
.best { fill: none; stroke: var(--ink); stroke-width: 1.6; }
.band { fill: var(--c); fill-opacity: 0.16; }
.bar { fill: var(--c, var(--soft)); fill-opacity: 0.75; }
.heat { fill: var(--heat); shape-rendering: crispEdges; }
.past { fill: var(--box); }
.own { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 2; }
.target { stroke: var(--ink); stroke-width: 1.6; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin: 0 0 1.2rem; }
.pictures img { display: block; width: 100%; image-rendering: pixelated; }
.pictures figcaption { font-weight: 400; color: var(--soft); font-size: 0.85rem; }
.latest { flex: 0 1 30rem; }
.strip { flex: 1 1 20rem; display: grid; gap: 0.8rem; align-content: start;
  grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.strip figure { max-width: 14rem; }
pre { background: var(--box); padding: 0.8rem 1rem; border-radius: 6px; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre.sample { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 28rem; overflow-y: auto; }
code { font: 0.92em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; }
@media (max-width: 600px) {
  table { font-size: 0.85rem; }
  th, td { padding-right: 0.7rem; }
  tr > :first-child { min-width: 7rem; }
  .by-run tr > :first-child { min-width: 42vw; } }
@media print { nav { display: none !important; } .scroll, pre { overflow: visible; } pre { white-space: pre-wrap; } }
)css";
}

}  // namespace ssa::report
