// Asks for the admin token. It goes into the memory of the page, and nowhere else.
import {Component, createRef, html} from './html.js';
import {ProblemNotice} from './problem.js';

export class SignIn extends Component {
  state = {busy: false, problem: null};
  field = createRef();

  componentDidMount() {
    document.title = 'Sign in – vault-authz';
    this.field.current.focus();
  }

  async submit(event) {
    event.preventDefault();
    const token = this.field.current.value;
    if (!token.trim() || this.state.busy) return;
    this.setState({busy: true, problem: null});
    const problem = await this.props.onSubmit(token);
    if (problem) {
      this.setState({busy: false, problem});
      this.field.current?.select();
    }
  }

  told() {
    const {problem} = this.state;
    const {ended} = this.props;
    if (!problem) return ended && html`<p class="notice warn" role="status">${ended.message === 'Unauthorized' ? 'The token is not taken any more. Sign in again.' : ended.message}</p>`;
    if (problem.status !== 401) return html`<${ProblemNotice} problem=${problem} />`;
    return html`<p class="notice bad" role="alert"><strong>This token is not taken.</strong> ${problem.message === 'Unauthorized' ? 'The tokens are those of admin.tokens in the configuration.' : problem.message}</p>`;
  }

  render(_, {busy}) {
    return html`
      <main class="alone" data-view="signin" data-loaded="true">
        <h1><img src="icon.svg" alt="" width="32" height="32" /> vault-authz</h1>
        <form onSubmit=${(event) => this.submit(event)}>
          ${this.told()}
          <label>Admin token
            <input type="password" name="token" ref=${this.field} required autocomplete="off" spellcheck=${false} autocapitalize="off" />
          </label>
          <button type="submit" class="primary" disabled=${busy}>${busy ? 'Signing in…' : 'Sign in'}</button>
          <p class="quiet">The token stays in the memory of this page. It is gone when you leave or reload it.</p>
        </form>
      </main>`;
  }
}
