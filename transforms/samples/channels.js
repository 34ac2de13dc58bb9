// A library: files beside a transformation are imported by their name without the ending.

const SEARCH = ['google.', 'bing.', 'duckduckgo.', 'ecosia.'];
const SOCIAL = ['mastodon.', 'linkedin.', 'reddit.', 'facebook.'];

function hostOf(address) {
  const match = /^https?:\/\/([^/?#]+)/.exec(address || '');
  return match ? match[1].toLowerCase() : '';
}

export function channelOf(referrer, search) {
  if (/[?&]utm_medium=(cpc|paid)/.test(search || '')) return 'paid';
  if (/[?&]utm_medium=email/.test(search || '')) return 'email';
  const host = hostOf(referrer);
  if (host === '') return 'direct';
  if (SEARCH.some((part) => host.includes(part))) return 'search';
  if (SOCIAL.some((part) => host.includes(part))) return 'social';
  return 'referral';
}
