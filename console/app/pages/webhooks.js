/** How do receivers verify what they get? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { Card, Copy, PageHead } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

export default function Webhooks() {
  const [secret, setSecret] = useState("");
  async function reveal() {
    try {
      setSecret((await call("webhookSecret")).secret);
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
    }
  }
  return html`<${PageHead} title="Webhooks" /><${Card} title="Signing secret"><div class="stack">
    <p class="muted">Callbacks to addresses without a configured webhook are signed with this secret (Standard Webhooks). Configured webhooks use their own.</p>
    ${secret ? html`<div class="secret"><code>${secret}</code><${Copy} text=${secret} /></div>` : html`<div><button onClick=${reveal}>Show the secret</button></div>`}</div></${Card}>`;
}
