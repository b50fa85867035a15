// Consumers, a page at a time, and found as one types.
import {html} from '../html.js';
import {call, get} from '../api.js';
import {go, link, stay} from '../router.js';
import {FormDialog} from '../dialog.js';
import {Empty, Pager, Table, Tags, code} from '../table.js';
import {Moment} from '../time.js';
import {maySearch, noSearch} from '../typed.js';
import {View} from '../view.js';

const pause = 200; // between typing and asking

export class Consumers extends View {
  name = 'consumers';
  heading() { return 'Consumers'; }
  initial() { return {offsets: [''], q: this.props.route.query.q || ''}; }

  async load(signal) {
    if (!maySearch(this.state.q)) throw noSearch();
    const {body} = await get('/consumers', {signal, query: {search: this.state.q, size: 100, offset: this.state.offsets.at(-1)}});
    return body;
  }

  routed() { this.setState({q: this.props.route.query.q || '', offsets: ['']}, () => this.reload()); }

  componentWillUnmount() {
    super.componentWillUnmount();
    clearTimeout(this.waiting);
  }

  type(q) {
    this.setState({q, offsets: ['']});
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      stay(['consumers'], {q: maySearch(q) ? q : ''});
      this.reload();
    }, pause);
  }

  actions() {
    return this.props.session.canWrite && html`<button type="button" class="primary" onClick=${() => this.create()}>New consumer</button>`;
  }

  create() {
    const submit = async ({username, custom_id, tags}) => {
      const list = tags.split(',').map((t) => t.trim()).filter(Boolean);
      const {body} = await call('POST', '/consumers', {body: {username: username || null, custom_id: custom_id || null, tags: list.length > 0 ? list : null}});
      this.props.session.say(`${username || custom_id} was created.`);
      go(['consumers', body.id]);
    };
    this.show(html`
      <${FormDialog} title="New consumer" verb="Create" onSubmit=${submit} onClose=${() => this.hide()}>
        <label>Username <input name="username" autocomplete="off" spellcheck=${false} /></label>
        <label>Custom id <input name="custom_id" autocomplete="off" spellcheck=${false} /></label>
        <p class="hint">One of the two is needed. Upstreams get them as X-Consumer-Username and X-Consumer-Custom-ID.</p>
        <label>Tags <input name="tags" autocomplete="off" placeholder="gold, partner" /></label>
        <p class="hint">Separated by commas, for your own use.</p>
      <//>`);
  }

  body({data, offset}) {
    const {q, offsets} = this.state;
    return html`
      <div class="filters"><label>Find consumers
        <input type="search" value=${q} onInput=${(e) => this.type(e.target.value)} placeholder="Username, custom id, group or id" autocomplete="off" spellcheck=${false} />
      </label></div>
      ${data.length > 0 ? html`<${Table} label="Consumers" rows=${data} keyOf=${(c) => c.id} columns=${[
        {title: 'Consumer', kind: 'name', cell: (c) => html`<a href=${link(['consumers', c.id])}>${c.username || c.custom_id || c.id}</a>`},
        {title: 'Custom id', cell: (c) => code(c.custom_id) || '–'},
        {title: 'Tags', cell: (c) => html`<${Tags} values=${c.tags} />`},
        {title: 'Created', cell: (c) => html`<${Moment} at=${c.created_at} none="in the configuration" />`},
      ]} />` : this.none()}
      <${Pager} shown=${data.length} offsets=${offsets} next=${offset} go=${(next) => this.setState({offsets: next}, () => this.reload())} />`;
  }

  none() {
    if (this.state.q) return html`<${Empty} title=${`No consumer has “${this.state.q}” in its username, custom id, id or groups.`}><p>Try a part of the name. For an access token use the search at the top.</p><//>`;
    return html`<${Empty} title="There are no consumers yet.">
      <p>A consumer owns credentials. ${this.props.session.canWrite ? 'Create the first one above, or import those of Kong: ' : 'Somebody with the role write can create one, or import those of Kong: '}<code>vault-authz import kong</code></p><//>`;
  }
}
