// One credential: what a check makes of it, and what can be done about that.
import {html} from '../html.js';
import {call, get, path} from '../api.js';
import {go, link} from '../router.js';
import {CredentialState, stateOf} from '../badge.js';
import {ExpirySelect, LastUse, expiryOf, fingerprintOf, secretDialog} from '../credentials.js';
import {FormDialog} from '../dialog.js';
import {advice} from '../reasons.js';
import {Details, code} from '../table.js';
import {Moment, lasting} from '../time.js';
import {View} from '../view.js';

// How long the secret before a rotation can stay good.
const graces = [[3600, '1 hour'], [0, 'not at all'], [86400, '1 day'], [7 * 86400, '7 days'], [30 * 86400, '30 days'], [90 * 86400, '90 days']];

export class Credential extends View {
  name = 'credential';
  heading() { return 'Credential'; }

  get vault() { return this.props.route.path[1]; }
  get token() { return this.props.route.path[2]; }
  get where() { return path`/vault-auth/${this.vault}/credentials/token/${this.token}`; }

  async load(signal) {
    const {body, warnings} = await get(this.where, {signal});
    const credential = body.data;
    const [consumer, fingerprint] = await Promise.all([
      credential.consumer?.id ? get(path`/consumers/${credential.consumer.id}`, {signal}).then((answer) => answer.body, () => null) : null,
      fingerprintOf(this.token),
    ]);
    return {credential, consumer, fingerprint, warnings};
  }

  actions({credential}) {
    if (!this.props.session.canWrite) return null;
    return html`
      <button type="button" class="primary" onClick=${() => this.rotate(credential)}>Rotate secret</button>
      <button type="button" onClick=${() => this.expire(credential)}>Change expiry</button>
      ${credential.disabled ? html`<button type="button" onClick=${() => this.disable(credential, false)}>Enable</button>`
        : html`<button type="button" onClick=${() => this.disable(credential, true)}>Disable</button>`}
      <button type="button" class="danger" onClick=${() => this.remove(credential)}>Delete</button>`;
  }

  body({credential: c, consumer, fingerprint}) {
    const state = stateOf(c);
    return html`
      <p class="thing"><code>${c.access_token}</code></p>
      <${Details} pairs=${[
        ['State', html`<${CredentialState} credential=${c} />`],
        ['What to do', advice[state]],
        ['Mistake', c.mistake],
        ['Refused by', c.refused_by?.length > 0 && html`${c.refused_by.join(', ')} <span class="quiet">(by the acl of the policy)</span>`],
        ['Secret before', state === 'rotating' && html`<span>good until <${Moment} at=${c.previous_expires_at} /></span>`],
        ['Consumer', c.consumer?.id && html`<a href=${link(['consumers', c.consumer.id])}>${consumer ? consumer.username || consumer.custom_id || consumer.id : c.consumer.id}</a>`],
        ['Vault object', html`<a href=${link(['credentials'], {vault: this.vault})}>${this.vault}</a>`],
        ['Expires', html`<${Moment} at=${c.expires_at} none="never" />`],
        ['Valid from', c.not_before && html`<${Moment} at=${c.not_before} />`],
        ['Last used', html`<${LastUse} credential=${c} />`],
        ['Secret in Vault', c.hashed ? 'as a hash' : 'in clear text'],
        ['Read again after', c.ttl ? lasting(c.ttl) : null],
        ['Fingerprint', fingerprint && html`${code(fingerprint)} <span class="quiet">(in logs and denials)</span>`],
        ['Created', c.created_at && html`<${Moment} at=${c.created_at} />`],
        ['Changed', c.updated_at && html`<${Moment} at=${c.updated_at} />`],
      ]} />`;
  }

  rotate(credential) {
    const isRotating = stateOf(credential) === 'rotating';
    const submit = async ({grace, force}) => {
      const {body} = await call('POST', this.where + '/rotate', {body: {grace: Number(grace), ...(force ? {force: true} : {})}});
      const until = body.data.previous_expires_at;
      this.show(secretDialog('New secret', body.data, () => this.done('The secret was rotated.'),
        html`<p>${until ? html`The secret before works until <${Moment} at=${until} />.` : 'The secret before does not work any more.'}</p>`));
    };
    this.show(html`
      <${FormDialog} title="Rotate the secret?" verb="Rotate secret" onSubmit=${submit} onClose=${() => this.hide()}>
        <p>The access token ${code(credential.access_token)} gets a new secret. The client needs it before the old one ends.</p>
        <label>The old secret still works for <select name="grace">${graces.map(([seconds, title]) => html`<option value=${seconds}>${title}</option>`)}</select></label>
        ${isRotating && html`<p class="notice warn">A rotation is under way: the secret before is good until <${Moment} at=${credential.previous_expires_at} />. Another one ends that at once.</p>
          <label class="check"><input type="checkbox" name="force" /> End it, and rotate again</label>`}
      <//>`);
  }

  disable(credential, disabled) {
    const submit = async () => {
      await call('PATCH', this.where, {body: {disabled}});
      await this.done(disabled ? 'The credential is disabled.' : 'The credential is enabled.');
    };
    this.show(html`
      <${FormDialog} title=${disabled ? 'Disable this credential?' : 'Enable this credential?'} verb=${disabled ? 'Disable' : 'Enable'} danger=${disabled} onSubmit=${submit} onClose=${() => this.hide()}>
        <p>${disabled ? html`Requests with ${code(credential.access_token)} are denied with 401 within about two seconds, on every replica. You can enable it again.`
          : html`Requests with ${code(credential.access_token)} and its secret are let in again.`}</p>
      <//>`);
  }

  expire(credential) {
    const submit = async ({expires}) => {
      if (expires !== 'keep') await call('PATCH', this.where, {body: {expires_at: expiryOf(expires)}});
      await this.done('The expiry was changed.');
    };
    this.show(html`
      <${FormDialog} title="Change the expiry" verb="Change" onSubmit=${submit} onClose=${() => this.hide()}>
        <p>Now: <${Moment} at=${credential.expires_at} none="never" /></p>
        <${ExpirySelect} kept />
      <//>`);
  }

  remove(credential) {
    const submit = async () => {
      await call('DELETE', this.where);
      this.props.session.say('The credential was deleted.');
      go(['credentials'], {vault: this.vault});
    };
    this.show(html`
      <${FormDialog} title="Delete this credential?" verb="Delete" danger onSubmit=${submit} onClose=${() => this.hide()}>
        <p>${code(credential.access_token)} in ${this.vault} stops working within about two seconds, on every replica. This cannot be undone.</p>
        <p class="hint">To stop it for a while, disable it.</p>
      <//>`);
  }
}
