// Policies in the order in which they decide.
import {html} from '../html.js';
import {all} from '../api.js';
import {link} from '../router.js';
import {Badge} from '../badge.js';
import {compare} from '../specificity.js';
import {Empty, Table, Tags} from '../table.js';
import {View} from '../view.js';

// groupsOf returns the groups that a policy lets in or keeps out: its own, or else those of the
// acl plugin, which holds for all.
export function groupsOf(policy, plugins) {
  const own = policy.acl;
  if (own?.allow?.length > 0 || own?.deny?.length > 0) return {allow: own.allow || [], deny: own.deny || [], byPlugin: false};
  const plugin = plugins.find((p) => p.name === 'acl')?.config;
  return {allow: plugin?.allow || [], deny: plugin?.deny || [], byPlugin: Boolean(plugin)};
}

export const vaultName = (policy, vaults) => vaults.find((v) => v.id === policy.vault?.id)?.name || policy.vault?.name || policy.vault?.id || '–';

export class Policies extends View {
  name = 'policies';
  heading() { return 'Policies'; }

  async load(signal) {
    const [policies, vaults, plugins] = await Promise.all(['/policies', '/vault-auth', '/plugins'].map((where) => all(where, {signal})));
    return {policies: policies.sort(compare), vaults, plugins};
  }

  body({policies, vaults, plugins}) {
    if (policies.length === 0) {
      return html`<${Empty} title="There are no policies, so every request is denied.">
        <p>Declare one in the configuration, or create the default: <code>vault-authz policy create default --vault NAME --default</code></p><//>`;
    }
    const hasDefault = policies.some((p) => p.default);
    return html`
      <p>Of the policies whose hosts and paths match a request, the first one in this list governs it. A route of Envoy can name another one.
        To see what governs a certain request, ask <a href=${link(['why'])}>Why?</a></p>
      ${!hasDefault && html`<p class="notice warn">No policy is the default: requests that no policy selects are denied.</p>`}
      <${Table} label="Policies" rows=${policies} keyOf=${(p) => p.id || p.name} columns=${[
        {title: 'Order', kind: 'number', cell: (_, i) => i + 1},
        {title: 'Policy', kind: 'name', cell: (p) => html`<a href=${link(['policies', p.name])}>${p.name}</a>
          ${p.default && html` <${Badge} kind="word">default<//>`}${p.shadow && html` <${Badge} kind="warn">shadow, protects nothing<//>`}`},
        {title: 'Hosts', kind: 'list', cell: (p) => html`<${Tags} values=${p.hosts} none="any" />`},
        {title: 'Paths', kind: 'list', cell: (p) => html`<${Tags} values=${p.paths} none="any" />`},
        {title: 'Priority', kind: 'number', cell: (p) => p.priority || 0},
        {title: 'Vault object', cell: (p) => vaultName(p, vaults)},
        {title: 'Groups', kind: 'list', cell: (p) => html`<${Groups} groups=${groupsOf(p, plugins)} />`},
      ]} />`;
  }
}

export function Groups({groups: {allow, deny, byPlugin}}) {
  if (allow.length + deny.length === 0) return 'all';
  return html`<span>${allow.length > 0 ? 'only' : 'all but'} <${Tags} values=${allow.length > 0 ? allow : deny} />${byPlugin && html` <span class="quiet">(plugin acl)</span>`}</span>`;
}
