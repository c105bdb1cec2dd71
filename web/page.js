// The indexes, live.
const rows = new Map();
const body = document.getElementById("indexes");
const state = document.getElementById("state");

function show(index) {
  let row = rows.get(index.code);
  if (!row) {
    row = body.insertRow();
    rows.set(index.code, row);
  }
  const sign = index.chg === null ? "" : index.chg.startsWith("-") ? "▼ " : "▲ ";
  const time = index.ts === null ? "" : index.ts.slice(0, 19).replace("T", " ");
  const cells = [index.code, index.name, index.level, index.chg && sign + index.chg, index.chg_pct,
    time, index.status];
  row.replaceChildren(...cells.map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text ?? "";
    return cell;
  }));
}

const stream = new EventSource("api/v1/stream");
stream.addEventListener("snapshot", (event) => {
  const { levels, status } = JSON.parse(event.data);
  body.replaceChildren();
  rows.clear();
  levels.forEach(show);
  if (status) state.textContent = `${status.state}, store ${status.store}`;
});
stream.addEventListener("levels", (event) => JSON.parse(event.data).forEach(show));
stream.addEventListener("status", (event) => {
  const status = JSON.parse(event.data);
  state.textContent = `${status.state}, store ${status.store}, ${status.feed.rate} ticks/s`;
});
stream.addEventListener("error", () => { state.textContent = "connecting"; });
