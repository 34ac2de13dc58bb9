// Drops what nobody analyses: health checks, the company's own people and events on a list.

const UNWANTED = ['debug_heartbeat', 'lobby_fps'];
const OWN_PEOPLE = /@(example\.com|corp\.example\.com)$/i;

export function transformEvent(event, metadata) {
  if (event.type === 'track' && UNWANTED.includes(event.event)) return null;
  const traits = event.traits || (event.context && event.context.traits) || {};
  if (typeof traits.email === 'string' && OWN_PEOPLE.test(traits.email)) {
    log('dropped an event of our own people from', metadata(event).sourceName);
    return; // undefined drops as null does
  }
  return event;
}
