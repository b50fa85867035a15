// Places in the page. A place is the hash of the address: #/consumers/ID?q=text. Nothing secret is
// ever put there, as addresses end up in the history of the browser.

// parse returns the path and the query of a hash, null if it is no place.
export function parse(hash) {
  if (hash === '' || hash === '#' || hash === '#/') return {path: ['overview'], query: {}};
  if (!hash.startsWith('#/')) return null;
  const [before, after = ''] = splitOnce(hash.slice(2), '?');
  try {
    return {
      path: before.replace(/\/$/, '').split('/').map(decodeURIComponent),
      query: Object.fromEntries(new URLSearchParams(after)),
    };
  } catch {
    return null; // it is badly escaped
  }
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

// link returns the address of a place. Every part is escaped, so data cannot lead anywhere else.
export function link(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const after = new URLSearchParams(given).toString();
  return '#/' + path.map(encodeURIComponent).join('/') + (after ? '?' + after : '');
}

export const go = (path, query) => { location.hash = link(path, query); };

// stay changes the query of this place without a new entry in the history.
export const stay = (path, query) => { history.replaceState(null, '', link(path, query)); };
