// Tables that become a list of cards where there is no room for columns.
import {html} from './html.js';

// Table shows rows. A column is {title, cell: row => content, kind}: kind "name" heads the card of
// a row, "number" is aligned right, "list" has room for an item. The roles are written out because a browser forgets those of
// elements that are laid out in another way.
export function Table({label, columns, rows, keyOf}) {
  return html`
    <table role="table" aria-label=${label}>
      <thead role="rowgroup"><tr role="row">
        ${columns.map((c) => html`<th role="columnheader" scope="col" class=${c.kind}>${c.title}</th>`)}
      </tr></thead>
      <tbody role="rowgroup">
        ${rows.map((row, i) => html`<tr role="row" key=${keyOf ? keyOf(row) : i}>
          ${columns.map((c) => html`<td role="cell" class=${c.kind} data-title=${c.title}><div>${c.cell(row, i)}</div></td>`)}
        </tr>`)}
      </tbody>
    </table>`;
}

// Empty says what is not there, and what to do next.
export function Empty({title, children}) {
  return html`<div class="empty"><p><strong>${title}</strong></p>${children}</div>`;
}

// Pager goes through a list that the server gives out in pages.
export function Pager({shown, offsets, next, go}) {
  if (offsets.length === 1 && !next) return null;
  return html`
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled=${offsets.length === 1} onClick=${() => go(offsets.slice(0, -1))}>Previous</button>
      <span>Page ${offsets.length}, ${shown} shown</span>
      <button type="button" disabled=${!next} onClick=${() => go([...offsets, next])}>Next</button>
    </nav>`;
}

// Details shows pairs of name and value. Those without a value are left out.
export function Details({pairs}) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false);
  return html`<dl class="details">${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export const code = (text) => text === null || text === undefined || text === '' ? null : html`<code>${text}</code>`;

export function Tags({values, none = '–'}) {
  if (!values || values.length === 0) return none;
  return html`<ul class="tags">${values.map((value) => html`<li><span>${breakable(value)}</span></li>`)}</ul>`;
}

// breakable lets a host or path go on in the next line after a dot or slash, before it does so inside a word.
const breakable = (text) => String(text).split(/(?<=[./])/).flatMap((part, i) => (i > 0 ? [html`<wbr />`, part] : [part]));
