// Why? Explains a denial by the id of its request, and a request by the command that would send it.
// A command has secrets: it stays in the field and in the body of the call, and never gets into the
// address of the page.
import {createRef, html} from '../html.js';
import {call, get, path} from '../api.js';
import {go, stay} from '../router.js';
import {Mistake, isCurl, parseCurl} from '../curl.js';
import {DenialExplained, RequestExplained, RequestRead} from '../explained.js';
import {Empty} from '../table.js';
import {mayBeRequestID, noRequestID} from '../typed.js';
import {View} from '../view.js';

export class Why extends View {
  name = 'why';
  field = createRef();

  heading() { return 'Why?'; }

  initial() {
    const pasted = this.props.session.takePasted();
    return {text: pasted || this.props.route.query.id || '', pasted, policy: ''};
  }

  routed() {
    const pasted = this.props.session.takePasted();
    const text = pasted || this.props.route.query.id || '';
    this.setState({text, pasted}, () => this.reload());
  }

  // load explains what the address names, or what was pasted into the search.
  async load(signal) {
    const {text, pasted} = this.state;
    if (pasted) {
      this.setState({pasted: ''});
      return this.explained(text, signal).catch((problem) => { throw understood(problem); });
    }
    const {id} = this.props.route.query;
    return id ? this.denied(id, signal) : {};
  }

  async denied(id, signal) {
    if (!mayBeRequestID(id.trim())) throw noRequestID();
    try {
      return {denials: (await get(path`/denials/${id.trim()}`, {signal})).body};
    } catch (problem) {
      if (problem.status === 404) problem.advice = 'If the request can be sent again, paste its curl command here.';
      throw problem;
    }
  }

  async explained(text, signal) {
    const request = parseCurl(text);
    if (!this.props.session.canWrite) return {request, forbidden: true};
    const {policy} = this.state;
    const {body} = await call('POST', '/explain', {signal, body: {
      method: request.method, host: request.host, path: request.path, headers: request.headers,
      ...(request.body === null ? {} : {body: request.body}), ...(policy.trim() ? {policy: policy.trim()} : {}),
    }});
    return {request, explained: body};
  }

  async submit(event) {
    event.preventDefault();
    const text = this.state.text.trim();
    if (!text) {
      this.field.current.focus();
      return;
    }
    if (!isCurl(text) && !mayBeRequestID(text)) {
      stay(['why']);
      this.loads?.abort();
      this.setState({problem: noRequestID(), data: null, loading: false});
      return;
    }
    if (!isCurl(text)) {
      if (this.props.route.query.id === text) this.reload();
      else go(['why'], {id: text});
      return;
    }
    stay(['why']);
    this.loads?.abort();
    const loads = this.loads = new AbortController();
    this.setState({loading: true, problem: null});
    try {
      const data = await this.explained(text, loads.signal);
      if (!loads.signal.aborted) this.setState({data, loading: false});
    } catch (problem) {
      if (loads.signal.aborted) return;
      this.setState({problem: understood(problem), data: null, loading: false});
    }
  }

  body(data) {
    return html`${this.form()}
      ${data.denials && html`<${Denials} answer=${data.denials} />`}
      ${data.request && html`<${RequestRead} request=${data.request} />`}
      ${data.forbidden && html`<p class="notice warn">Explaining a command tests its secret, so it needs the role write, and yours is read. A denial that has happened can be explained by its request id.</p>`}
      ${data.explained && html`<${RequestExplained} answer=${data.explained} />`}`;
  }

  // Without an answer there is still the field, to ask again.
  bodyless() { return this.form(); }

  form() {
    const {text, policy, loading} = this.state;
    const command = isCurl(text);
    return html`
      <form class="ask" onSubmit=${(e) => this.submit(e)}>
        <label>A request id, or a curl command
          <textarea ref=${this.field} rows=${Math.min(12, Math.max(3, text.split('\n').length))} value=${text} onInput=${(e) => this.setState({text: e.target.value})}
            onKeyDown=${(e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey || !isCurl(text))) this.submit(e); }}
            placeholder=${"9beb9db794820928ab425992fd5d01b0\n\ncurl https://api.example.com/orders -H 'access-token: …' -H 'secret-token: …'"}
            autocomplete="off" autocapitalize="off" spellcheck=${false}></textarea>
        </label>
        ${command && html`<label>Policy that the route names, if it names one
          <input value=${policy} onInput=${(e) => this.setState({policy: e.target.value})} autocomplete="off" spellcheck=${false} /></label>`}
        <div class="buttons left"><button type="submit" class="primary" disabled=${loading}>${loading ? 'Asking…' : 'Explain'}</button>
          ${text && html`<button type="button" onClick=${() => { this.setState({text: '', data: {}, problem: null}); stay(['why']); this.field.current.focus(); }}>Clear</button>`}</div>
        <p class="hint">The request id is in the body of the denial, and in x-request-id. A command is not sent to its host: vault-authz works out what it would decide, and counts no use of the credential. The audit log has a line without the tokens.</p>
      </form>`;
  }
}

// understood makes a problem of a command that cannot be read.
function understood(problem) {
  if (!(problem instanceof Mistake)) return problem;
  return Object.assign(problem, {message: `The command cannot be read. ${problem.message}.`, status: 400});
}

function Denials({answer}) {
  if (answer.data.length === 0) return html`<${Empty} title="Nothing is remembered of this request." />`;
  return html`
    ${answer.total > 1 && html`<p class="notice warn">${answer.total} denials have this id: a client can use an id again. The newest comes first${answer.total > answer.data.length ? `, and ${answer.total - answer.data.length} between are left out` : ''}.</p>`}
    ${answer.data.map((d) => html`<${DenialExplained} denial=${d} replica=${answer.replica} />`)}`;
}
