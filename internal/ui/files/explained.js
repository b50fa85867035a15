// Decisions step by step: those that were made, and those that would be.
import {html} from './html.js';
import {link} from './router.js';
import {Badge, Sign} from './badge.js';
import {advice, words} from './reasons.js';
import {Details, Table, Tags, code} from './table.js';
import {Moment} from './time.js';

const outcomes = {true: ['good', 'passed'], false: ['bad', 'failed'], undefined: ['off', 'not reached']};

// Verdict says how a decision came out, why, and what to do about that.
function Verdict({allowed, status, shadow, reason, meaning, error, instead_of: insteadOf}) {
  return html`
    <div class=${`verdict ${allowed ? 'good' : 'bad'}`}>
      <p class="outcome">${allowed ? 'Allowed' : `Denied${status ? ` with ${status}` : ''}`}${shadow && ', and let through by a shadow policy'}: <strong>${words(reason)}</strong></p>
      <p>${sentence(meaning)}</p>
      ${insteadOf && html`<p>Without the anonymous consumer it would be denied: <strong>${words(insteadOf)}</strong>.${advice[insteadOf] && ' ' + advice[insteadOf]}</p>`}
      ${error && html`<p>${sentence(error)}</p>`}
      ${!allowed && advice[reason] && html`<p><strong>What to do:</strong> ${advice[reason]}</p>`}
    </div>`;
}

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.') : '');

// Steps is a list of {title, result, ok}: ok is undefined for a step that was not reached.
function Steps({steps}) {
  return html`<ol class="steps">${steps.map(({title, result, ok}) => {
    const [kind, word] = outcomes[ok];
    return html`<li class=${kind}><span class="outcome-sign" role="img" aria-label=${word}><${Sign} kind=${kind} /></span><div><strong>${title}</strong><div>${result}</div></div></li>`;
  })}</ol>`;
}

const titles = {
  state: 'State', policy: 'Policy', preflight: 'Preflight', tokens: 'Tokens', record: 'Record', secret: 'Secret', limits: 'Limits', consumer: 'Consumer', anonymous: 'Anonymous consumer', acl: 'Groups', shadow: 'Shadow',
};

const titleOf = (step) => titles[step] || words(step);

const lookups = {
  hit: 'from the cache', absent_hit: 'known from the cache to be absent', stale_hit: 'from the cache, as Vault did not answer', miss: 'read from Vault', coalesced: 'read from Vault, together with other requests', refused: 'not asked for: too many reads', unanswered: 'Vault did not answer',
};

const listed = (places) => (places?.length > 0 ? places.join(', ') : null);

const consumerLink = (id, name) => html`<a href=${link(['consumers', id])}>${name || id}</a>`;

const policyLink = (name) => html`<a href=${link(['policies', name])}>${name}</a>`;

function credentialLink(vault, fingerprint) {
  if (!fingerprint) return null;
  return vault ? html`<a href=${link(['credentials'], {vault, fingerprint})}><code>${fingerprint}</code></a>` : code(fingerprint);
}

// RequestExplained shows the answer of POST /explain.
export function RequestExplained({answer: a}) {
  const steps = (a.steps || []).map((s) => ({title: titleOf(s.step), result: s.result, ok: s.ok}));
  return html`
    <section aria-label="Explanation">
      <${Verdict} ...${a} />
      <h2>Step by step</h2>
      <${Steps} steps=${steps} />
      <h2>What was found</h2>
      <${Details} pairs=${[
        ['Policy', a.policy && policyLink(a.policy)],
        ['Named by the route', a.route_policy],
        ['Vault object', a.vault && html`<a href=${link(['vaults'])}>${a.vault}</a>`],
        ['Access token in', listed(a.access_token_in)],
        ['Secret token in', listed(a.secret_token_in)],
        ['Credential', credentialLink(a.vault, a.credential)],
        ['Looked up', a.lookup && (lookups[a.lookup] || a.lookup)],
        ['Record', a.record?.state && words(a.record.state)],
        ['Secret before', a.record?.previous_expires_at ? html`<span>good until <${Moment} at=${a.record.previous_expires_at} /></span>` : null],
        ['Expires', a.record?.expires_at ? html`<${Moment} at=${a.record.expires_at} />` : null],
        ['Valid from', a.record?.not_before ? html`<${Moment} at=${a.record.not_before} />` : null],
        ['Consumer', a.consumer?.id && consumerLink(a.consumer.id, a.consumer.username)],
        ['Groups', a.consumer?.groups?.length > 0 && html`<${Tags} values=${a.consumer.groups} />`],
        ['Headers set for the upstream', a.headers?.set?.length > 0 && html`<${Tags} values=${a.headers.set} />`],
        ['Headers removed', a.headers?.remove?.length > 0 && html`<${Tags} values=${a.headers.remove} />`],
        ['Removed from the query', a.headers?.remove_query?.length > 0 && html`<${Tags} values=${a.headers.remove_query} />`],
      ]} />
      ${a.policies?.length > 0 && html`<h2>Policies in their order</h2><${ConsideredPolicies} policies=${a.policies} />`}
    </section>`;
}

function ConsideredPolicies({policies}) {
  return html`<${Table} label="Policies in their order" rows=${policies} columns=${[
    {title: 'Order', kind: 'number', cell: (p) => p.order},
    {title: 'Policy', kind: 'name', cell: (p) => policyLink(p.name)},
    {title: 'Selects the request', cell: (p) => html`<${Badge} kind=${p.matches ? 'good' : 'off'}>${p.matches ? 'yes' : 'no'}<//>`},
    {title: 'Governs it', cell: (p) => html`<${Badge} kind=${p.governs ? 'good' : 'off'}>${p.governs ? 'yes' : 'no'}<//>`},
    {title: 'Because', cell: (p) => p.why || '–'},
  ]} />`;
}

// How far a decision got that ended for a reason: the steps before are passed.
const order = ['policy', 'tokens', 'record', 'secret', 'limits', 'consumer', 'acl'];
const endedAt = {
  not_http: 'policy', no_policy: 'policy', ambiguous_path: 'policy', ambiguous_host: 'policy', ambiguous_policy: 'policy',
  missing_token: 'tokens', duplicate_token: 'tokens', malformed_token: 'tokens',
  unknown_token: 'record', malformed_record: 'record', unavailable: 'record', canceled: 'record',
  wrong_secret: 'secret', expired: 'limits', not_yet_valid: 'limits', disabled: 'limits', unknown_consumer: 'consumer', acl: 'acl', anonymous_acl: 'acl',
};

// stepsOf works out the steps of a denial that was remembered. Reasons that can come from anywhere
// have none.
export function stepsOf(d) {
  const last = order.indexOf(endedAt[d.reason]);
  if (last < 0) return [];
  const told = {
    policy: d.policy ? html`${policyLink(d.policy)} governs${chosenBy(d)}` : 'None governs',
    tokens: [d.access_token_in && `Access token in ${listed(d.access_token_in)}`, d.secret_token_in && `secret token in ${listed(d.secret_token_in)}`].filter(Boolean).join(', ') || 'None was found',
    record: d.lookup ? sentence((lookups[d.lookup] || d.lookup) + (d.read_anew && d.lookup !== 'miss' ? ', and read from Vault for this request' : '')) : '',
    secret: '', limits: '', consumer: d.consumer && html`It is ${consumerLink(d.consumer, d.username)}`, acl: '',
  };
  return order.map((step, i) => ({
    title: titleOf(step),
    ok: i < last ? true : i === last ? false : undefined,
    result: i > last ? 'Not reached' : i === last ? html`${told[step] && html`${told[step]}. `}${sentence(d.meaning)}` : told[step] || 'Passed',
  }));
}

// chosenBy says by what the policy was selected.
function chosenBy(d) {
  if (d.route_policy) return ', as the route names it';
  const m = d.matching?.[0];
  if (!m || d.matching_changed || m.policy !== d.policy) return '';
  const by = [m.host && `host ${m.host}`, m.path && `path ${m.path}`, m.priority && `priority ${m.priority}`].filter(Boolean).join(', ');
  return by ? `, chosen by ${by}` : m.default ? ', as the default' : '';
}

// DenialExplained shows one denial of GET /denials/{id}.
export function DenialExplained({denial: d, replica}) {
  const steps = stepsOf(d);
  return html`
    <section aria-label="Explanation">
      <${Verdict} ...${d} allowed=${false} />
      ${d.matching_changed && html`<p class="notice warn">The policies have changed since: such a request would be governed by another one now.</p>`}
      ${steps.length > 0 && html`<h2>Step by step</h2><${Steps} steps=${steps} />`}
      <h2>What was found</h2>
      <${Details} pairs=${[
        ['At', html`<${Moment} at=${d.at} /> on ${code(replica)}`],
        ['Request', code([d.method, (d.host || '') + (d.path || '')].filter(Boolean).join(' '))],
        ['From', code(d.source)],
        ['Request id', code(d.request_id)],
        ['x-request-id', code(d.x_request_id)],
        ['Policy', d.policy && policyLink(d.policy)],
        ['Named by the route', d.route_policy],
        ['Vault object', d.vault && html`<a href=${link(['vaults'])}>${d.vault}</a>`],
        ['Credential', credentialLink(d.vault, d.credential)],
        ['Consumer', d.consumer && consumerLink(d.consumer, d.username)],
        ['Took', `${d.duration_us} µs`],
      ]} />
      ${d.matching?.length > 0 && html`<h2>Policies that match now</h2><${Table} label="Policies that match now" rows=${d.matching} columns=${[
        {title: 'Order', kind: 'number', cell: (_, i) => i + 1},
        {title: 'Policy', kind: 'name', cell: (m) => policyLink(m.policy)},
        {title: 'Host', cell: (m) => code(m.host) || 'any'},
        {title: 'Path', cell: (m) => code(m.path) || 'any'},
        {title: 'Priority', kind: 'number', cell: (m) => m.priority || 0},
        {title: 'Default', cell: (m) => (m.default ? 'yes' : 'no')},
      ]} />`}
    </section>`;
}

// RequestRead shows what was understood of a command. Values of headers may be secrets, so they are
// covered: only their length is shown.
export function RequestRead({request: r}) {
  return html`
    <details class="read"><summary>Read as ${code(`${r.method} ${r.host}${r.path.split('?')[0]}`)}${r.path.includes('?') && ' with a query'}, ${r.headers.length} headers${r.body === null ? '' : ` and a body of ${new TextEncoder().encode(r.body).length} bytes`}</summary>
      ${r.headers.length > 0 && html`<${Table} label="Headers" rows=${r.headers} columns=${[
        {title: 'Header', kind: 'name', cell: ([name]) => code(name)},
        {title: 'Value', cell: ([, value]) => html`<span class="quiet">${[...value].length} characters</span>`},
      ]} />`}
    </details>`;
}
