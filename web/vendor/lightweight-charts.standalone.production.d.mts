// Types for `tsc --checkJs`; the package is among the browser tests' dependencies.
export * from "lightweight-charts";
