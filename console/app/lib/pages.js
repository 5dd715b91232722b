/** The table of pages: adding one is one module in pages/ and one line here. */

/** @typedef {{ path: string, title: string, module: string, section?: string, roles: string[], hidden?: boolean }} PageRow */

const ADMIN = ["admin", "operator", "finance", "viewer"];
const ALL = [...ADMIN, "key"];
const CALLERS = ["admin", "key"]; // pages that call /v1, which takes keys and administrators

/** @type {PageRow[]} */
export const PAGES = [
  { path: "/", title: "Overview", module: "overview", section: "Now", roles: ADMIN },
  { path: "/", title: "My spend", module: "own_spend", section: "Now", roles: ["key"] },
  { path: "/jobs", title: "Jobs", module: "jobs", section: "Now", roles: ALL },
  { path: "/jobs/:jobId", title: "Job", module: "job", roles: ALL },
  { path: "/queue", title: "Queue", module: "queue", section: "Now", roles: ADMIN },
  { path: "/schedules", title: "Schedules", module: "schedules", section: "Now", roles: CALLERS },
  { path: "/batches", title: "Batches", module: "batches", section: "Now", roles: CALLERS },
  { path: "/spend", title: "Spend", module: "spend", section: "Money", roles: ADMIN },
  { path: "/limits", title: "Limits", module: "limits", section: "Money", roles: ADMIN },
  { path: "/runs", title: "Runs", module: "runs", section: "Money", roles: ADMIN },
  { path: "/keys", title: "Keys", module: "keys", section: "Money", roles: ADMIN },
  { path: "/calls", title: "Calls", module: "calls", section: "Traffic", roles: ADMIN },
  { path: "/providers", title: "Providers", module: "providers", section: "Traffic", roles: ADMIN },
  { path: "/cache", title: "Cache", module: "cache", section: "Traffic", roles: ADMIN },
  { path: "/alerts", title: "Alerts", module: "alerts", section: "Traffic", roles: ADMIN },
  { path: "/webhooks", title: "Webhooks", module: "webhooks", section: "Traffic", roles: ADMIN },
  { path: "/try", title: "Try it", module: "try_it", section: "Tools", roles: CALLERS },
  { path: "/audit", title: "Audit", module: "audit", section: "Tools", roles: ADMIN },
  { path: "/system", title: "System", module: "system", section: "Tools", roles: ADMIN },
];

/** @param {string} role */
export function sections(role) {
  const found = /** @type {{ title: string, pages: PageRow[] }[]} */ ([]);
  for (const page of PAGES) {
    if (!page.section || !page.roles.includes(role)) continue;
    const last = found.find((section) => section.title === page.section);
    if (last) last.pages.push(page);
    else found.push({ title: page.section, pages: [page] });
  }
  return found;
}

/** @param {string} path @param {string} role @returns {{ page: PageRow, params: Record<string, string> } | null} */
export function pageFor(path, role) {
  for (const page of PAGES) {
    if (!page.roles.includes(role)) continue;
    const names = /** @type {string[]} */ ([]);
    const pattern = page.path.replace(/:(\w+)/g, (_, name) => (names.push(name), "([^/]+)"));
    const match = new RegExp(`^${pattern}/?$`).exec(path);
    if (match) return { page, params: Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(match[at + 1])])) };
  }
  return null;
}
