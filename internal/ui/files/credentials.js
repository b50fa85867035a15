// What the views of credentials share: the table, and making one.
import {html} from './html.js';
import {all, call, path} from './api.js';
import {link} from './router.js';
import {CredentialState} from './badge.js';
import {FormDialog, SecretDialog} from './dialog.js';
import {ProblemNotice} from './problem.js';
import {Empty, Table} from './table.js';
import {Ago, Moment, exact, lasting, nowSeconds} from './time.js';

// CredentialsTable shows a page of credentials. vault is the name of their vault object, where they
// do not say themselves.
export function CredentialsTable({page, vault, withVault, withConsumer, none}) {
  if (page.problem) return html`<${ProblemNotice} problem=${page.problem} />`;
  // A page of the server may be short, or empty, and still have a next one.
  if (page.data.length === 0) return page.offset ? html`<${Empty} title="Nothing on this page."><p>There is more on the next one.</p><//>` : none;
  const at = (c) => c.vault?.name || vault;
  return html`<${Table} label="Credentials" rows=${page.data} keyOf=${(c) => at(c) + '/' + c.access_token} columns=${[
    {title: 'Access token', kind: 'name', cell: (c) => html`<a href=${link(['credentials', at(c), c.access_token])}><code>${c.access_token}</code></a>`},
    {title: 'State', cell: (c) => html`<${CredentialState} credential=${c} />`},
    ...(withVault ? [{title: 'Vault object', cell: at}] : []),
    ...(withConsumer ? [{title: 'Consumer', cell: (c) => (c.consumer?.id ? html`<a href=${link(['consumers', c.consumer.id])}><code class="short">${c.consumer.id.slice(0, 8)}…</code></a>` : '–')}] : []),
    {title: 'Expires', cell: (c) => html`<${Moment} at=${c.expires_at} none="never" />`},
    {title: 'Last used', cell: (c) => html`<${LastUse} credential=${c} />`},
  ]} />`;
}

// LastUse says when a credential was used last, as far as that is known.
export function LastUse({credential}) {
  if (credential.last_used_at) return html`<${Ago} at=${credential.last_used_at} />`;
  if (credential.uses_known_since) return html`<span title=${`Uses are known since ${exact(credential.uses_known_since)}`}>not in the last ${lasting(nowSeconds() - credential.uses_known_since)}</span>`;
  return 'not known';
}

// fingerprintOf returns what logs and denials call an access token, null where the browser does not
// compute it, which is on plain http beyond this machine.
export async function fingerprintOf(accessToken) {
  if (!globalThis.crypto?.subtle) return null;
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(accessToken)));
  return [...sum.slice(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

// secretDialog shows the pair of an answer to a creation or rotation, then what follows.
export function secretDialog(title, {access_token, secret_token}, then, more) {
  return html`<${SecretDialog} title=${title} pairs=${[['Access token', access_token], ['Secret token', secret_token]]} onClose=${then}>${more}<//>`;
}

const lifetimes = [['never', ''], ['in 1 day', 86400], ['in 7 days', 7 * 86400], ['in 30 days', 30 * 86400], ['in 90 days', 90 * 86400], ['in 1 year', 365 * 86400]];

export function ExpirySelect({kept}) {
  return html`<label>Expires <select name="expires">
    ${kept && html`<option value="keep">as now</option>`}
    ${lifetimes.map(([title, seconds]) => html`<option value=${seconds}>${title}</option>`)}
  </select></label>`;
}

export const expiryOf = (seconds) => (seconds ? Math.floor(Date.now() / 1000) + Number(seconds) : null);

// newCredentialDialog asks in a view for what a new credential needs, makes it, and shows its
// secret. Where the consumer is not known it is asked for.
export async function newCredentialDialog(view, {consumer, name, vault}) {
  let vaults;
  try {
    vaults = await all('/vault-auth');
  } catch (problem) {
    view.setState({problem});
    return;
  }
  const submit = async (typed) => {
    const where = path`/vault-auth/${typed.vault}/credentials/${consumer || typed.consumer.trim()}`;
    const {body} = await call('POST', where, {body: {expires_at: expiryOf(typed.expires)}});
    view.show(secretDialog(`New credential of ${name || typed.consumer.trim()}`, body.data, () => view.done('The credential was created.')));
  };
  view.show(html`
    <${FormDialog} title=${name ? `New credential of ${name}` : 'New credential'} verb="Create" onSubmit=${submit} onClose=${() => view.hide()}>
      ${!consumer && html`<label>Consumer <input name="consumer" required autocomplete="off" spellcheck=${false} placeholder="username or id" /></label>`}
      <label>Vault object <select name="vault" required>${vaults.map((v) => html`<option value=${v.name} selected=${v.name === vault}>${v.name}</option>`)}</select></label>
      <p class="hint">It has to be the vault object of the policy that governs its requests.</p>
      <${ExpirySelect} />
    <//>`);
}

