/** All that the stream has told: the one place where rows and status live. */
import { signal } from "./signal.js";

/** @typedef {import("./types.js").Row} Row */

/** @type {Map<string, Row>} */
export const rows = new Map();

/** What moved with the last message. */
export const moved = signal(/** @type {Row[]} */ ([]));

/** Rises when indexes come or go, or the whole table is new. */
export const catalogue = signal(0);

export const status = signal(/** @type {import("./types.js").Status | null} */ (null));

/** What happens to indexes, as it happens. */
export const notice = signal(/** @type {import("./types.js").IndexEvent | null} */ (null));

/** @param {Row[]} all */
export function replace(all) {
  rows.clear();
  for (const row of all) rows.set(row.code, row);
  catalogue.set(catalogue.value + 1);
  moved.set(all);
}

/** @param {Row[]} some */
export function merge(some) {
  let changed = false;
  for (const row of some) {
    // Told once, of an index that is deleted or has another code now.
    if (row.status === "deleted") {
      changed = rows.delete(row.code) || changed;
      continue;
    }
    const known = rows.get(row.code);
    changed ||= !known;
    rows.set(row.code, { ...known, ...row });
  }
  if (changed) catalogue.set(catalogue.value + 1);
  moved.set(some.flatMap((row) => rows.get(row.code) ?? []));
}
