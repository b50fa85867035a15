// Dialogs. The element of the browser keeps the focus inside, closes on Escape, and gives the focus
// back.
import {Component, createRef, html} from './html.js';
import {ProblemNotice} from './problem.js';

export class Dialog extends Component {
  element = createRef();

  componentDidMount() { this.element.current.showModal(); }

  // Closing gives the focus back. Its event comes later, when another dialog may be open.
  componentWillUnmount() {
    this.isGone = true;
    this.element.current?.close();
  }

  render({title, children, onClose, onCancel}) {
    return html`
      <dialog ref=${this.element} aria-labelledby="dialog-title" onClose=${() => this.isGone || onClose()} onCancel=${onCancel}>
        <h2 id="dialog-title">${title}</h2>
        ${children}
      </dialog>`;
  }
}

// FormDialog asks for values and does something with them. It stays open, with what was typed, if
// that fails. onSubmit gets the values by the names of the fields.
export class FormDialog extends Component {
  state = {busy: false, problem: null};

  async submit(event) {
    event.preventDefault();
    if (this.state.busy) return;
    this.setState({busy: true, problem: null});
    try {
      await this.props.onSubmit(Object.fromEntries(new FormData(event.target)));
    } catch (problem) {
      this.setState({problem});
      if (problem.status === undefined) throw problem; // a bug of the page
    } finally {
      this.setState({busy: false});
    }
  }

  render({title, verb, danger, children, onClose}, {busy, problem}) {
    return html`
      <${Dialog} title=${title} onClose=${onClose}>
        <form onSubmit=${(event) => this.submit(event)}>
          ${children}
          ${problem && html`<${ProblemNotice} problem=${problem} />`}
          <div class="buttons">
            <button type="button" onClick=${onClose}>Cancel</button>
            <button type="submit" class=${danger ? 'danger' : 'primary'} disabled=${busy}>${busy ? 'Working…' : verb}</button>
          </div>
        </form>
      <//>`;
  }
}

// SecretDialog shows a new token pair. This is the only time that the secret can be seen, so
// closing it before anything was copied takes a second time.
export class SecretDialog extends Component {
  state = {copied: false, warned: false};

  close() {
    if (!this.state.copied && !this.state.warned) {
      this.setState({warned: true});
      return;
    }
    this.props.onClose();
  }

  cancel(event) {
    event.preventDefault();
    this.close();
  }

  render({title, pairs, children, onClose}, {warned}) {
    return html`
      <${Dialog} title=${title} onClose=${onClose} onCancel=${(event) => this.cancel(event)}>
        <p>Copy it now: the secret token is shown this once, and is not in the page afterwards.</p>
        ${pairs.map(([name, value], i) => html`<${Copyable} name=${name} value=${value} focused=${i === pairs.length - 1} onCopied=${() => this.setState({copied: true})} />`)}
        ${children}
        ${warned && html`<p class="notice warn" role="alert">Nothing was copied. Close it anyway? A rotation makes another secret.</p>`}
        <div class="buttons"><button type="button" class="primary" onClick=${() => this.close()}>Close</button></div>
      <//>`;
  }
}

// Copyable shows a value that can be copied with one click.
export class Copyable extends Component {
  state = {said: ''};
  field = createRef();

  async copy() {
    try {
      await navigator.clipboard.writeText(this.props.value);
      this.setState({said: 'Copied'});
      this.props.onCopied?.();
    } catch {
      this.field.current.select();
      this.setState({said: 'Select and copy it by hand: the browser does not let the page'});
    }
  }

  render({name, value, focused, onCopied}, {said}) {
    return html`
      <div class="copyable">
        <label>${name}
          <input type="text" readonly ref=${this.field} value=${value} onFocus=${(e) => e.target.select()} onCopy=${() => onCopied?.()}
            autocomplete="off" spellcheck=${false} />
        </label>
        <button type="button" autofocus=${focused} aria-label=${'Copy ' + name.toLowerCase()} onClick=${() => this.copy()}>Copy</button>
        <span class="said" role="status">${said}</span>
      </div>`;
  }
}
