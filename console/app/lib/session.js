/** Who is signed in. The key itself is never kept here: the server holds the session behind an HttpOnly cookie. */
import { signal } from "./html.js";
import { ApiError, request } from "./api.js";

/** @typedef {{ role: "admin" | "operator" | "finance" | "viewer" | "key", name: string, key_id: string, expires_at: string }} Session */

/** undefined: not known yet; null: nobody. */
export const session = signal(/** @type {Session | null | undefined} */ (undefined));

/** Where people sign in at their organisation; empty: they cannot. */
export const login = signal("");

export async function readSession() {
  try {
    const response = await request("GET", "/ui/session");
    const found = await response.json();
    login.value = found.login ?? "";
    session.value = found.session;
  } catch {
    session.value = null;
  }
}

/** @param {{ key: string } | { ticket: string }} proof @returns {Promise<string>} what went wrong; empty: nothing */
export async function signIn(proof) {
  try {
    const response = await request("POST", "/ui/session", { body: proof });
    session.value = (await response.json()).session;
    return "";
  } catch (error) {
    return error instanceof ApiError ? error.message : String(error);
  }
}

export async function signOut() {
  try {
    await request("DELETE", "/ui/session");
  } finally {
    session.value = null;
  }
}
