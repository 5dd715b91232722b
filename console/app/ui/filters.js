/** A filter bar whose state is the query of the address. */
import { html } from "../lib/html.js";
import { current, setQuery } from "../lib/router.js";

/**
 * @typedef {{ name: string, label: string, options?: [string, string][], placeholder?: string }} Filter
 * @param {{ filters: Filter[], children?: any }} props
 */
export function Filters({ filters, children }) {
  const query = current.value.query;
  const used = filters.some((filter) => query.get(filter.name));
  return html`<div class="filters" role="search">
    ${filters.map((filter) =>
      filter.options
        ? html`<select aria-label=${filter.label} value=${query.get(filter.name) ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ [filter.name]: event.target.value })}>
            <option value="">${filter.label}: any</option>${filter.options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select>`
        : html`<input type="search" aria-label=${filter.label} placeholder=${filter.placeholder ?? filter.label} value=${query.get(filter.name) ?? ""}
            onChange=${(/** @type {any} */ event) => setQuery({ [filter.name]: event.target.value.trim() })} />`,
    )}
    ${used ? html`<button class="plain" onClick=${() => setQuery(Object.fromEntries(filters.map((filter) => [filter.name, null])))}>Clear</button>` : null}
    ${children}</div>`;
}

/** The values of filters, as query parameters of the API. @param {string[]} names */
export function filterValues(names) {
  const query = current.value.query;
  return Object.fromEntries(names.map((name) => [name, query.get(name)]));
}
