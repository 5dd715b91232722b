/** One table for all pages: columns as data, rows as links, a window of rows where there are many. */
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { navigate } from "../lib/router.js";
import { Empty, Loading } from "./parts.js";

const ROW_PX = 36;
const WINDOWED_FROM = 200;
const MARGIN_ROWS = 10;

/**
 * @typedef {{ title: string, cell: (row: any) => any, right?: boolean }} Column
 * @param {{
 *   label: string, columns: Column[], rows: any[] | undefined, keyOf: (row: any, at: number) => string, href?: (row: any) => string,
 *   loading?: boolean, empty?: any, foot?: any, selected?: Set<string>, onSelect?: (ids: Set<string>) => void,
 * }} props
 */
export function Table({ label, columns, rows, keyOf, href, loading, empty, foot, selected, onSelect }) {
  const windowed = (rows?.length ?? 0) >= WINDOWED_FROM;
  const { frame, from, to } = useWindow(rows?.length ?? 0, windowed);
  if (loading) return html`<${Loading} />`;
  if (!rows?.length) return empty ?? html`<${Empty} title="Nothing here yet" />`;
  const seen = rows.slice(from, to);
  const all = selected && rows.every((row, at) => selected.has(keyOf(row, at)));
  const open = (/** @type {MouseEvent} */ event, /** @type {any} */ row) => {
    if (href && !(/** @type {Element} */ (event.target).closest("a,button,input,select"))) navigate(href(row).replace(/^\/ui/, ""));
  };
  return html`<div class=${`table-wrap ${windowed ? "virtual" : ""}`} ref=${frame} tabindex="0" role="region" aria-label=${label}>
    <table aria-rowcount=${rows.length}>
      <thead><tr>
        ${onSelect ? html`<th><input type="checkbox" aria-label="Select all rows" checked=${all} onChange=${() => onSelect(new Set(all ? [] : rows.map(keyOf)))} /></th>` : null}
        ${columns.map((column) => html`<th scope="col" class=${column.right ? "right" : ""}>${column.title || html`<span class="visually-hidden">Actions</span>`}</th>`)}
      </tr></thead>
      <tbody>
        ${from ? html`<tr aria-hidden="true"><td colspan="99" style=${{ height: `${from * ROW_PX}px`, padding: 0 }}></td></tr>` : null}
        ${seen.map((row, at) => {
          const key = keyOf(row, from + at);
          return html`<tr key=${key} class=${href ? "link" : ""} onClick=${(/** @type {MouseEvent} */ event) => open(event, row)}>
            ${onSelect && selected ? html`<td><input type="checkbox" aria-label=${`Select ${key}`} checked=${selected.has(key)} onChange=${() => onSelect(toggled(selected, key))} /></td>` : null}
            ${columns.map((column, index) => html`<td class=${column.right ? "right" : ""}>${
              index === 0 && href ? html`<a href=${href(row)}>${column.cell(row)}</a>` : column.cell(row)}</td>`)}</tr>`;
        })}
        ${to < rows.length ? html`<tr aria-hidden="true"><td colspan="99" style=${{ height: `${(rows.length - to) * ROW_PX}px`, padding: 0 }}></td></tr>` : null}
      </tbody>
    </table></div>${foot ? html`<div class="table-foot">${foot}</div>` : null}`;
}

/** @param {Set<string>} ids @param {string} id */
function toggled(ids, id) {
  const next = new Set(ids);
  if (!next.delete(id)) next.add(id);
  return next;
}

/** The rows in view; all of them below a few hundred. @param {number} total @param {boolean} windowed */
function useWindow(total, windowed) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const [top, setTop] = useState(0);
  useEffect(() => {
    const element = frame.current;
    if (!element || !windowed) return;
    let asked = 0;
    const onScroll = () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(() => setTop(element.scrollTop));
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => element.removeEventListener("scroll", onScroll);
  }, [windowed]);
  if (!windowed) return { frame, from: 0, to: total };
  const height = frame.current?.clientHeight || 800;
  const from = Math.max(0, Math.floor(top / ROW_PX) - MARGIN_ROWS);
  return { frame, from, to: Math.min(total, from + Math.ceil(height / ROW_PX) + 2 * MARGIN_ROWS) };
}

/** "Load more" below a table that is read page by page. @param {{ pages: any, noun: string }} props */
export const More = ({ pages, noun }) => html`<span>${pages.rows.length === 1 ? "1 row" : `${pages.rows.length} ${noun}`}${pages.hasMore ? " loaded" : ""}</span>
  ${pages.hasMore ? html`<button class="small" disabled=${pages.busy} onClick=${pages.loadMore}>Load more</button>` : null}`;
