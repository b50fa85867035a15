// The frame of the page: who is signed in, navigation, and the view of the place.
import {Component, createRef, html, render} from './html.js';
import {Problem, forget, get, hasToken, onRefused, signIn} from './api.js';
import {go, link, parse} from './router.js';
import {ProblemNotice} from './problem.js';
import {SignIn} from './signin.js';
import {isCurl} from './curl.js';
import {maySearch, noSearch} from './typed.js';
import {Overview} from './views/overview.js';
import {Consumers} from './views/consumers.js';
import {Consumer} from './views/consumer.js';
import {Credentials} from './views/credentials.js';
import {Credential} from './views/credential.js';
import {Policies} from './views/policies.js';
import {Policy} from './views/policy.js';
import {Vaults} from './views/vaults.js';
import {Why} from './views/why.js';
import {Search} from './views/search.js';
import {Missing} from './views/missing.js';

// The view of each place, by the first part of its path and the number of the others.
const views = {
  'overview/0': Overview,
  'consumers/0': Consumers, 'consumers/1': Consumer,
  'credentials/0': Credentials, 'credentials/2': Credential,
  'policies/0': Policies, 'policies/1': Policy,
  'vaults/0': Vaults,
  'why/0': Why,
  'search/0': Search,
};

const sections = [['overview', 'Overview'], ['why', 'Why?'], ['consumers', 'Consumers'], ['credentials', 'Credentials'], ['policies', 'Policies'], ['vaults', 'Vaults']];

class App extends Component {
  // caller is {name, role} as the API tells it, null until it is known.
  state = {route: parse(location.hash), caller: null, replica: '', mustSignIn: false, problem: null, said: '', menu: false};
  search = createRef();
  // What the search box hands over to the view Why?: it must not be in the address.
  pasted = '';

  componentDidMount() {
    onRefused((problem) => this.setState({mustSignIn: true, caller: null, problem: this.state.caller || problem.message !== 'Unauthorized' ? problem : null}));
    addEventListener('hashchange', () => this.moved());
    addEventListener('keydown', (event) => this.key(event));
    this.start();
  }

  // start asks who we are. Where the API needs no token, nobody is asked for one.
  async start() {
    try {
      const {body} = await get('/overview');
      this.setState({caller: body.caller, replica: body.replica, mustSignIn: false, problem: null});
    } catch (problem) {
      // After many calls without a token, also those of others, the API says 429 in place of 401.
      // A good token is taken all the same.
      if (problem.status === 429) this.setState({mustSignIn: true});
      else if (problem.status !== 401) this.setState({problem});
      return problem;
    }
    return null;
  }

  async signIn(token) {
    if (!/^[\x21-\x7e]+$/.test(token.trim())) {
      return new Problem(400, {message: 'A token has letters, digits and signs, and no blanks. Was something else copied along?'});
    }
    signIn(token);
    const problem = await this.start();
    if (problem) forget();
    return problem;
  }

  // signOut loads the page again, so that nothing of it stays in memory.
  signOut() {
    forget();
    location.reload();
  }

  moved() {
    const route = parse(location.hash);
    this.setState({route, menu: false}, () => {
      scrollTo(0, 0);
      document.getElementById('main')?.focus({preventScroll: true});
    });
  }

  key(event) {
    const typing = event.target.closest?.('input, textarea, select, [contenteditable]');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && !document.querySelector('dialog[open]') && this.search.current) {
      event.preventDefault();
      this.search.current.focus();
    }
    if (event.key === 'Escape' && this.state.menu) this.setState({menu: false});
  }

  say(text) {
    clearTimeout(this.saidUntil);
    this.setState({said: text});
    this.saidUntil = setTimeout(() => this.setState({said: ''}), 6000);
  }

  find(event) {
    event.preventDefault();
    const box = this.search.current;
    const text = box.value.trim();
    if (!text) return;
    if (!isCurl(text) && !maySearch(text)) {
      this.refuse();
      return;
    }
    box.value = '';
    if (isCurl(text)) this.ask(text);
    else go(['search'], {q: text});
  }

  // A field of one line would lose the ends of the lines.
  paste(event) {
    const text = event.clipboardData.getData('text').trim();
    if (!isCurl(text) && maySearch(text)) return;
    event.preventDefault();
    if (isCurl(text)) this.ask(text);
    else this.refuse();
  }

  refuse() {
    const {message, advice} = noSearch();
    this.say(`${message} ${advice}`);
  }

  ask(command) {
    this.pasted = command;
    if (location.hash === link(['why'])) this.moved();
    else go(['why']);
  }

  takePasted() {
    const text = this.pasted;
    this.pasted = '';
    return text;
  }

  render(_, {route, caller, mustSignIn, problem, said, menu}) {
    if (!caller) {
      if (mustSignIn) return html`<${SignIn} onSubmit=${(token) => this.signIn(token)} ended=${problem} />`;
      if (problem) return html`<main class="alone"><h1>vault-authz</h1><${ProblemNotice} problem=${problem} again=${() => this.start()} /></main>`;
      return html`<p class="loading">Loading…</p>`;
    }
    const View = (route && views[`${route.path[0]}/${route.path.length - 1}`]) || Missing;
    const session = {canWrite: caller.role === 'write', say: (text) => this.say(text), takePasted: () => this.takePasted()};
    const here = route?.path[0];
    return html`
      <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById('main').focus(); }}>Skip to content</a>
      <header class="top">
        <a class="brand" href=${link(['overview'])}><img src="icon.svg" alt="" width="24" height="24" />vault-authz</a>
        <form role="search" onSubmit=${(e) => this.find(e)}>
          <input type="search" ref=${this.search} onPaste=${(e) => this.paste(e)} aria-label="Search" placeholder="Search, or paste curl…" title="Press / to get here. It finds usernames, custom ids, groups, access tokens and their fingerprints, and request ids." autocomplete="off" spellcheck=${false} maxlength="65536" />
        </form>
        <button type="button" class="menu" aria-expanded=${menu ? 'true' : 'false'} aria-controls="navigation" onClick=${() => this.setState({menu: !menu})}>Menu</button>
      </header>
      <nav id="navigation" class=${menu ? 'side open' : 'side'} aria-label="Views">
        <ul>${sections.map(([name, title]) => html`<li><a href=${link([name])} aria-current=${here === name ? 'page' : undefined}>${title}</a></li>`)}</ul>
        <div class="caller">
          <p><strong>${caller.name}</strong><br /><span class="quiet">${session.canWrite ? 'may read and change' : 'may read only'}</span></p>
          ${hasToken() && html`<button type="button" onClick=${() => this.signOut()}>Sign out</button>`}
        </div>
      </nav>
      <${View} key=${route ? route.path.join('/') : ''} route=${route} session=${session} />
      <div class="said" role="status" aria-live="polite">${said && html`<p>${said}</p>`}</div>`;
  }
}

const place = document.getElementById('app');
place.replaceChildren();
render(html`<${App} />`, place);
