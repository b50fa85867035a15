// One consumer with its groups and credentials.
import {html} from '../html.js';
import {all, call, get, path} from '../api.js';
import {go} from '../router.js';
import {Sign} from '../badge.js';
import {FormDialog} from '../dialog.js';
import {CredentialsTable, newCredentialDialog} from '../credentials.js';
import {Details, Empty, Pager, Tags, code} from '../table.js';
import {Moment} from '../time.js';
import {View} from '../view.js';

export const nameOf = (consumer) => consumer.username || consumer.custom_id || consumer.id;

export class Consumer extends View {
  name = 'consumer';
  heading() { return this.state.data ? nameOf(this.state.data.consumer) : 'Consumer'; }
  initial() { return {offsets: ['']}; }

  get id() { return this.props.route.path[1]; }

  async load(signal) {
    const [{body: consumer}, groups, credentials] = await Promise.all([
      get(path`/consumers/${this.id}`, {signal}),
      all(path`/consumers/${this.id}/acls`, {signal}),
      // What is known of the consumer is shown also while a Vault does not answer.
      get(path`/consumers/${this.id}/credentials`, {signal, query: {size: 100, offset: this.state.offsets.at(-1)}})
        .then(({body, warnings}) => ({...body, warnings}), (problem) => { signal.throwIfAborted(); return {problem, data: []}; }),
    ]);
    return {consumer, groups, credentials, warnings: credentials.warnings};
  }

  // What the configuration file declares cannot be changed here.
  get canChange() { return this.props.session.canWrite && this.state.data.consumer.created_at; }

  actions({consumer}) {
    return this.canChange && html`<button type="button" class="danger" onClick=${() => this.remove(consumer)}>Delete consumer</button>`;
  }

  body({consumer, groups, credentials}) {
    const {offsets} = this.state;
    return html`
      <${Details} pairs=${[
        ['Username', consumer.username], ['Custom id', code(consumer.custom_id)], ['Id', code(consumer.id)],
        ['Tags', consumer.tags?.length > 0 && html`<${Tags} values=${consumer.tags} />`],
        ['Created', html`<${Moment} at=${consumer.created_at} none="in the configuration file, which is where to change it" />`],
      ]} />
      <section aria-labelledby="groups"><div class="head"><h2 id="groups">Groups</h2>
          <div class="actions">${this.canChange && html`<button type="button" onClick=${() => this.addGroup(consumer)}>Add to a group</button>`}</div></div>
        ${groups.length === 0 ? html`<${Empty} title="It is in no group."><p>Policies with an acl go by groups. A policy without one lets it in.</p><//>`
          : html`<ul class="tags">${groups.map((g) => html`<li>${g.group}
            ${this.canChange && html`<button type="button" class="inside" aria-label=${`Take ${nameOf(consumer)} out of ${g.group}`} onClick=${() => this.removeGroup(consumer, g)}><${Sign} kind="bad" /></button>`}</li>`)}</ul>`}
      </section>
      <section aria-labelledby="credentials"><div class="head"><h2 id="credentials">Credentials</h2>
          <div class="actions">${this.props.session.canWrite && html`<button type="button" class="primary" onClick=${() => this.newCredential(consumer)}>New credential</button>`}</div></div>
        <${CredentialsTable} page=${credentials} withVault
          none=${html`<${Empty} title="It has no credential."><p>Without one it cannot authenticate. ${this.props.session.canWrite && 'Make one above.'}</p><//>`} />
        <${Pager} shown=${credentials.data.length} offsets=${offsets} next=${credentials.offset} go=${(next) => this.setState({offsets: next}, () => this.reload())} />
      </section>`;
  }

  async newCredential(consumer) {
    await newCredentialDialog(this, {consumer: consumer.id, name: nameOf(consumer)});
  }

  addGroup(consumer) {
    const submit = async ({group}) => {
      await call('POST', path`/consumers/${consumer.id}/acls`, {body: {group: group.trim()}});
      await this.done(`${nameOf(consumer)} is in ${group.trim()} now.`);
    };
    this.show(html`
      <${FormDialog} title="Add to a group" verb="Add" onSubmit=${submit} onClose=${() => this.hide()}>
        <label>Group <input name="group" required autocomplete="off" spellcheck=${false} autofocus /></label>
        <p class="hint">It takes effect on every replica within about two seconds.</p>
      <//>`);
  }

  removeGroup(consumer, {id, group}) {
    const submit = async () => {
      await call('DELETE', path`/consumers/${consumer.id}/acls/${id}`);
      await this.done(`${nameOf(consumer)} is not in ${group} any more.`);
    };
    this.show(html`
      <${FormDialog} title=${`Take ${nameOf(consumer)} out of ${group}?`} verb="Take out" danger onSubmit=${submit} onClose=${() => this.hide()}>
        <p>Policies that let in this group alone will deny its requests with 403.</p>
      <//>`);
  }

  remove(consumer) {
    const submit = async () => {
      await call('DELETE', path`/consumers/${consumer.id}`);
      this.props.session.say(`${nameOf(consumer)} was deleted.`);
      go(['consumers']);
    };
    this.show(html`
      <${FormDialog} title=${`Delete ${nameOf(consumer)}?`} verb="Delete consumer" danger onSubmit=${submit} onClose=${() => this.hide()}>
        <p>Requests with its credentials are denied from then on. The credentials stay in Vault, and count as those of an unknown consumer.</p>
        <p class="hint">This cannot be undone. A consumer that is made later has another id.</p>
      <//>`);
  }
}
