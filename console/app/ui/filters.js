/** A filter bar whose state is the query of the address. */
import { html, useState } from "../lib/html.js";
import { current, setQuery } from "../lib/router.js";

/**
 * @typedef {{ name: string, label: string, options?: [string, string][], placeholder?: string, more?: boolean }} Filter
 *   more: behind the button "More filters" while it is empty
 * @param {{ filters: Filter[], children?: any }} props
 */
export function Filters({ filters, children }) {
  const query = current.value.query;
  const [open, setOpen] = useState(false);
  const used = filters.some((filter) => query.get(filter.name));
  const hidden = filters.filter((filter) => filter.more && !query.get(filter.name)).length;
  return html`<div class="filters" role="search">
    ${filters.map((filter) => (filter.more && !open && !query.get(filter.name) ? null : html`<${Control} key=${filter.name} filter=${filter} value=${query.get(filter.name) ?? ""} />`))}
    ${hidden && !open ? html`<button class="plain" onClick=${() => setOpen(true)}>More filters</button>` : null}
    ${used ? html`<button class="plain" onClick=${() => setQuery(Object.fromEntries(filters.map((filter) => [filter.name, null])))}>Clear</button>` : null}
    ${children}</div>`;
}

/** @param {{ filter: Filter, value: string }} props */
function Control({ filter, value }) {
  const change = (/** @type {any} */ event) => setQuery({ [filter.name]: event.target.value.trim() });
  if (!filter.options) return html`<input type="search" aria-label=${filter.label} placeholder=${filter.placeholder ?? filter.label} value=${value} onChange=${change} />`;
  return html`<select aria-label=${filter.label} value=${value} onChange=${change}>
    <option value="">${filter.label}: any</option>${filter.options.map(([name, text]) => html`<option value=${name}>${text}</option>`)}</select>`;
}

/** The values of filters, as query parameters of the API. @param {string[]} names @returns {Record<string, string | null>} */
export function filterValues(names) {
  const query = current.value.query;
  return Object.fromEntries(names.map((name) => [name, query.get(name)]));
}
