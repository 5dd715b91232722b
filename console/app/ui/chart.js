/** Series over time as stacked bars or lines, and the same figures as a table. */
import { html, useEffect, useRef, useState } from "../lib/html.js";
import uPlot from "uplot";
import { Segmented } from "./parts.js";

const COLOURS = 8;

/**
 * @typedef {{ name: string, values: number[], colour?: number }} Series colour: of the eight; by position if absent
 * @param {{ label: string, times: number[], series: Series[], format: (value: number) => string, stacked?: boolean, height?: number, timeFormat?: (time: number) => string }} props
 *   times: seconds since the epoch, ascending.
 */
export function Chart({ label, times, series, format, stacked = true, height = 220, timeFormat = dayAndHour }) {
  const [view, setView] = useState("chart");
  return html`<div class="chart-box">
    <div class="chart-view">
      <${Segmented} label=${`${label}: view`} options=${[["chart", "Chart"], ["table", "Table"]]} value=${view} onChange=${setView} /></div>
    ${view === "chart" ? html`<${Plot} ...${{ label, times, series, format, stacked, height, timeFormat }} />` : html`<${Figures} ...${{ label, times, series, format, timeFormat }} />`}
  </div>`;
}

/** @param {any} props */
function Plot({ label, times, series, format, stacked, height, timeFormat }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const [hover, setHover] = useState(/** @type {number | null} */ (null));
  useEffect(() => {
    const root = /** @type {HTMLElement} */ (element.current);
    const width = () => Math.max(200, root.clientWidth);
    const plot = new uPlot(optionsOf({ times, series, format, stacked, height, width: width(), onHover: setHover }), dataOf(times, series, stacked), root);
    const resize = new ResizeObserver(() => plot.setSize({ width: width(), height }));
    resize.observe(root);
    const redraw = () => plot.redraw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", redraw);
    return () => {
      resize.disconnect();
      dark.removeEventListener("change", redraw);
      plot.destroy();
    };
  }, [JSON.stringify([times, series, height, stacked])]);
  const at = hover ?? times.length - 1;
  return html`<div class="chart" ref=${element} role="img" aria-label=${`${label}; the table view has the figures`}></div>
    <div class="legend"><span class="num">${at >= 0 ? timeFormat(times[at]) : ""}</span>
      ${series.map((/** @type {Series} */ one, /** @type {number} */ index) => html`<span class="num"><i style=${{ background: `var(${colourOf(one, index)})` }}></i>${one.name} ${at >= 0 ? format(one.values[at] ?? 0) : ""}</span>`)}</div>`;
}

/** @param {any} props */
function Figures({ label, times, series, format, timeFormat }) {
  const newest = times.map((/** @type {number} */ time, /** @type {number} */ at) => ({ time, at })).reverse();
  return html`<div class="table-wrap" style=${{ maxHeight: "280px" }} tabindex="0" role="region" aria-label=${`${label} as a table`}><table>
    <thead><tr><th scope="col">Time</th>${series.map((/** @type {Series} */ one) => html`<th scope="col" class="right">${one.name}</th>`)}</tr></thead>
    <tbody>${newest.map((/** @type {any} */ { time, at }) => html`<tr><td class="nowrap">${timeFormat(time)}</td>${series.map((/** @type {Series} */ one) => html`<td class="right">${format(one.values[at] ?? 0)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** Cumulative sums, the topmost first, so that each bar is drawn over the one it stands on. @param {number[]} times @param {Series[]} series @param {boolean} stacked */
function dataOf(times, series, stacked) {
  if (!stacked) return [times, ...series.map((one) => one.values)];
  const sums = times.map(() => 0);
  const layers = series.map((one) => one.values.map((value, at) => (sums[at] += value ?? 0)));
  return [times, ...layers.reverse()];
}

/** @param {any} options */
function optionsOf({ times, series, format, stacked, height, width, onHover }) {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--border"), width: 1 }, ticks: { show: false }, font: "11px system-ui", gap: 6 };
  const order = series.map((/** @type {Series} */ _, /** @type {number} */ index) => index);
  if (stacked) order.reverse();
  return {
    width, height, padding: [8, 8, 0, 0],
    cursor: { y: false, points: { show: false } }, legend: { show: false },
    scales: { x: { range: () => rangeOf(times) }, y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [{ ...axis, size: 26, values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map(tickFormat(times)) }, { ...axis, size: 62, values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map(format) }],
    series: [{}, ...order.map((/** @type {number} */ index) => {
      const paint = () => colour(colourOf(series[index], index));
      return stacked
        ? { stroke: paint, fill: paint, width: 0, paths: uPlot.paths.bars?.({ size: [0.7, 48], radius: 0.12 }), points: { show: false } }
        : { stroke: paint, width: 2, points: { show: false } };
    })],
    hooks: { setCursor: [(/** @type {any} */ plot) => onHover(plot.cursor.idx ?? null)] },
  };
}

/** @param {Series} series @param {number} index */
function colourOf(series, index) {
  return `--chart-${series.colour ?? (index % COLOURS) + 1}`;
}

/** Half a step of room on both sides, so that the first and last bars are whole. @param {number[]} times @returns {[number, number]} */
function rangeOf(times) {
  const step = times.length > 1 ? times[1] - times[0] : 86_400;
  return [times[0] - step / 2, times[times.length - 1] + step / 2];
}

/** Hours within two days, else dates. @param {number[]} times */
function tickFormat(times) {
  const short = times.length > 1 && times[times.length - 1] - times[0] <= 2 * 86_400;
  const format = new Intl.DateTimeFormat("en-GB", short ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" });
  return (/** @type {number} */ seconds) => format.format(new Date(seconds * 1000));
}

const time = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** @param {number} seconds */
export function dayAndHour(seconds) {
  return time.format(new Date(seconds * 1000));
}
