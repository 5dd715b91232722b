/** Text for people: money, counts, times. Every function takes what the API sends and returns a string. */

const usdSmall = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumSignificantDigits: 3 });
const usdLarge = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const whole = new Intl.NumberFormat("en-US");
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** @param {number | null | undefined} value US dollars */
export function money(value) {
  if (value == null) return "–";
  if (value === 0) return "$0.00";
  return Math.abs(value) < 0.1 ? usdSmall.format(value) : usdLarge.format(value);
}

/** @param {number | null | undefined} value */
export function count(value) {
  if (value == null) return "–";
  return Math.abs(value) >= 100_000 ? compact.format(value) : whole.format(value);
}

/** @param {number} number @param {string} noun of one */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** @param {number} part @param {number} total */
export function percent(part, total) {
  if (!total) return "–";
  const share = (100 * part) / total;
  return `${share >= 10 || share === 0 ? Math.round(share) : share.toFixed(1)} %`;
}

/** The size of a unit in seconds, its name, and the next smaller one. */
const UNITS = /** @type {[number, string, number, string][]} */ ([[86_400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]);

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 && !Number.isInteger(seconds) ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const [size, unit, part, smaller] = UNITS.find(([least]) => seconds >= least) ?? UNITS[2];
  const rest = Math.floor((seconds % size) / part);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
}

/** @param {string | null | undefined} iso @returns {number} seconds since the epoch, NaN if absent */
export function epoch(iso) {
  return iso ? Date.parse(iso) / 1000 : Number.NaN;
}

/** How long ago a moment was. @param {string | null | undefined} iso */
export function ago(iso) {
  const seconds = Date.now() / 1000 - epoch(iso);
  if (Number.isNaN(seconds)) return "–";
  if (seconds < -1) return `in ${duration(Math.round(-seconds))}`;
  return seconds < 5 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

const dateTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** Local date and time. @param {string | null | undefined} iso */
export function moment(iso) {
  return iso ? dateTime.format(new Date(iso)) : "–";
}

/** An id with the first eight characters after its prefix; the whole one belongs in a title. @param {string} id */
export function shortId(id) {
  const from = id.indexOf("_") + 1;
  return id.length > from + 12 ? id.slice(0, from + 8) : id;
}

/** @param {unknown} value */
export function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** @param {number} value */
export function bytes(value) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]])) {
    if (value >= size) return `${(value / size).toFixed(value >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return `${value} B`;
}
