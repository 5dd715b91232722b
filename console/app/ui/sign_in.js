/** The way in: a key, or the one-time link that `finops ui` opens. */
import { html, useEffect, useState } from "../lib/html.js";
import { signIn } from "../lib/session.js";
import { navigate } from "../lib/router.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
    if (!ticket) return;
    history.replaceState(null, "", location.pathname + location.search);
    signIn({ ticket }).then((text) => (text ? setProblem(text) : navigate("/", { replace: true })));
  }, []);
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    setBusy(true);
    setProblem(await signIn({ key: key.trim() }));
    setBusy(false);
  }
  return html`<main class="sign-in"><form class="card" onSubmit=${submit}>
    <div><h1>Sign in to FinOps</h1><p class="muted">The admin key shows everything. A virtual key shows its own jobs, spend and limits.</p></div>
    ${problem ? html`<div class="note bad" role="alert">${problem}</div>` : null}
    <label class="field">Key<input type="password" name="key" autocomplete="current-password" required autofocus value=${key} onInput=${(/** @type {any} */ event) => setKey(event.target.value)} /></label>
    <button class="primary" disabled=${busy || !key.trim()}>Sign in</button>
  </form></main>`;
}
