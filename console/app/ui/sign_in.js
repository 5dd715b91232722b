/** The way in: a key, or the one-time link that `finops ui` opens. */
import { html, useEffect, useState } from "../lib/html.js";
import { login, signIn } from "../lib/session.js";
import { navigate } from "../lib/router.js";

const PROBLEMS = /** @type {Record<string, string>} */ ({
  denied: "Your organisation did not sign you in.",
  no_role: "You have no role here. Ask an administrator of FinOps for one.",
  failed: "Signing in did not work. Try again; the gateway's log has the reason.",
});

export function SignIn() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const given = new URLSearchParams(location.hash.slice(1));
    const [ticket, failure] = [given.get("ticket"), given.get("problem")];
    if (!ticket && !failure) return;
    history.replaceState(null, "", location.pathname + location.search);
    if (!ticket) return setProblem(PROBLEMS[failure ?? ""] ?? PROBLEMS.failed);
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
    ${login.value ? html`<a class="button" href=${login.value}>Sign in with your organisation</a>` : null}
  </form></main>`;
}
