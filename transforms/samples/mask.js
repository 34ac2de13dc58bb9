// Masks personal data: e-mail addresses anywhere in the event's own data, names and phone numbers
// by their key. What joins events (userId, anonymousId, groupId) is left to the rule packs, which
// can hash it with a key; a transformation has none.

const ADDRESS = /[\w.+-]+@[\w-]+(\.[\w-]+)+/g;
const REMOVED = new Set(['password', 'birthday', 'avatar']);
const MASKED = new Set(['name', 'firstName', 'lastName', 'username', 'phone']);

// Keeps the last two characters, so that support can still tell two people apart.
function lastTwo(text) {
  return '*'.repeat(Math.max(text.length - 2, 3)) + (text.length > 4 ? text.slice(-2) : '');
}

function mask(values) {
  for (const key in values) {
    const value = values[key];
    if (REMOVED.has(key)) {
      delete values[key];
    } else if (typeof value === 'string') {
      if (MASKED.has(key)) values[key] = lastTwo(value);
      else if (value.includes('@')) values[key] = value.replace(ADDRESS, '[email]');
    } else if (value !== null && typeof value === 'object') {
      mask(value);
    }
  }
}

export function transformEvent(event) {
  if (event.properties) mask(event.properties);
  if (event.traits) mask(event.traits);
  if (event.context && event.context.traits) mask(event.context.traits);
  return event;
}
