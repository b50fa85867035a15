// How the service is: what needs attention first, then the decisions, then the parts.
import {html} from '../html.js';
import {get} from '../api.js';
import {link} from '../router.js';
import {Badge} from '../badge.js';
import {DecisionsChart, count} from '../chart.js';
import {words} from '../reasons.js';
import {Details, Empty, Table, code} from '../table.js';
import {Ago, Clock, Moment, clockOf, lasting} from '../time.js';
import {View} from '../view.js';

const refresh = 15_000;
const shownDenials = 10;

// attention returns what an operator has to look at, as sentences.
export function attention(o) {
  const found = [];
  for (const v of o.vaults || []) {
    // While reads are suspended the vault object is not ready either.
    if (v.breaker === 'open') found.push(`Reads of vault object ${v.name} are suspended, because they failed. Cached credentials still work.${v.cause ? ' The cause: ' + v.cause : ''}`);
    else if (!v.ready) found.push(`Vault object ${v.name} cannot be used${v.cause ? ': ' + v.cause : '.'}`);
    const soon = v.expiring_in_use?.within_1d;
    if (soon) found.push(`${soon === 1 ? 'A credential' : `${count(soon)} credentials`} of vault object ${v.name} that ${soon === 1 ? 'is' : 'are'} in use ${soon === 1 ? 'expires' : 'expire'} within a day, or ${soon === 1 ? 'has' : 'have'} expired.`);
  }
  if (o.state?.current === false) {
    found.push(`This replica may have missed changes, so it answers requests with 503: the state was current ${lasting(o.state.lag_seconds || 0)} ago${o.state.problem ? ', ' + o.state.problem : ''}.`);
  }
  if (o.config?.last_reload_success === false) {
    found.push(`The configuration file was not taken, and the one before still holds${o.config.error ? ': ' + o.config.error : '.'}`);
  }
  return found.concat(attentionToOthers(o));
}

// attentionToOthers is about the replicas behind the first one, which is that of the overview.
function attentionToOthers({replicas}) {
  const found = [];
  for (const r of (replicas?.data || []).slice(1)) {
    if (r.missing) found.push(`Replica ${r.replica} has not been seen since ${clockOf(r.seen_at)}. It has crashed, or it cannot write to the state. It stays in the list for an hour.`);
    else if (!r.current) found.push(`Replica ${r.replica} may have missed changes, so it answered requests with 503 at ${clockOf(r.seen_at)}.`);
    if (r.reload_failed) found.push(`Replica ${r.replica} did not take its configuration file, and the one before still holds there.`);
  }
  if (replicas?.problem) found.push(`It is not known how the other replicas are${replicas.read_at ? ' since ' + clockOf(replicas.read_at) : ''}: ${replicas.problem}`);
  return found;
}

export class Overview extends View {
  name = 'overview';
  heading() { return 'Overview'; }

  async load(signal) { return (await get('/overview', {signal})).body; }

  componentDidMount() {
    super.componentDidMount();
    this.timer = setInterval(() => { if (!document.hidden) this.again(); }, refresh);
    this.woken = () => { if (!document.hidden) this.again(); };
    document.addEventListener('visibilitychange', this.woken);
  }

  componentWillUnmount() {
    super.componentWillUnmount();
    clearInterval(this.timer);
    document.removeEventListener('visibilitychange', this.woken);
  }

  again() { if (!this.state.loading) this.reload(); }

  actions(o) {
    return html`<span class="quiet">${o.replica && html`Replica ${code(o.replica)}, `}as of <${Clock} at=${o.now} /></span>
      <button type="button" onClick=${() => this.reload()}>Refresh</button>`;
  }

  body(o) {
    return html`
      <${Attention} sentences=${attention(o)} />
      <${Counts} counts=${o.counts} />
      <section aria-labelledby="decisions"><h2 id="decisions">Decisions of this replica, last hour</h2>
        ${o.decisions ? html`<${DecisionsChart} decisions=${o.decisions} />` : html`<p class="quiet">This replica does not count them.</p>`}
      </section>
      <section aria-labelledby="denials"><h2 id="denials">Latest denials</h2><${LatestDenials} denials=${o.denied_latest || []} /></section>
      <section aria-labelledby="vaults"><h2 id="vaults">Vaults</h2><${VaultStates} vaults=${o.vaults || []} /></section>
      <section aria-labelledby="replicas"><h2 id="replicas">Replicas</h2><${Replicas} replicas=${o.replicas?.data || []} /></section>
      <section aria-labelledby="service"><h2 id="service">This replica</h2>
        <div class="columns"><${State} state=${o.state} /><${Configuration} o=${o} /></div>
      </section>`;
  }
}

function Attention({sentences}) {
  if (sentences.length === 0) return html`<p class="notice good" role="status"><strong>Nothing needs attention.</strong> Vaults can be read, and the configuration holds.</p>`;
  return html`<div class="notice bad" role="status">
    <p><strong>${sentences.length === 1 ? 'One thing needs attention.' : `${sentences.length} things need attention.`}</strong></p>
    <ul>${sentences.map((s) => html`<li>${s}</li>`)}</ul>
  </div>`;
}

function Counts({counts}) {
  if (!counts) return null;
  const shown = [['consumers', 'Consumers', ['consumers']], ['policies', 'Policies', ['policies']], ['vaults', 'Vault objects', ['vaults']]];
  return html`<ul class="counts">
    ${shown.filter(([name]) => Number.isFinite(counts[name])).map(([name, title, to]) => html`<li><a href=${link(to)}><strong>${count(counts[name])}</strong> <span>${title}</span></a></li>`)}
  </ul>`;
}

function VaultStates({vaults}) {
  if (vaults.length === 0) return html`<${Empty} title="There is no vault object."><p>Declare one in the configuration, or create one: <code>vault-authz vault create</code></p><//>`;
  return html`<${Table} label="Vaults" rows=${vaults} columns=${[
    {title: 'Vault object', kind: 'name', cell: (v) => html`<a href=${link(['credentials'], {vault: v.name})}>${v.name}</a>`},
    {title: 'State', cell: (v) => html`<${Badge} kind=${v.ready ? 'good' : 'bad'}>${v.ready ? 'ready' : 'not ready'}<//>`},
    {title: 'Reads', cell: (v) => html`<${Breaker} state=${v.breaker} />`},
    {title: 'In use, expiring soon', cell: (v) => expiring(v.expiring_in_use)},
    {title: 'Made in', cell: (v) => (v.source === 'file' ? 'the configuration' : 'the admin API')},
    {title: 'Cause', cell: (v) => v.cause || '–'},
  ]} />`;
}

// Replicas lists those that share the state, the one of the overview first.
function Replicas({replicas}) {
  const here = replicas[0];
  return html`<${Table} label="Replicas" rows=${replicas} columns=${[
    {title: 'Replica', kind: 'name', cell: (r) => html`${code(r.replica)}${r === here && html` <span class="quiet">(this one)</span>`}`},
    {title: 'Seen', cell: (r) => (r.missing ? html`<${Badge} kind="bad">missing<//> <${Ago} at=${r.seen_at} />` : html`<${Ago} at=${r.seen_at} />`)},
    {title: 'State', cell: (r) => html`<${Badge} kind=${r.current ? 'good' : 'bad'}>${r.current ? 'current' : 'not current'}<//>`},
    {title: 'Configuration', cell: (r) => html`<${ConfigOf} replica=${r} here=${here} />`},
    {title: 'Version', cell: (r) => code(r.version)},
    {title: 'Started', cell: (r) => html`<${Moment} at=${r.started_at} />`},
  ]} />`;
}

// ConfigOf compares the configuration file of a replica with that of this one.
function ConfigOf({replica, here}) {
  if (replica.reload_failed) return html`<${Badge} kind="bad">refused<//>`;
  if (!replica.config_hash) return '–';
  const hash = html`<code title=${replica.config_hash}>${replica.config_hash.slice(0, 12)}…</code>`;
  return replica.config_hash === here.config_hash ? hash : html`<${Badge} kind="warn">another<//> ${hash}`;
}

// expiring says how many credentials that are in use expire within a week and a month.
function expiring(n) {
  if (!n) return '–';
  return n.within_30d === 0 ? 'none in 30 days' : `${count(n.within_7d)} in 7 days, ${count(n.within_30d)} in 30`;
}

function Breaker({state}) {
  if (!state) return '–';
  return html`<${Badge} kind=${state === 'open' ? 'bad' : 'good'}>${state === 'open' ? 'suspended' : 'as usual'}<//>`;
}

function State({state}) {
  if (!state) return null;
  return html`<div><h3>State</h3>
    <${Details} pairs=${[
      ['Current', html`<${Badge} kind=${state.current ? 'good' : 'bad'}>${state.current ? 'yes' : 'no'}<//>`],
      ['Proved', Number.isFinite(state.lag_seconds) ? `${lasting(state.lag_seconds)} ago` : null],
      ['Problem', state.problem],
    ]} /></div>`;
}

function Configuration({o}) {
  const c = o.config || {};
  return html`<div><h3>Program and configuration</h3>
    <${Details} pairs=${[
      ['Version', code(o.version)],
      ['Started', o.started_at && html`<${Moment} at=${o.started_at} />`],
      ['Configuration read', c.loaded_at && html`<${Moment} at=${c.loaded_at} />`],
      ['Last reload', c.last_reload_success === undefined || c.last_reload_success === null ? null : html`<${Badge} kind=${c.last_reload_success ? 'good' : 'bad'}>${c.last_reload_success ? 'taken' : 'refused'}<//>`],
      ['SHA-256 of the file', c.hash && html`<code title=${c.hash}>${c.hash.slice(0, 12)}…</code>`],
    ]} /></div>`;
}

function LatestDenials({denials}) {
  if (denials.length === 0) return html`<${Empty} title="This replica has denied nothing in the last 15 minutes."><p>To see why a request was denied elsewhere or earlier, ask under <a href=${link(['why'])}>Why?</a></p><//>`;
  return html`<${Table} label="Latest denials" rows=${denials.slice(0, shownDenials)} columns=${[
    {title: 'At', cell: (d) => html`<${Clock} at=${d.at} />`},
    {title: 'Reason', kind: 'name', cell: (d) => {
      const id = d.request_id || d.x_request_id;
      const text = words(d.reason) + (d.shadow ? ' (shadow, let through)' : '');
      return id ? html`<a href=${link(['why'], {id})} aria-label=${`Why? ${text}, ${d.method || ''} ${d.path || ''}`}>${text}</a>` : text;
    }},
    {title: 'Request', cell: (d) => html`<code>${[d.method, (d.host || '') + (d.path || '')].filter(Boolean).join(' ')}</code>`},
    {title: 'Policy', cell: (d) => d.policy || '–'},
    {title: 'Consumer', cell: (d) => (d.consumer ? html`<a href=${link(['consumers', d.consumer])}>${d.username || d.consumer}</a>` : '–')},
    {title: 'From', cell: (d) => d.source || '–'},
  ]} />`;
}
