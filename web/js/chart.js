/** The chart of one index: line, candles, or several indexes rebased to 100. */
import {
  AreaSeries, BaselineSeries, CandlestickSeries, ColorType, createChart, createSeriesMarkers, CrosshairMode, LineSeries, LineStyle,
  PriceScaleMode, TickMarkType,
} from "../vendor/lightweight-charts.standalone.production.mjs";
import { colour } from "./dom.js";
import { fields, zone } from "./zone.js";

/** @typedef {import("./types.js").Bar} Bar */
/** @typedef {import("lightweight-charts").UTCTimestamp} UTC */
/** @typedef {{code: string, bars: Bar[]}} Compared */
/**
 * @typedef {object} Picture
 * @property {string} code
 * @property {"line" | "candles"} kind
 * @property {Bar[]} bars
 * @property {number} places  of the level
 * @property {number | null} base  the previous close, where it belongs into the picture
 * @property {Compared[]} compared  not empty: all lines rebased to 100
 */

const DASHES = [LineStyle.Solid, LineStyle.Dashed, LineStyle.Dotted, LineStyle.LargeDashed, LineStyle.SparseDotted];

/** @param {number} t @returns {UTC} */
const utc = (t) => /** @type {UTC} */ (t);

export class LevelChart {
  /** @param {HTMLElement} container absolutely placed: as a flex or grid child the chart would grow for ever */
  constructor(container) {
    this.chart = createChart(container, { autoSize: true, ...this.look() });
    /** @type {import("lightweight-charts").ISeriesApi<any>[]} */
    this.series = [];
    /** @type {import("lightweight-charts").ISeriesMarkersPluginApi<any> | null} */
    this.markers = null;
    /** @type {Bar[]} */
    this.bars = [];
    this.mode = "";
    /** @type {Picture | null} */
    this.picture = null;
    this.following = true;
    this.onHover = (/** @type {number | null} */ _t) => {};
    this.onFollow = (/** @type {boolean} */ _following) => {};
    this.chart.subscribeCrosshairMove((move) => this.onHover(typeof move.time === "number" ? move.time : null));
    // Only a person moves the view away from "all": then new bars leave it alone.
    for (const kind of ["wheel", "pointerdown", "touchstart"]) {
      container.addEventListener(kind, () => this.follow(false), { passive: true, capture: true });
    }
    container.addEventListener("dblclick", () => this.follow(true));
  }

  look() {
    return {
      layout: {
        background: { type: ColorType.Solid, color: colour("--surface") },
        textColor: colour("--ink-2"),
        fontFamily: getComputedStyle(document.documentElement).fontFamily,
        fontSize: 11,
        attributionLogo: true,
      },
      grid: { vertLines: { visible: false }, horzLines: { color: colour("--grid") } },
      crosshair: {
        mode: CrosshairMode.Magnet,
        vertLine: { color: colour("--line-strong"), labelBackgroundColor: colour("--ink-2") },
        horzLine: { color: colour("--line-strong"), labelBackgroundColor: colour("--ink-2") },
      },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.14, bottom: 0.08 } },
      timeScale: {
        borderColor: colour("--line"), timeVisible: true, secondsVisible: true, rightOffset: 1, lockVisibleTimeRangeOnResize: true,
        tickMarkFormatter: tickMark,
      },
      localization: { timeFormatter: (/** @type {any} */ t) => stamp(Number(t)) },
      handleScale: { axisPressedMouseMove: true },
    };
  }

  /** @param {Picture} picture */
  show(picture) {
    for (const series of this.series) this.chart.removeSeries(series);
    this.markers = null;
    this.bars = picture.bars;
    const rebased = picture.compared.length > 0;
    this.mode = rebased ? "rebased" : picture.kind;
    this.picture = picture;
    // A few candles must not become walls; a few points of a line may lie far apart.
    this.chart.timeScale().applyOptions({ maxBarSpacing: this.mode === "candles" ? 28 : 0 });
    this.chart.priceScale("right").applyOptions({ mode: rebased ? PriceScaleMode.IndexedTo100 : PriceScaleMode.Normal });
    const precision = { type: /** @type {const} */ ("price"), precision: picture.places, minMove: 10 ** -picture.places };
    this.series = rebased
      ? [{ code: picture.code, bars: picture.bars }, ...common(picture)].map((one, at) => this.line(one, at, precision))
      : [this.main(picture, precision)];
    const main = this.series[0];
    if (main) this.markers = createSeriesMarkers(main, []);
    this.fit();
  }

  /** @param {Compared} one @param {number} at @param {any} priceFormat */
  line(one, at, priceFormat) {
    const series = this.chart.addSeries(LineSeries, {
      color: colour(`--series-${at + 1}`), lineWidth: 2, lineStyle: DASHES[at] ?? LineStyle.Solid, title: one.code, priceLineVisible: false, priceFormat,
    });
    series.setData(one.bars.map((bar) => ({ time: utc(bar.t), value: bar.close })));
    return series;
  }

  /** @param {Picture} picture @param {any} priceFormat */
  main(picture, priceFormat) {
    const [up, down, accent] = [colour("--up"), colour("--down"), colour("--accent")];
    if (picture.kind === "candles") {
      const series = this.chart.addSeries(CandlestickSeries, {
        upColor: colour("--surface"), downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down, priceFormat,
      });
      series.setData(picture.bars.map((bar) => ({ ...bar, time: utc(bar.t) })));
      return series;
    }
    const values = picture.bars.map((bar) => ({ time: utc(bar.t), value: bar.close }));
    if (picture.base !== null) {
      const series = this.chart.addSeries(BaselineSeries, {
        baseValue: { type: "price", price: picture.base }, lineWidth: 2, priceFormat,
        topLineColor: up, topFillColor1: fade(up, 0.2), topFillColor2: fade(up, 0.02),
        bottomLineColor: down, bottomFillColor1: fade(down, 0.02), bottomFillColor2: fade(down, 0.2),
      });
      series.setData(values);
      series.createPriceLine({
        price: picture.base, color: colour("--ink-3"), lineWidth: 1, lineStyle: LineStyle.Dashed, axisLabelVisible: true, title: "prev. close",
      });
      return series;
    }
    const series = this.chart.addSeries(AreaSeries, { lineColor: accent, lineWidth: 2, topColor: fade(accent, 0.2), bottomColor: fade(accent, 0.01), priceFormat });
    series.setData(values);
    return series;
  }

  /**
   * One bar is new or has moved. `at` is the line of a comparison.
   * @param {Bar} bar @param {number} [at]
   */
  update(bar, at = 0) {
    const series = this.series[at];
    if (!series) return;
    const isNew = at === 0 && this.bars.at(-1)?.t === bar.t && bar.open === bar.close;
    series.update(this.mode === "candles" ? { ...bar, time: utc(bar.t) } : { time: utc(bar.t), value: bar.close });
    if (isNew && this.following) this.fit();
  }

  /** @param {import("lightweight-charts").SeriesMarker<UTC>[]} markers */
  mark(markers) {
    this.markers?.setMarkers(markers);
  }

  fit() {
    this.chart.timeScale().fitContent();
  }

  /** @param {boolean} following */
  follow(following) {
    if (following) this.fit();
    if (this.following === following) return;
    this.following = following;
    this.onFollow(following);
  }

  restyle() {
    this.chart.applyOptions(this.look());
    if (this.picture) this.show(this.picture);
  }

  /** The crosshair on a bar, for the keyboard. @param {Bar} bar */
  point(bar) {
    const series = this.series[0];
    if (series) this.chart.setCrosshairPosition(bar.close, utc(bar.t), series);
  }

  unpoint() {
    this.chart.clearCrosshairPosition();
  }

  /** @param {number} factor above 1: closer */
  zoom(factor) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    this.follow(false);
    this.chart.timeScale().setVisibleLogicalRange({ from: range.to - (range.to - range.from) / factor, to: range.to });
  }

  remove() {
    this.chart.remove();
  }
}

/**
 * All lines begin where the youngest begins: before that there is nothing to compare.
 * @param {{bars: Bar[], compared: Compared[]}} picture
 */
function common(picture) {
  const start = picture.bars[0]?.t ?? 0;
  return picture.compared.map((one) => ({ ...one, bars: one.bars.filter((bar) => bar.t >= start) }));
}

/** @param {string} rgb @param {number} part */
function fade(rgb, part) {
  const [r, g, b] = rgb.match(/[\d.]+/g) ?? ["0", "0", "0"];
  return `rgba(${r}, ${g}, ${b}, ${part})`;
}

/** @param {number} t */
export function stamp(t) {
  const at = fields(t * 1000);
  return `${at.date} ${at.time} ${at.zone}`;
}

/**
 * Labels in the chosen zone; the data stay in UTC, since shifted data break where clocks go back.
 * @param {any} time @param {TickMarkType} type
 */
function tickMark(time, type) {
  const ms = Number(time) * 1000;
  const at = fields(ms);
  if (type === TickMarkType.Time) return at.time.slice(0, 5);
  if (type === TickMarkType.TimeWithSeconds) return at.time;
  if (type === TickMarkType.Year) return at.date.slice(0, 4);
  const named = type === TickMarkType.Month ? { month: /** @type {const} */ ("short") } : { day: /** @type {const} */ ("numeric"), month: /** @type {const} */ ("short") };
  return new Intl.DateTimeFormat("en-GB", { ...named, timeZone: zone.value }).format(ms);
}
