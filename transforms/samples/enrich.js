// Adds what can be said from the event alone: the marketing channel of a page, found by a library
// beside this file, and where the event came from. Works on a batch, to show how.

import { channelOf } from 'channels';

export async function transformBatch(events, metadata) {
  for (const event of events) {
    const page = (event.context && event.context.page) || {};
    event.properties = {
      ...event.properties,
      channel: channelOf(page.referrer, page.search),
      source: metadata(event).sourceName,
    };
  }
  return events;
}
