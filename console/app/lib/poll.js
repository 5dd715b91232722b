/** Data that stays fresh: asked again while the tab is seen, with the last good answer kept through failures. */
import { useEffect, useRef, useState } from "./html.js";

const SLOW_MS = 3000;
const SLOW = { status: -1, message: "The gateway takes long to answer." };

/**
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} inputs a change asks again at once
 * @param {number} [everyMs] 0: once
 * @returns {{ data: T | undefined, error: any, loading: boolean, stale: boolean, reload: () => void }}
 */
export function usePoll(load, inputs, everyMs = 1500) {
  const [state, setState] = useState(/** @type {{ data: T | undefined, error: any, loading: boolean, key: string }} */ ({ data: undefined, error: null, loading: true, key: "" }));
  const again = useRef(() => {});
  const key = JSON.stringify(inputs);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    let running = false;
    async function once() {
      clearTimeout(timer);
      if (running || stop.signal.aborted) return;
      running = true;
      const late = setTimeout(() => setState((old) => ({ ...old, error: old.error ?? SLOW })), SLOW_MS);
      try {
        const data = await load(stop.signal);
        if (!stop.signal.aborted) setState({ data, error: null, loading: false, key });
      } catch (error) {
        if (!stop.signal.aborted) {
          setState((old) => ({ data: old.key === key ? old.data : undefined, error, loading: false, key }));
        }
      }
      clearTimeout(late);
      running = false;
      if (everyMs && !stop.signal.aborted) timer = setTimeout(() => (document.hidden ? undefined : once()), everyMs);
    }
    const seen = () => !document.hidden && once();
    document.addEventListener("visibilitychange", seen);
    again.current = once;
    setState((old) => ({ ...old, loading: true }));
    once();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, everyMs]);
  return {
    data: /** @type {any} */ (state.data),
    error: state.error,
    loading: state.loading && state.data === undefined,
    stale: Boolean(state.error) && state.data !== undefined,
    reload: () => again.current(),
  };
}

/**
 * A list read page by page; the first page is kept fresh until more pages are open.
 * @param {(cursor: string, signal: AbortSignal) => Promise<{ data: any[], has_more: boolean, next_cursor?: string, last_id?: string | null }>} load
 * @param {unknown[]} inputs
 */
export function usePages(load, inputs, everyMs = 1500) {
  const [more, setMore] = useState(/** @type {{ key: string, rows: any[], cursor: string, has: boolean }} */ ({ key: "", rows: [], cursor: "", has: false }));
  const [busy, setBusy] = useState(false);
  const key = JSON.stringify(inputs);
  const open = more.key === key && more.rows.length > 0;
  const first = usePoll((signal) => load("", signal), inputs, open ? 0 : everyMs);
  const firstRows = first.data?.data ?? [];
  const rows = open ? [...firstRows, ...more.rows] : firstRows;
  const hasMore = open ? more.has : Boolean(first.data?.has_more);
  async function loadMore() {
    const cursor = open ? more.cursor : cursorOf(first.data);
    if (!cursor || busy) return;
    setBusy(true);
    try {
      const page = await load(cursor, new AbortController().signal);
      setMore({ key, rows: [...(open ? more.rows : []), ...page.data], cursor: cursorOf(page), has: page.has_more });
    } finally {
      setBusy(false);
    }
  }
  return { ...first, rows, hasMore, loadMore, busy };
}

/** @param {any} page */
function cursorOf(page) {
  return page?.next_cursor ?? page?.last_id ?? "";
}
