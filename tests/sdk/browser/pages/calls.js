// The calls of a job, made on a browser SDK's client as a web app makes them.
const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

export async function make(client, { calls, interval_ms }) {
  for (const { call, name, id, user, fields } of calls) {
    if (call === "track") client.track(name, fields);
    else if (call === "identify") client.identify(user, fields);
    else if (call === "page") client.page(name, fields);
    else if (call === "screen") client.screen(name, fields);
    else if (call === "group") client.group(id, fields);
    else if (call === "alias") client.alias(user, id);
    else throw new Error(`no such call: ${call}`);
    if (interval_ms) await sleep(interval_ms);
  }
}

// A page's bundle calls this with the way to load its SDK; the driver calls what is put on `window`.
// `load` returns the client, or a promise of it once the SDK has its configuration.
export function page(load) {
  window.begin = async (job) => {
    window.client = await load(job);
  };
  window.calls = (job) => make(window.client, job);
}
