// What all views have in common: loading, failures, and the place of the content.
import {Component, html, visible} from './html.js';
import {ProblemNotice, Warnings} from './problem.js';

// A View is the main part of the page. A view of its own has a name, a heading, load, which returns
// what it shows, and body, which shows it.
//
// props: route {path, query}, session {canWrite, say, …}.
export class View extends Component {
  constructor(props) {
    super(props);
    this.state = {data: null, problem: null, loading: true, dialog: null, ...this.initial()};
  }

  initial() { return {}; }
  actions() { return null; }
  heading() { return ''; }
  bodyless() { return null; } // beside a problem

  componentDidMount() {
    document.title = `${visible(this.heading())} – vault-authz`;
    this.reload();
  }

  componentDidUpdate(before) {
    document.title = `${visible(this.heading())} – vault-authz`;
    if (before.route !== this.props.route) this.routed();
  }

  // routed is called where the address has changed and the view is the same.
  routed() { this.reload(); }

  componentWillUnmount() { this.loads?.abort(); }

  // reload loads anew. What was there stays until then, and an older load that is slower is void.
  async reload() {
    this.loads?.abort();
    const loads = this.loads = new AbortController();
    this.setState({loading: true});
    try {
      const data = await this.load(loads.signal);
      if (!loads.signal.aborted) this.setState({data, problem: null, loading: false});
    } catch (problem) {
      if (loads.signal.aborted) return;
      this.setState({problem, loading: false});
      if (problem.status === undefined) throw problem; // a bug of the page belongs into the console
    }
  }

  show(dialog) { this.setState({dialog}); }
  hide() { this.setState({dialog: null}); }

  // done closes a dialog, says what was done, and shows the outcome.
  async done(text) {
    this.hide();
    this.props.session.say(text);
    await this.reload();
  }

  render() {
    const {data, problem, loading, dialog} = this.state;
    return html`
      <main id="main" tabindex="-1" data-view=${this.name} data-loaded=${loading ? 'false' : 'true'} aria-busy=${loading ? 'true' : 'false'}>
        <div class="head">
          <h1>${this.heading()}</h1>
          <div class="actions">${data && this.actions(data)}</div>
        </div>
        ${problem && html`<${ProblemNotice} problem=${problem} again=${() => this.reload()} />`}
        <${Warnings} texts=${data?.warnings} />
        ${data ? this.body(data) : problem ? this.bodyless() : html`<p class="loading">Loading…</p>`}
        ${dialog}
      </main>`;
  }
}
