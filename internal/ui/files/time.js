// Times are shown in the zone of the browser, with the exact time for machines and on hovering.
import {html} from './html.js';

const day = new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short'});
const clock = new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit'});
const exactClock = new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit', second: '2-digit'});
const distance = new Intl.RelativeTimeFormat('en', {numeric: 'auto'});

const units = [['year', 31536000], ['month', 2592000], ['day', 86400], ['hour', 3600], ['minute', 60]];

export const nowSeconds = () => Date.now() / 1000;

// fromNow returns words like "in 3 days" or "5 minutes ago".
export function fromNow(at, now = nowSeconds()) {
  const apart = at - now;
  for (const [unit, seconds] of units) {
    if (Math.abs(apart) >= seconds) return distance.format(Math.trunc(apart / seconds), unit);
  }
  return Math.abs(apart) < 5 ? 'now' : distance.format(Math.trunc(apart), 'second');
}

// lasting returns words like "2 h 5 min" or "20 days".
export function lasting(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds >= 2 * 86400) return `${Math.floor(seconds / 86400)} days`;
  const parts = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const words = [];
  let left = Math.round(seconds);
  for (const [unit, size] of parts) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0) words.push(`${n} ${unit}`);
  }
  return words.slice(0, 2).join(' ');
}

// Times beyond these are no dates to a browser.
const isDate = (at) => Number.isFinite(at) && Math.abs(at) <= 8.64e12;

// clockOf returns the time of day.
export const clockOf = (at) => (isDate(at) ? clock.format(at * 1000) : String(at));

// exact returns a time for machines.
export const exact = (at) => (isDate(at) ? new Date(at * 1000).toISOString() : String(at));

const stamp = (at) => ({datetime: exact(at), title: exact(at)});

// Moment shows a time in Unix seconds, and how far away it is. none is shown where there is none.
export function Moment({at, none = '–'}) {
  if (at === null || at === undefined) return none;
  if (!isDate(at)) return String(at);
  return html`<time ...${stamp(at)}>${day.format(at * 1000)} <span class="quiet">(${fromNow(at)})</span></time>`;
}

// Ago shows how far away a time is, where the exact one matters less.
export function Ago({at, none = '–'}) {
  if (at === null || at === undefined) return none;
  if (!isDate(at)) return String(at);
  return html`<time ...${stamp(at)}>${fromNow(at)}</time>`;
}

// Clock shows the time of day, for what happened a short time ago.
export function Clock({at}) {
  if (!isDate(at)) return String(at);
  return html`<time ...${stamp(at)}>${exactClock.format(at * 1000)}</time>`;
}
