// Finds one text in everything that people look for: consumers, credentials, denials, policies and
// vault objects.
import {html} from '../html.js';
import {all, get, path} from '../api.js';
import {link} from '../router.js';
import {CredentialState} from '../badge.js';
import {fingerprintOf} from '../credentials.js';
import {Empty, Table, code} from '../table.js';
import {Clock} from '../time.js';
import {words} from '../reasons.js';
import {mayBeRequestID, maySearch, noSearch} from '../typed.js';
import {View} from '../view.js';

const isFingerprint = (q) => /^[0-9a-f]{8}$/i.test(q);
const isAccessToken = (q) => /^[\x21-\x7e]{12,}$/.test(q);
const isRequestID = (q) => /^[0-9a-f]{32}$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(q);

// Each vault object is asked on its own, and one that does not answer is named.
const mostVaults = 50;

export class Search extends View {
  name = 'search';
  get q() { return (this.props.route.query.q || '').trim(); }

  heading() { return maySearch(this.q) ? `Search for “${this.q}”` : 'Search'; }

  async load(signal) {
    const {q} = this;
    if (!q) return {q};
    if (!maySearch(q)) throw noSearch();
    const includes = (text) => (text || '').toLowerCase().includes(q.toLowerCase());
    const [consumers, policies, vaults, denials] = await Promise.all([
      get('/consumers', {signal, query: {search: q, size: 10}}).then(({body}) => body),
      all('/policies', {signal}), all('/vault-auth', {signal}),
      isRequestID(q) ? get(path`/denials/${q}`, {signal}).then(({body}) => body.data, (problem) => { if (problem.status !== 404) throw problem; return []; }) : [],
    ]);
    return {
      q, consumers: consumers.data, more: Boolean(consumers.next), denials,
      policies: policies.filter((p) => includes(p.name) || (p.hosts || []).some(includes) || (p.paths || []).some(includes)),
      vaults: vaults.filter((v) => includes(v.name)),
      ...await this.credentials(q, vaults, signal),
    };
  }

  // An access token is found by its fingerprint, which is all that the API compares.
  async credentials(q, vaults, signal) {
    const fingerprint = isFingerprint(q) ? q.toLowerCase() : isAccessToken(q) ? await fingerprintOf(q) : null;
    if (!fingerprint) return {credentials: [], unasked: []};
    const unasked = [];
    const found = await Promise.all(vaults.slice(0, mostVaults).map((v) => get(path`/vault-auth/${v.name}/credentials`, {signal, query: {fingerprint}})
      .then(({body}) => body.data.map((credential) => ({credential, vault: v.name})), () => { signal.throwIfAborted(); unasked.push(v.name); return []; })));
    // Of the few bits of a fingerprint another access token may have the same.
    return {credentials: found.flat().filter(({credential}) => isFingerprint(q) || credential.access_token === q), unasked};
  }

  body({q, consumers, more, denials, policies, vaults, credentials, unasked}) {
    if (!q) return html`<${Empty} title="Type something into the search at the top."><p>It finds usernames, custom ids, groups, access tokens and their fingerprints, request ids, policies and vault objects.</p><//>`;
    const nothing = [consumers, denials, policies, vaults, credentials].every((found) => found.length === 0);
    return html`
      ${unasked.length > 0 && html`<p class="notice warn" role="status">Not searched, as they did not answer: ${unasked.join(', ')}</p>`}
      ${nothing && html`<${Empty} title="Nothing was found.">
        <p>Usernames, custom ids, groups, policies and vault objects are found by a part of their name; access tokens, fingerprints and request ids only as a whole.</p>
        ${mayBeRequestID(q) && html`<p><a href=${link(['why'], {id: q})}>Look for a denied request with this id</a></p>`}<//>`}
      ${credentials.length > 0 && html`<section><h2>Credentials</h2><${Table} label="Credentials" rows=${credentials} columns=${[
        {title: 'Access token', kind: 'name', cell: ({vault, credential: c}) => html`<a href=${link(['credentials', vault, c.access_token])}><code>${c.access_token}</code></a>`},
        {title: 'Vault object', cell: ({vault}) => vault},
        {title: 'State', cell: ({credential}) => html`<${CredentialState} credential=${credential} />`},
      ]} /></section>`}
      ${denials.length > 0 && html`<section><h2>Denials</h2><${Table} label="Denials" rows=${denials} columns=${[
        {title: 'Reason', kind: 'name', cell: (d) => html`<a href=${link(['why'], {id: q})}>${words(d.reason)}</a>`},
        {title: 'At', cell: (d) => html`<${Clock} at=${d.at} />`},
        {title: 'Request', cell: (d) => code([d.method, (d.host || '') + (d.path || '')].filter(Boolean).join(' '))},
      ]} /></section>`}
      ${consumers.length > 0 && html`<section><h2>Consumers</h2><${Table} label="Consumers" rows=${consumers} columns=${[
        {title: 'Consumer', kind: 'name', cell: (c) => html`<a href=${link(['consumers', c.id])}>${c.username || c.custom_id || c.id}</a>`},
        {title: 'Custom id', cell: (c) => code(c.custom_id) || '–'},
        {title: 'Id', cell: (c) => code(c.id)},
      ]} />${more && html`<p><a href=${link(['consumers'], {q})}>All consumers that match</a></p>`}</section>`}
      ${policies.length > 0 && html`<section><h2>Policies</h2><ul class="plain">${policies.map((p) => html`<li><a href=${link(['policies', p.name])}>${p.name}</a></li>`)}</ul></section>`}
      ${vaults.length > 0 && html`<section><h2>Vault objects</h2><ul class="plain">${vaults.map((v) => html`<li><a href=${link(['credentials'], {vault: v.name})}>${v.name}</a></li>`)}</ul></section>`}`;
  }
}
