/** The one place that names the vendored libraries. */
import { h, render, Fragment } from "preact";
import { useEffect, useMemo, useRef, useState, useCallback } from "preact/hooks";
import htm from "htm";
import { signal, computed, effect } from "@preact/signals";

export const html = htm.bind(h);
export { render, Fragment, useEffect, useMemo, useRef, useState, useCallback, signal, computed, effect };
