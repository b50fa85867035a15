// States in a word, with a sign so that nobody has to tell colours apart.
import {html} from './html.js';

// Drawn, as not every font has them.
const signs = {good: 'M3 8.5 6.5 12 13 4.5', warn: 'M8 3v6M8 12.4v.2', bad: 'M4 4l8 8M12 4l-8 8', off: 'M4 8h8'};

export function Sign({kind}) {
  return html`<svg class="sign" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true"><path d=${signs[kind]} /></svg>`;
}

// Badge has the sign of its kind, or none where it is only a word.
export function Badge({kind, children}) {
  return html`<span class=${'badge ' + kind}>${signs[kind] && html`<${Sign} kind=${kind} />`}${children}</span>`;
}

// stateOf returns what a check would make of a credential, as the command line calls it.
export function stateOf(credential, now = Date.now() / 1000) {
  if (credential.state === 'good' && credential.previous_expires_at > now) return 'rotating';
  return credential.state || 'unknown';
}

const kinds = {good: 'good', rotating: 'good', disabled: 'off', unknown: 'off', not_yet_valid: 'warn'};

export function CredentialState({credential}) {
  const state = stateOf(credential);
  return html`<${Badge} kind=${kinds[state] || 'bad'}>${state.replaceAll('_', ' ')}<//>`;
}
