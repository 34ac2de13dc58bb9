// The calls of a job, made on a browser SDK's client as a web app makes them.
const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

const one = (client, { call, name, id, user, fields }) =>
  ({
    track: () => client.track(name, fields),
    identify: () => client.identify(user, fields),
    page: () => client.page(name, fields),
    screen: () => client.screen(name, fields),
    group: () => client.group(id, fields),
    alias: () => client.alias(user, id),
  })[call]();

export async function make(client, { calls, interval_ms, leave }) {
  const taken = [];
  for (const call of calls) {
    taken.push(one(client, call));
    if (interval_ms) await sleep(interval_ms);
  }
  // Segment's answers with a promise: until it is kept, an event is nowhere that outlives the page.
  if (leave) await Promise.all(taken);
}

// A page's bundle calls this with the way to load its SDK; the driver calls what is put on `window`.
// `load` returns the client, or a promise of it once the SDK has its configuration.
export function page(load) {
  window.begin = async (job) => {
    window.client = await load(job);
  };
  window.calls = (job) => make(window.client, job);
}
