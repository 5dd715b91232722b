/** Data that stays fresh: asked again while the tab is seen, with the last good answer kept through failures. */
import { useEffect, useRef, useState } from "./html.js";
import { call } from "./api.js";
import { toast } from "../ui/toast.js";

const SLOW_MS = 3000;
const BUSY = 4; // an answer that took long is asked for again after so many times as long,
const LONGEST_MS = 5000; // or after this
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
    let wanted = false;
    async function once() {
      clearTimeout(timer);
      wanted = running; // its answer may be older than the change that asks
      if (running || stop.signal.aborted) return;
      running = true;
      const began = performance.now();
      let rest = 0;
      const late = setTimeout(() => setState((old) => ({ ...old, error: old.error ?? SLOW })), SLOW_MS);
      try {
        const data = await load(stop.signal);
        rest = Math.min(LONGEST_MS, BUSY * (performance.now() - began));
        if (!stop.signal.aborted) setState({ data, error: null, loading: false, key });
      } catch (error) {
        if (!stop.signal.aborted) {
          setState((old) => ({ data: old.key === key ? old.data : undefined, error, loading: false, key }));
        }
      }
      clearTimeout(late);
      running = false;
      if (stop.signal.aborted || !(everyMs || wanted)) return;
      timer = setTimeout(() => (document.hidden ? undefined : once()), Math.max(wanted ? 0 : everyMs, rest));
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

/** A text that is another after calls were booked: two figures of a report that all open tabs share. */
export function useBooked() {
  const { data } = usePoll((signal) => call("overview", { signal }), [], 800);
  return data ? `${data.today.calls}/${data.today.cost_usd}` : "";
}

/**
 * A list read page by page; the first page is kept fresh until more pages are open.
 * @param {(cursor: string, signal: AbortSignal) => Promise<{ data: any[], has_more: boolean, next_cursor?: string, last_id?: string | null }>} load
 * @param {unknown[]} inputs
 */
export function usePages(load, inputs, everyMs = 1500) {
  // Not a state: a list that is scrolled fast asks again before it is drawn with the page that came.
  const more = useRef(/** @type {{ key: string, rows: any[], cursor: string, has: boolean }} */ ({ key: "", rows: [], cursor: "", has: false }));
  const [busy, setBusy] = useState(false);
  const loading = useRef(false);
  const key = JSON.stringify(inputs);
  const opened = () => more.current.key === key && more.current.rows.length > 0;
  const open = opened();
  const first = usePoll((signal) => load("", signal), inputs, open ? 0 : everyMs);
  const firstRows = first.data?.data ?? [];
  const rows = open ? [...firstRows, ...more.current.rows] : firstRows;
  const hasMore = open ? more.current.has : Boolean(first.data?.has_more);
  async function loadMore() {
    const { rows: known, cursor: last, has } = opened() ? more.current : { rows: [], cursor: cursorOf(first.data), has: hasMore };
    if (!last || !has || loading.current) return;
    loading.current = true;
    setBusy(true);
    try {
      const page = await load(last, new AbortController().signal);
      more.current = { key, rows: [...known, ...page.data], cursor: cursorOf(page), has: page.has_more };
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
    }
    loading.current = false;
    setBusy(false);
  }
  return { ...first, rows, hasMore, loadMore, busy };
}

/** @param {any} page */
function cursorOf(page) {
  return page?.next_cursor ?? page?.last_id ?? "";
}
