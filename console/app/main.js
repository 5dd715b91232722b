/** The console: session, navigation, and the page that the address names. */
import { html, render, signal, useEffect, useState } from "./lib/html.js";
import { onSignedOut } from "./lib/api.js";
import { BASE, current, followLink } from "./lib/router.js";
import { pageFor, sections } from "./lib/pages.js";
import { readSession, session, signOut } from "./lib/session.js";
import { Empty, Loading } from "./ui/parts.js";
import { Toasts } from "./ui/toast.js";
import { SignIn } from "./ui/sign_in.js";

const menuOpen = signal(false);

function Shell() {
  const { path } = current.value;
  useEffect(() => {
    menuOpen.value = false;
  }, [path]);
  return html`<a class="skip" href="#content">Skip to content</a>
    <div class="shell" onClick=${followLink}>
      <${Side} path=${path} />
      <main class="main" id="content">
        <button class="menu-button small" aria-expanded=${String(menuOpen.value)} onClick=${() => (menuOpen.value = !menuOpen.value)}>Menu</button>
        <${Page} path=${path} />
      </main>
    </div>`;
}

/** @param {{ path: string }} props */
function Side({ path }) {
  const who = session.value;
  return html`<aside class=${`side ${menuOpen.value ? "open" : ""}`}>
    <a class="brand" href=${`${BASE}/`}><svg width="20" height="20" viewBox="0 0 16 16" aria-hidden="true"><path d="M2 13V7h3v6zm4.500 0V3h3v10zM11 13V9h3v4z" fill="currentColor" /></svg>FinOps</a>
    <nav aria-label="Pages">${sections(who?.role ?? "").map(
      (section) => html`<div><h2>${section.title}</h2><ul>${section.pages.map(
        (page) => html`<li><a href=${BASE + page.path} aria-current=${isOpen(page.path, path) ? "page" : undefined}>${page.title}</a></li>`,
      )}</ul></div>`,
    )}</nav>
    <div class="foot"><span class="muted">Signed in as ${who?.name}</span>
      <div class="row"><${Theme} /><button class="small plain" onClick=${signOut}>Sign out</button></div></div>
  </aside>`;
}

/** @param {string} page @param {string} path */
function isOpen(page, path) {
  return page === "/" ? path === "/" : path === page || path.startsWith(`${page}/`);
}

/** The module of the open page is loaded when it is first wanted. @param {{ path: string }} props */
function Page({ path }) {
  const match = pageFor(path, session.value?.role ?? "");
  const [loaded, setLoaded] = useState(/** @type {{ module: string, view: any } | null} */ (null));
  useEffect(() => {
    if (!match) return;
    let wanted = true;
    document.title = `${match.page.title} · FinOps`;
    import(`./pages/${match.page.module}.js`).then((module) => {
      if (!wanted) return;
      setLoaded({ module: match.page.module, view: module.default });
      requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector("main h1"))?.focus({ preventScroll: true }));
    });
    return () => {
      wanted = false;
    };
  }, [path]);
  if (!match) return html`<${Empty} title="There is no such page">Choose one from the menu.</${Empty}>`;
  if (loaded?.module !== match.page.module) return html`<${Loading} />`;
  return html`<${loaded.view} key=${path} ...${match.params} />`;
}

function Theme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(document.documentElement.dataset.theme ?? (scheme.matches ? "dark" : "light"));
    scheme.addEventListener("change", follow);
    return () => scheme.removeEventListener("change", follow);
  }, []);
  const next = theme === "dark" || (!theme && matchMedia("(prefers-color-scheme: dark)").matches) ? "light" : "dark";
  function apply() {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("finops.theme", next);
    setTheme(next);
    dispatchEvent(new Event("resize"));
  }
  return html`<button class="small plain" onClick=${apply} aria-label=${`Switch to the ${next} theme`}>${next === "dark" ? "Dark" : "Light"} theme</button>`;
}

function App() {
  const who = session.value;
  return html`${who === undefined ? html`<${Loading} />` : who === null ? html`<${SignIn} />` : html`<${Shell} />`}<${Toasts} />`;
}

const theme = localStorage.getItem("finops.theme");
if (theme) document.documentElement.dataset.theme = theme;
onSignedOut.run = () => {
  if (session.value) session.value = null;
};
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
readSession();
