// Vault objects: where credentials are kept, how that is at the moment, and a test of the
// connection.
import {Component, html} from '../html.js';
import {all, get, path} from '../api.js';
import {link} from '../router.js';
import {Badge} from '../badge.js';
import {ProblemNotice} from '../problem.js';
import {Details, Empty, code} from '../table.js';
import {lasting} from '../time.js';
import {View} from '../view.js';

export class Vaults extends View {
  name = 'vaults';
  heading() { return 'Vaults'; }

  async load(signal) {
    const [vaults, overview] = await Promise.all([all('/vault-auth', {signal}), get('/overview', {signal})]);
    return {vaults, states: overview.body.vaults || []};
  }

  actions() { return html`<button type="button" onClick=${() => this.reload()}>Refresh</button>`; }

  body({vaults, states}) {
    if (vaults.length === 0) {
      return html`<${Empty} title="There is no vault object yet."><p>It says where credentials are kept. Declare one in the configuration, or create one: <code>vault-authz vault create</code></p><//>`;
    }
    return html`<div class="cards">${vaults.map((v) => html`<${VaultCard} key=${v.id} vault=${v} state=${states.find((s) => (s.id && s.id === v.id) || s.name === v.name)} />`)}</div>`;
  }
}

function addressOf(v) {
  if (!v.host) return v.protocol === null ? 'in memory' : null;
  return code(`${v.protocol}://${v.host}:${v.port}`);
}

class VaultCard extends Component {
  state = {busy: false, result: null, problem: null};

  componentWillUnmount() { this.tests?.abort(); }

  async test() {
    this.tests = new AbortController();
    const {signal} = this.tests;
    this.setState({busy: true, problem: null});
    try {
      const {body} = await get(path`/vault-auth/${this.props.vault.name}/status`, {signal});
      this.setState({result: body, busy: false});
    } catch (problem) {
      if (!signal.aborted) this.setState({problem, result: null, busy: false});
    }
  }

  render({vault: v, state}, {busy, result, problem}) {
    const title = `vault-${v.id}`;
    return html`
      <section class="card" aria-labelledby=${title}>
        <div class="head"><h2 id=${title}>${v.name}</h2>
          ${state && html`<${Badge} kind=${state.ready ? 'good' : 'bad'}>${state.ready ? 'ready' : 'not ready'}<//>`}
          ${state?.breaker === 'open' && html`<${Badge} kind="bad">reads suspended<//>`}
        </div>
        ${state?.cause && html`<p class="notice bad">${state.cause}</p>`}
        <${Details} pairs=${[
          ['Address', addressOf(v)], ['Namespace', code(v.namespace)], ['Mount', code(v.mount)], ['Folder', code(v.prefix)],
          ['KV', v.kv], ['New secrets', v.secrets && (v.secrets === 'hashed' ? 'as hashes' : 'in clear text')], ['Token prefix', code(v.token_prefix)],
          ['Made in', state && (state.source === 'file' ? 'the configuration file' : 'the admin API')],
        ]} />
        <div class="buttons">
          <button type="button" aria-label=${`Test connection of ${v.name}`} disabled=${busy} onClick=${() => this.test()}>${busy ? 'Testing…' : 'Test connection'}</button>
          <a class="button" href=${link(['credentials'], {vault: v.name})}>Credentials</a>
        </div>
        <div role="status">
          ${problem && html`<${ProblemNotice} problem=${problem} />`}
          ${result && html`<${Tested} result=${result} />`}
        </div>
      </section>`;
  }
}

// A result is true, false, or null where it is not known.
function Known({value, bad = false}) {
  if (value === null || value === undefined) return html`<${Badge} kind="off">not known<//>`;
  return html`<${Badge} kind=${value === bad ? 'bad' : 'good'}>${value ? 'yes' : 'no'}<//>`;
}

// tokenLasts says how long the Vault token lives. The API says null of one without end, and of one
// of which it knows nothing.
export function tokenLasts({token_ttl_seconds: seconds, authenticated}) {
  if (Number.isFinite(seconds)) return seconds > 0 ? lasting(seconds) : 'it has ended';
  return authenticated ? 'without end, or not known' : null;
}

function Tested({result: r}) {
  const took = Number.isFinite(r.latency_ms) && ` A read took ${Math.round(r.latency_ms * 10) / 10} ms.`;
  return html`
    ${r.can_read === true && html`<p class="notice good"><strong>Credentials can be read.</strong>${took}</p>`}
    ${r.problem && html`<p class=${r.can_read === true ? 'notice warn' : 'notice bad'}><strong>${r.problem}</strong></p>`}
    <${Details} pairs=${[
      ['Reachable', html`<${Known} value=${r.reachable} />`],
      ['Sealed', html`<${Known} value=${r.sealed} bad=${true} />`],
      ['Standby', r.standby === null || r.standby === undefined ? 'not known' : r.standby ? 'yes' : 'no'],
      ['Its token is taken', html`<${Known} value=${r.authenticated} />`],
      ['Token lasts', tokenLasts(r)],
      ['May read credentials', html`<${Known} value=${r.can_read} />`],
      ['May list credentials', html`<${Known} value=${r.can_list} />`],
    ]} />`;
}
