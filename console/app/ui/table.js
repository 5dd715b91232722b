/** One table for all pages: columns as data, rows as links, a window of rows where there are many. */
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { navigate } from "../lib/router.js";
import { Empty, Loading } from "./parts.js";

const ROW_PX = 36; // both as in .virtual of style.css
const PART_OF_VIEW = 0.68;
const WINDOWED_FROM = 100;
const STEP_ROWS = 4; // a scroll draws anew when the window has moved so far
const MARGIN_ROWS = 8;

/**
 * @typedef {{ title: string, cell: (row: any) => any, right?: boolean }} Column
 * @param {{
 *   label: string, columns: Column[], rows?: any[], pages?: any, noun?: string, keyOf?: (row: any, at: number) => string,
 *   href?: (row: any) => string, loading?: boolean, empty?: string[], selected?: Set<string>, onSelect?: (ids: Set<string>) => void,
 * }} props pages: what usePages returns, in place of rows and loading; empty: a title and a sentence
 */
export function Table({ label, columns, pages, rows = pages?.rows ?? [], noun, keyOf = idOf, href, loading = pages?.loading, empty = ["Nothing here yet"], selected, onSelect }) {
  const windowed = rows.length >= WINDOWED_FROM;
  const { frame, from, to } = useWindow(rows.length, windowed);
  const drawn = useDrawn([columns, rows, selected]);
  useEffect(() => {
    if (windowed && pages?.hasMore && to > rows.length - MARGIN_ROWS) pages.loadMore();
  }, [to, rows.length]);
  if (loading) return html`<${Loading} />`;
  if (!rows.length) return html`<${Empty} title=${empty[0]}>${empty[1]}</${Empty}>`;
  const all = selected && rows.every((row, at) => selected.has(keyOf(row, at)));
  const open = (/** @type {MouseEvent} */ event, /** @type {any} */ row) => {
    if (href && !(/** @type {Element} */ (event.target).closest("a,button,input,select"))) navigate(href(row).replace(/^\/ui/, ""));
  };
  const draw = (/** @type {any} */ row, /** @type {string} */ key, /** @type {number} */ at) => html`<tr key=${key} aria-rowindex=${at + 2} class=${href ? "link" : ""} onClick=${(/** @type {MouseEvent} */ event) => open(event, row)}>
    ${onSelect && selected ? html`<td><input type="checkbox" aria-label=${`Select ${key}`} checked=${selected.has(key)} onChange=${() => onSelect(toggled(selected, key))} /></td>` : null}
    ${columns.map((column, index) => html`<td class=${column.right ? "right" : ""}>${
      index === 0 && href ? html`<a href=${href(row)}>${column.cell(row)}</a>` : column.cell(row)}</td>`)}</tr>`;
  const gap = (/** @type {string} */ key, /** @type {number} */ count) => (windowed ? html`<tr key=${key} aria-hidden="true"><td colspan="99" style=${{ height: `${count * ROW_PX}px` }}></td></tr>` : null);
  return html`<div class=${`table-wrap ${windowed ? "virtual" : ""}`} ref=${frame} tabindex="0" role="region" aria-label=${label}>
    <table aria-rowcount=${rows.length + 1}>
      <thead><tr>
        ${onSelect ? html`<th><input type="checkbox" aria-label="Select all rows" checked=${all} onChange=${() => onSelect(new Set(all ? [] : rows.map(keyOf)))} /></th>` : null}
        ${columns.map((column) => html`<th scope="col" class=${column.right ? "right" : ""}>${column.title || html`<span class="visually-hidden">Actions</span>`}</th>`)}
      </tr></thead>
      <tbody>${gap("above", from)}${drawn(rows.slice(from, to).map((row, at) => [keyOf(row, from + at), row, from + at]), draw)}${gap("below", rows.length - to)}</tbody>
    </table></div>${pages ? html`<div class="table-foot"><span>${rows.length === 1 ? "1 row" : `${rows.length} ${noun}`}${pages.hasMore ? " loaded" : ""}</span>
      ${pages.hasMore ? html`<button class="small" disabled=${pages.busy} onClick=${pages.loadMore}>Load more</button>` : null}</div>` : null}`;
}

const idOf = (/** @type {any} */ row) => row.id;

/** @param {Set<string>} ids @param {string} id */
function toggled(ids, id) {
  const next = new Set(ids);
  if (!next.delete(id)) next.add(id);
  return next;
}

/** Keeps what is drawn of each row: a scroll draws only the rows that come into view. @param {any[]} inputs a change draws all anew */
function useDrawn(inputs) {
  const last = useRef({ inputs, rows: new Map() });
  const known = inputs.every((input, at) => input === last.current.inputs[at]) ? last.current.rows : new Map();
  return (/** @type {[string, any, number][]} */ wanted, /** @type {(row: any, key: string, at: number) => any} */ draw) => {
    const rows = new Map(wanted.map(([key, row, at]) => [key, known.get(key) ?? draw(row, key, at)]));
    last.current = { inputs, rows };
    return [...rows.values()];
  };
}

/** The rows in view and some around them; all of a short list. @param {number} total @param {boolean} windowed */
function useWindow(total, windowed) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const [first, setFirst] = useState(0);
  useEffect(() => {
    const element = frame.current;
    if (!element || !windowed) return;
    let asked = 0;
    const onScroll = () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(() => setFirst(Math.floor(element.scrollTop / ROW_PX / STEP_ROWS) * STEP_ROWS));
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => element.removeEventListener("scroll", onScroll);
  }, [windowed]);
  if (!windowed) return { frame, from: 0, to: total };
  const from = Math.max(0, Math.min(first, total) - MARGIN_ROWS);
  return { frame, from, to: Math.min(total, first + Math.ceil((PART_OF_VIEW * innerHeight) / ROW_PX) + STEP_ROWS + MARGIN_ROWS) };
}
