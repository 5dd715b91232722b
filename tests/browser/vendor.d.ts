/** What the console uses of its vendored libraries. */
declare module "preact" {
  export const h: any;
  export const Fragment: any;
  export function render(tree: any, parent: Element): void;
}
declare module "preact/hooks" {
  export function useState<T>(initial: T | (() => T)): [T, (next: T | ((old: T) => T)) => void];
  export function useEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
  export function useMemo<T>(make: () => T, inputs: unknown[]): T;
  export function useRef<T>(initial: T): { current: T };
  export function useCallback<T>(callback: T, inputs: unknown[]): T;
}
declare module "htm" {
  const htm: { bind(h: any): (strings: TemplateStringsArray, ...values: any[]) => any };
  export default htm;
}
declare module "@preact/signals" {
  export interface Signal<T> {
    value: T;
  }
  export function signal<T>(value: T): Signal<T>;
  export function computed<T>(compute: () => T): Signal<T>;
  export function effect(run: () => void): () => void;
}
declare module "uplot" {
  const uPlot: any;
  export default uPlot;
}
