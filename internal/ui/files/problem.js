// Shows what went wrong, and what to do about it.
import {html} from './html.js';
import {link} from './router.js';

const advice = {
  0: 'Is vault-authz running, and is the port-forward or the tunnel still open?',
  403: 'Sign in with a token or certificate that has the role write, or ask somebody who has one.',
  404: 'It may have been deleted meanwhile, or the address of this page is mistyped.',
  421: 'Add the name in the address bar to admin.hosts in the configuration.',
  429: 'Other calls from this network failed to authenticate. Wait ten seconds and try again.',
  500: 'This is a bug in vault-authz. Its log has a line about it: please report that.',
  502: 'Look at what stands between this browser and vault-authz.',
  504: 'Look at what stands between this browser and vault-authz.',
};

// ProblemNotice tells a problem. again, if it is given, repeats what failed.
export function ProblemNotice({problem, again}) {
  const advised = problem.advice || advice[problem.status];
  return html`
    <div class="notice bad" role="alert">
      <p><strong>${problem.message}</strong></p>
      <${Fields} fields=${problem.fields} />
      ${advised && html`<p>${advised}</p>`}
      ${problem.status === 503 && html`<p>How each Vault is: <a href=${link(['vaults'])}>Vaults</a></p>`}
      ${again && html`<p><button type="button" onClick=${again}>Try again</button></p>`}
    </div>`;
}

// Fields are what the API says about single fields of an entity.
function Fields({fields}) {
  const said = Object.entries(fields || {}).filter(([, text]) => typeof text === 'string');
  if (said.length === 0) return null;
  return html`<ul>${said.map(([name, text]) => html`<li><code>${name}</code>: ${text}</li>`)}</ul>`;
}

// Warnings are what the API says besides a success.
export function Warnings({texts}) {
  if (!texts || texts.length === 0) return null;
  return html`<div class="notice warn" role="status">${texts.map((text) => html`<p>${text}</p>`)}</div>`;
}
