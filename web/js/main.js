/** Puts the page together. */
import { $, setAttribute, setText } from "./dom.js";
import { restyle as restyleDetail, startDetail } from "./detail.js";
import { restyle as restyleFeed, startFeed } from "./feed.js";
import { startKeys } from "./keys.js";
import { first, repaint, startList } from "./list.js";
import { startLogin } from "./login.js";
import { catalogue, merge, notice, replace, status } from "./market.js";
import { format, route } from "./route.js";
import { forget, forgetColours } from "./spark.js";
import { connection, openStream } from "./stream.js";
import { watchTheme } from "./theme.js";
import { fields, zone } from "./zone.js";

const wide = matchMedia("(min-width: 761px)");

function showView() {
  const { view } = route.value;
  document.body.dataset.view = view;
  $("feed").hidden = view !== "feed";
  $("list").hidden = view === "feed";
  $("detail").hidden = view === "feed";
  setAttribute($("nav-feed"), "aria-current", view === "feed" ? "page" : null);
  setAttribute($("nav-indexes"), "aria-current", view === "feed" ? null : "page");
  const { code } = route.value;
  $("nav-indexes").setAttribute("href", format({ ...route.value, view: code && wide.matches ? "index" : "list" }));
  $("nav-feed").setAttribute("href", format({ ...route.value, view: "feed" }));
}

function showConnection() {
  const badge = $("connection");
  const daemon = status.value?.state ?? "connecting";
  const state = connection.value === "live" ? daemon : connection.value;
  const text = connection.value === "lost" ? "no connection, trying again" : state;
  document.body.dataset.connection = connection.value;
  badge.className = "connection state";
  badge.dataset.state = state;
  setText(badge, text);
}

function showZone() {
  setText($("zone"), zone.value === "UTC" ? "UTC" : fields(Date.now()).zone);
}

function restyle() {
  forgetColours();
  repaint();
  restyleDetail();
  restyleFeed();
}

/** An empty right half helps nobody: the first index is opened where there is room for both. */
function openFirst() {
  const code = first();
  if (route.value.view !== "list" || !wide.matches || !code || location.hash.length > 2) return;
  const next = { ...route.value, view: /** @type {const} */ ("index"), code };
  history.replaceState(null, "", format(next));
  route.set(next);
}

route.watch(showView);
connection.watch(showConnection);
zone.watch(showZone);
zone.watch(restyle);
status.watch(showConnection);
status.watch((now) => setText($("about"), now?.version ? `Divisor ${now.version}` : "Divisor"));
watchTheme(restyle);
showView();
showZone();
startLogin();
startKeys();
startFeed();
startList();
startDetail();

let opened = false;
catalogue.watch(() => {
  if (!opened) openFirst();
  opened = true;
});
openStream({
  snapshot(rows) {
    forget();
    replace(rows);
  },
  levels: merge,
  status: (now) => status.set(now),
  notice: (event) => notice.set(event),
});


