/**
 * A value that others watch.
 * @template T
 * @param {T} initial
 */
export function signal(initial) {
  /** @type {Set<(value: T) => void>} */
  const watchers = new Set();
  return {
    value: initial,
    /** @param {T} value */
    set(value) {
      this.value = value;
      for (const watcher of watchers) watcher(value);
    },
    /**
     * Calls at each change; the result ends that.
     * @param {(value: T) => void} watcher
     */
    watch(watcher) {
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
  };
}
