/** A modal dialog; Escape and the backdrop close it, focus returns to where it was. */
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { toast } from "./toast.js";

/** @param {{ title: string, onClose: () => void, children?: any }} props */
export function Dialog({ title, onClose, children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return html`<dialog ref=${element} aria-label=${title} onCancel=${onClose}
    onClick=${(/** @type {MouseEvent} */ event) => event.target === element.current && onClose()}>
    <div class="body"><h2>${title}</h2>${children}</div></dialog>`;
}

/**
 * Ask before something that cannot be undone.
 * @param {{ title: string, text: any, action: string, danger?: boolean, onConfirm: () => Promise<void>, onClose: () => void }} props
 */
export function Confirm({ title, text, action, danger, onConfirm, onClose }) {
  const [busy, setBusy] = useState(false);
  async function go() {
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
      setBusy(false);
    }
  }
  return html`<${Dialog} title=${title} onClose=${onClose}><div>${text}</div>
    <div class="form-actions"><button onClick=${onClose}>Cancel</button>
      <button class=${danger ? "danger" : "primary"} disabled=${busy} onClick=${go}>${action}</button></div></${Dialog}>`;
}
