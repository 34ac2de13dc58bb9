// Calls the SDK, and looks each event up in the lake by the messageId that the SDK gave it.
const POLL_MS = 500;
const calls = {
  post: (sdk, done) => sdk.track("Post Created", { words: 42, channel_kind: "public" }, done),
  personal: (sdk, done) => sdk.track("Post Created", { words: 5, note: "mail kim@example.org" }, done),
  identify: (sdk, done) => sdk.identify("u-1", { plan: "team", email: "kim@example.org" }, done),
  page: (sdk, done) => sdk.page("Channels", { section: "town square" }, done),
};
const waiting = new Map();
const trouble = (text) => (document.getElementById("trouble").textContent = text);

function show(event) {
  const said = event.type === "identify" ? event.context.traits : event.properties;
  const { words, note, section, channel_kind, plan, email } = said;
  const row = document.getElementById("rows").insertRow(0);
  for (const text of [
    event.event ?? event.name ?? event.type,
    JSON.stringify({ words, note, section, channel_kind, plan, email }),
    "posted",
    "",
  ]) {
    row.insertCell().textContent = text;
  }
  row.cells[2].className = "waits";
  waiting.set(event.messageId, { row, at: performance.now() });
}

async function poll() {
  if (waiting.size > 0) {
    const answer = await fetch("/rows?" + new URLSearchParams([...waiting.keys()].map((id) => ["id", id])));
    if (!answer.ok) throw new Error(await answer.text());
    for (const { id, ...columns } of await answer.json()) {
      const { row, at } = waiting.get(id);
      waiting.delete(id);
      row.cells[2].textContent = `in the lake after ${((performance.now() - at) / 1000).toFixed(1)} s`;
      row.cells[2].className = "arrived";
      row.cells[3].textContent = JSON.stringify(columns);
    }
  }
  trouble("");
}

async function start() {
  const { gateway, write_key } = await (await fetch("/settings")).json();
  document.getElementById("gateway").textContent = gateway;
  const sdk = new rudderanalytics.RudderAnalytics();
  sdk.load(write_key, gateway, { configUrl: gateway });
  for (const button of document.querySelectorAll("button")) {
    button.onclick = () => calls[button.dataset.call](sdk, show);
  }
  for (;;) {
    await poll().catch((error) => trouble(error.message));
    await new Promise((next) => setTimeout(next, POLL_MS));
  }
}

start().catch((error) => trouble(error.message));
