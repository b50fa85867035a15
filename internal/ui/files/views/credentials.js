// The credentials of a vault object, a page at a time, or the one with a fingerprint.
import {html} from '../html.js';
import {all, get, path} from '../api.js';
import {go} from '../router.js';
import {CredentialsTable, newCredentialDialog} from '../credentials.js';
import {Empty, Pager, code} from '../table.js';
import {View} from '../view.js';

export class Credentials extends View {
  name = 'credentials';
  heading() { return 'Credentials'; }
  initial() { return {offsets: ['']}; }

  async load(signal) {
    const vaults = await all('/vault-auth', {signal});
    const {fingerprint = ''} = this.props.route.query;
    const vault = this.props.route.query.vault || vaults[0]?.name;
    if (!vault) return {vaults};
    // The vault objects are shown also while this one cannot be read: another one may be chosen.
    const page = await get(path`/vault-auth/${vault}/credentials`, {signal, query: fingerprint ? {fingerprint} : {size: 100, offset: this.state.offsets.at(-1)}})
      .then(({body, warnings}) => ({...body, warnings}), (problem) => { signal.throwIfAborted(); return {problem, data: []}; });
    return {vaults, vault, fingerprint, page, warnings: page.warnings};
  }

  routed() { this.setState({offsets: ['']}, () => this.reload()); }

  actions({vault}) {
    return vault && this.props.session.canWrite && html`<button type="button" class="primary" onClick=${() => newCredentialDialog(this, {vault})}>New credential</button>`;
  }

  filter(event) {
    event.preventDefault();
    const {fingerprint} = Object.fromEntries(new FormData(event.target));
    go(['credentials'], {vault: this.state.data.vault, fingerprint: fingerprint.trim().toLowerCase()});
  }

  body({vaults, vault, fingerprint, page}) {
    if (!vault) return html`<${Empty} title="There is no vault object yet."><p>Credentials are kept in one. Declare it in the configuration, or create one: <code>vault-authz vault create</code></p><//>`;
    const {offsets} = this.state;
    return html`
      <form class="filters" onSubmit=${(e) => this.filter(e)}>
        <label>Vault object <select value=${vault} onChange=${(e) => go(['credentials'], {vault: e.target.value})}>
          ${vaults.map((v) => html`<option value=${v.name} selected=${v.name === vault}>${v.name}</option>`)}
        </select></label>
        <label>Fingerprint <input name="fingerprint" value=${fingerprint} size="10" maxlength="8" pattern="[0-9a-fA-F]{8}" placeholder="2c26b46b" title="8 hexadecimal digits, as logs and denials show them" autocomplete="off" spellcheck=${false} /></label>
        <button type="submit">Find</button>
        ${fingerprint && html`<button type="button" onClick=${() => go(['credentials'], {vault})}>Show all</button>`}
      </form>
      <${CredentialsTable} page=${page} vault=${vault} withConsumer none=${fingerprint
        ? html`<${Empty} title=${`No credential of ${vault} has the fingerprint ${fingerprint}.`}><p>It may be in another vault object, or have been deleted.</p><//>`
        : html`<${Empty} title=${`There is no credential in ${vault} yet.`}><p>${this.props.session.canWrite ? 'Make one above, or ' : 'Somebody with the role write can make one, or '}by ${code('vault-authz credential create')}</p><//>`} />
      ${!page.problem && html`<${Pager} shown=${page.data.length} offsets=${offsets} next=${page.offset} go=${(next) => this.setState({offsets: next}, () => this.reload())} />`}`;
  }
}
