// Calls of the admin API. The admin token is a variable of this module and nowhere else: no
// cookie, no storage, no URL. It is gone when the page is left or loaded again.

let token = '';
let whenRefused = () => {};

export const signIn = (typed) => { token = typed.trim(); };
export const forget = () => { token = ''; };
export const hasToken = () => token !== '';

// onRefused names what to do when the API demands a token, or does not take this one any more.
export const onRefused = (action) => { whenRefused = action; };

// Without this a browser that keeps a left page for its Back button would keep the token too.
addEventListener('pagehide', forget);

// The kept page would come back as it was left, also with a dialog that shows a new secret.
addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

// A Problem is an answer that is no success. Its status is 0 if there was no answer.
export class Problem extends Error {
  constructor(status, body) {
    super(body.message || `The answer was ${status}, without a reason`);
    this.status = status;
    this.fields = body.fields || null;
    this.because = body.cause || '';
  }
}

// The API is beside the page, also if a proxy has both under a longer path.
const root = new URL('..', document.baseURI).href;

const longestWait = 30_000;

// path fills values into a path: path`/consumers/${id}`.
export function path(texts, ...values) {
  return texts.reduce((whole, text, i) => whole + segment(values[i - 1]) + text);
}

function segment(value) {
  // A browser takes these for steps in the path, however they are escaped.
  if (value === '.' || value === '..' || value === '') {
    throw new Problem(0, {message: `The page cannot ask for something that is called “${value}”; use vault-authz on the command line`});
  }
  return encodeURIComponent(value);
}

// call returns the body of the answer and the texts of its warnings.
export async function call(method, where, {query = {}, body, signal} = {}) {
  const url = new URL(root + where.slice(1));
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') url.searchParams.set(name, value);
  }
  const headers = {Accept: 'application/json'};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const response = await answer(url, {method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal});
  const read = await bodyOf(response);
  if (!response.ok) {
    const problem = new Problem(response.status, read);
    // A good token is taken also after many failures of others, so with 429 this one is not good.
    if (response.status === 401 || (response.status === 429 && token)) {
      forget();
      whenRefused(problem);
    }
    throw problem;
  }
  return {body: read, warnings: warningsOf(response.headers.get('Warning') || '')};
}

export const get = (where, options) => call('GET', where, options);

async function answer(url, options) {
  const late = AbortSignal.timeout(longestWait);
  try {
    return await fetch(url, {
      ...options, signal: options.signal ? AbortSignal.any([options.signal, late]) : late,
      cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer',
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, {message: late.aborted
      ? `There was no answer within ${longestWait / 1000} seconds`
      : 'There is no answer from vault-authz'});
  }
}

async function bodyOf(response) {
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    if (response.ok) throw new Problem(response.status, {message: 'Another program answered, not vault-authz'});
    return {message: `The answer was ${response.status}, and not from vault-authz: something between here and there refused the call`};
  }
}

function warningsOf(header) {
  return [...header.matchAll(/299 vault-authz ("(?:[^"\\]|\\.)*")/g)].map(([, quoted]) => {
    try { return JSON.parse(quoted); } catch { return quoted.slice(1, -1); }
  });
}

// all reads a list of which there are not many, up to a bound.
export async function all(where, {signal, query = {}, most = 2000} = {}) {
  const found = [];
  let offset = '';
  do {
    const {body} = await get(where, {signal, query: {...query, size: 1000, offset}});
    found.push(...(body.data || []));
    offset = body.offset || '';
  } while (offset && found.length < most);
  return found;
}
