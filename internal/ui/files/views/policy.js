// One policy with every option that it has.
import {html} from '../html.js';
import {all, get, path} from '../api.js';
import {link} from '../router.js';
import {Details, Tags, code} from '../table.js';
import {Moment} from '../time.js';
import {View} from '../view.js';
import {Groups, groupsOf, vaultName} from './policies.js';

// These are shown in their own way.
const apart = ['id', 'name', 'vault', 'acl', 'created_at', 'updated_at'];

function optionOf(value) {
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (Array.isArray(value)) return value.length > 0 && html`<${Tags} values=${value.map(String)} />`;
  if (value !== null && typeof value === 'object') return html`<pre>${JSON.stringify(value, null, 2)}</pre>`;
  return value === null || value === '' ? null : String(value);
}

export class Policy extends View {
  name = 'policy';
  heading() { return this.props.route.path[1]; }

  async load(signal) {
    const [policy, vaults, plugins] = await Promise.all([
      get(path`/policies/${this.props.route.path[1]}`, {signal}).then(({body}) => body), all('/vault-auth', {signal}), all('/plugins', {signal}),
    ]);
    return {policy, vaults, plugins};
  }

  body({policy, vaults, plugins}) {
    const vault = vaultName(policy, vaults);
    return html`
      ${policy.shadow && html`<p class="notice warn">It is a shadow: it decides and reports, and lets every request through.</p>`}
      <${Details} pairs=${[
        ['Vault object', html`<a href=${link(['credentials'], {vault})}>${vault}</a>`],
        ['Lets in groups', html`<${Groups} groups=${groupsOf(policy, plugins)} />`],
        ...Object.entries(policy).filter(([name]) => !apart.includes(name)).map(([name, value]) => [html`<code>${name}</code>`, optionOf(value)]),
        ['Id', code(policy.id)],
        ['Created', html`<${Moment} at=${policy.created_at} none="in the configuration file, which is where to change it" />`],
        ['Changed', policy.updated_at && html`<${Moment} at=${policy.updated_at} />`],
      ]} />
      <p class="quiet">The options are explained in docs/reference/configuration.md.${policy.created_at && html` To change one: <code>vault-authz policy update ${policy.name}</code>`}</p>`;
  }
}
