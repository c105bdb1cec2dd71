/**
 * What the daemon sends, as docs/openapi.yaml states it. Decimals are texts and stay texts: only
 * what is drawn becomes a float. Absent means that the daemon does not know.
 *
 * @typedef {object} Row  an index with its level
 * @property {string} code
 * @property {string | null} [name]
 * @property {string} [currency]
 * @property {string} [weighting]
 * @property {number} [constituents]
 * @property {number} [missing]  constituents without a price
 * @property {string | null} [level]
 * @property {string | null} [chg]
 * @property {string | null} [chg_pct]
 * @property {string | null} [prev_close]
 * @property {string | null} [ts]
 * @property {string | null} [ts_calc]
 * @property {number | null} [seq]
 * @property {number | null} [rev]
 * @property {string} [status]
 * @property {number | null} [stale]  constituents with a stale price
 *
 * @typedef {object} Member
 * @property {string} symbol
 * @property {string | null} [name]
 * @property {string} [currency]
 * @property {string | null} [price]
 * @property {string | null} [ts]
 * @property {string | null} [prev_close]
 * @property {string | null} [chg_pct]
 * @property {string | null} [coefficient]
 * @property {string | null} [weight]  share of the index's market value, 1 is all of it
 * @property {string | null} [contribution]  points of the index since the previous close
 * @property {boolean | null} [stale]
 * @property {boolean | null} [held]  a price waits for an operator
 *
 * @typedef {object} Facts
 * @property {Row} row
 * @property {Record<string, any> | null} [definition]
 * @property {string | null} [divisor]
 * @property {string | null} [cash]
 * @property {{value?: string | null, date?: string | null} | null} [base]
 * @property {string | null} [waits_for]
 * @property {string | null} [next_review]
 * @property {Member[]} [members]
 *
 * @typedef {object} Candle
 * @property {string} ts
 * @property {string} open
 * @property {string} high
 * @property {string} low
 * @property {string} close
 * @property {number} count
 *
 * @typedef {{code: string, step: string, points: {ts: string, level: string}[]}} Sparkline
 *
 * @typedef {object} IndexEvent
 * @property {string} ts
 * @property {string} kind  revision, action, status or correction
 * @property {string | null} [text]
 * @property {string} [index]
 * @property {number | null} [rev]
 * @property {number | null} [pos]
 *
 * @typedef {object} Feed
 * @property {number | null} [rate]
 * @property {string | null} [last_tick]
 * @property {number | null} [accepted]
 * @property {number | null} [late]
 * @property {number | null} [duplicate]
 * @property {number | null} [held]
 * @property {number | null} [passed]
 * @property {number | null} [lost]
 * @property {Record<string, number> | null} [rejected]
 * @property {number | null} [gaps]
 * @property {number | null} [lag_rows]
 * @property {number | null} [lag_s]
 * @property {number | null} [connections]
 * @property {number | null} [p50_ms]
 * @property {number | null} [p99_ms]
 *
 * @typedef {object} Status
 * @property {string} state
 * @property {string} [version]
 * @property {number} [epoch]
 * @property {string} [store]
 * @property {string} [journal]
 * @property {number} [securities]
 * @property {number} [indexes]
 * @property {number | null} [pos]
 * @property {number | null} [projected]
 * @property {number | null} [uptime_s]
 * @property {string} [now]  the daemon's own time
 * @property {Feed | null} [feed]
 * @property {{listen?: string[]} | null} [mqtt]
 *
 * @typedef {{t: number, open: number, high: number, low: number, close: number}} Bar
 *   a candle to draw; `t` is the start in seconds since 1970
 */
export {};
