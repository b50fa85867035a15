// Reads a curl command as a shell and curl would, as far as it says what is sent. Nothing is sent
// from here.

// A Mistake says what about the command cannot be understood.
export class Mistake extends Error {}

// Where the word curl is followed by something, whatever stands before it: a prompt, a path, time,
// variables, a comment. A command that is not seen as one would end up in the address.
const program = /(?<![\w.-])curl(?:\.exe)?["']?(?=[\s\\])/i;

// isCurl reports whether a text has a curl command in it.
export const isCurl = (text) => program.test(text);

// parseCurl returns the request: method, host, path with its query, headers as pairs, and body.
export function parseCurl(text) {
  return requestOf(optionsOf(wordsOf(argumentsOf(text))));
}

// argumentsOf returns what follows curl.
function argumentsOf(text) {
  // Comments above may speak of curl too. With no other curl a # is the prompt of root.
  const below = text.replace(/^(?:\s*#.*\n)+/, '');
  const command = isCurl(below) ? below : text;
  const found = program.exec(command);
  if (!found) throw new Mistake('There is no curl in it, with something after it');
  const after = command.slice(found.index + found[0].length);
  // Documents have commands between backticks.
  return command[found.index - 1] === '`' ? after.replace(/`+\s*$/, '') : after;
}

const ansiEscapes = {n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', e: '\x1b', f: '\f', v: '\v'};

// wordsOf splits a command into words as a POSIX shell does, up to the end of the command.
function wordsOf(text) {
  const words = [];
  let word = null; // null between words
  let i = 0;
  const add = (more) => { word = (word ?? '') + more; };
  const end = () => { if (word !== null) words.push(word); word = null; };
  const variable = () => {
    const name = /^\$(?:\w+|\{[^}]*\}|\()/.exec(text.slice(i));
    if (name) throw new Mistake(`${name[0]}${name[0] === '$(' ? '…)' : ''} is filled in by a shell; put its value in its place`);
  };
  const single = () => {
    const close = text.indexOf("'", i + 1);
    if (close < 0) throw new Mistake("A quote (') is not closed");
    add(text.slice(i + 1, close));
    i = close + 1;
  };
  const double = () => {
    add('');
    for (i++; text[i] !== '"';) {
      if (i >= text.length) throw new Mistake('A quote (") is not closed');
      if (text[i] === '$') variable();
      if (text[i] === '`') throw new Mistake('`…` is filled in by a shell; put its value in its place');
      if (text[i] === '\\' && /["\\$`\n]/.test(text[i + 1] ?? '')) {
        if (text[i + 1] !== '\n') add(text[i + 1]);
        i += 2;
      } else {
        add(text[i++]);
      }
    }
    i++;
  };
  const ansi = () => { // $'…', which browsers copy
    add('');
    for (i += 2; text[i] !== "'";) {
      if (i >= text.length) throw new Mistake("A quote ($') is not closed");
      const code = /^\\(?:x([0-9a-f]{1,2})|u([0-9a-f]{1,4})|U([0-9a-f]{1,8})|([0-7]{1,3}))/i.exec(text.slice(i, i + 10));
      if (code) {
        const value = code[4] ? parseInt(code[4], 8) : parseInt(code[1] || code[2] || code[3], 16);
        add(value <= 0x10ffff ? String.fromCodePoint(value) : '');
        i += code[0].length;
      } else if (text[i] === '\\') {
        add(ansiEscapes[text[i + 1]] ?? text[i + 1] ?? '');
        i += 2;
      } else {
        add(text[i++]);
      }
    }
    i++;
  };
  while (i < text.length) {
    const c = text[i];
    if (c === '\\') {
      const newline = /^\\\r?\n/.exec(text.slice(i, i + 3));
      if (newline) { i += newline[0].length; continue; }
      if (i + 1 < text.length) add(text[i + 1]);
      i += 2;
    } else if (c === ' ' || c === '\t' || c === '\r') {
      end();
      i++;
    } else if (c === '\n') {
      end();
      i++;
      // A line without a backslash at its end is the end, but people lose them when they copy.
      if (!/^\s*-/.test(text.slice(i))) break;
    } else if (c === "'") {
      single();
    } else if (c === '"') {
      double();
    } else if (c === '$' && text[i + 1] === "'") {
      ansi();
    } else if (c === '$') {
      variable();
      add(c);
      i++;
    } else if (c === '`') {
      throw new Mistake('`…` is filled in by a shell; put its value in its place');
    } else if (c === '|' || c === ';' || c === ')' || c === '<' || c === '>' || (c === '&' && word === null)) {
      break;
    } else if (c === '&') {
      throw new Mistake('There is an & outside of quotes: a shell would end the command there. Put the URL into quotes');
    } else if (c === '#' && word === null) {
      break;
    } else {
      add(c);
      i++;
    }
  }
  end();
  return words;
}

// The options that have a value, by their short and long names. Others are switches.
const shortWithValue = 'AbcCdDeEFHKmoPQrtTuUwxXyYz';
const longOfShort = {A: 'user-agent', b: 'cookie', d: 'data', e: 'referer', F: 'form', G: 'get', H: 'header', I: 'head', T: 'upload-file', u: 'user', X: 'request', K: 'config'};
const longWithValue = new Set(('abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config connect-timeout connect-to cookie cookie-jar create-file-mode crlfile curves ' +
  'data data-ascii data-binary data-raw data-urlencode delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-header ech engine etag-compare etag-save expect100-timeout ' +
  'form form-string happy-eyeballs-timeout-ms header interface ip-tos ipfs-gateway json keepalive-cnt keepalive-time key key-type limit-rate local-port login-options max-filesize max-redirs max-time ' +
  'netrc-file noproxy oauth2-bearer output output-dir parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir proxy proxy-user proxy-header range rate referer request request-target resolve ' +
  'retry retry-delay retry-max-time socks5-hostname socks5 speed-limit speed-time stderr tls-max tls13-ciphers tlspassword tlsuser trace trace-ascii unix-socket upload-file url url-query user user-agent ' +
  'variable write-out').split(' '));

// optionsOf returns the options in turn as pairs of long name and value; the URL is one of them.
function optionsOf(words) {
  const options = [];
  let onlyURLs = false;
  const value = (name) => {
    if (words.length === 0) throw new Mistake(`The option ${name} has no value`);
    return words.shift();
  };
  while (words.length > 0) {
    const word = words.shift();
    if (onlyURLs || !word.startsWith('-') || word === '-') {
      options.push(['url', word]);
    } else if (word === '--') {
      onlyURLs = true;
    } else if (word === '--next' || word === '-:') {
      break; // the first of several requests
    } else if (word.startsWith('--')) {
      const [name, given] = splitOnce(word.slice(2), '=');
      if (longWithValue.has(name)) options.push([name, given ?? value('--' + name)]);
      else options.push([name, '']);
    } else {
      for (let at = 1; at < word.length; at++) {
        const letter = word[at];
        const name = longOfShort[letter] || letter;
        if (!shortWithValue.includes(letter)) {
          options.push([name, '']);
          continue;
        }
        options.push([name, word.slice(at + 1) || value('-' + letter)]);
        break;
      }
    }
  }
  return options;
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

const bytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

function ofFile(option, text) {
  throw new Mistake(`${option} ${text} reads a file, which a page cannot; put the content in its place`);
}

// requestOf returns what curl would send with these options.
function requestOf(options) {
  const has = (name) => options.some(([n]) => n === name);
  const last = (name) => options.findLast(([n]) => n === name)?.[1];
  if (has('config')) throw new Mistake('The option --config reads a file, which a page cannot; put its content in its place');
  const url = last('url');
  if (!url) throw new Mistake('There is no URL');
  const target = targetOf(url, has('path-as-is'));

  const {data, json, type} = dataOf(options);
  const form = formOf(options);
  let body = form ? form.body : data;
  let query = [target.query, ...options.filter(([n]) => n === 'url-query').map(([, v]) => urlencoded(v, '--url-query'))];
  if (has('get') && data !== null) {
    query.push(data);
    body = null;
  }
  query = query.filter((part) => part !== '' && part !== null);
  if (last('upload-file') !== undefined) ofFile('-T', last('upload-file'));

  const headers = headersOf(options, {
    'Content-Type': body === null ? null : form ? form.type : type,
    Accept: json ? 'application/json' : null,
    Authorization: authorizationOf(last('user') ?? target.user, last('oauth2-bearer')),
    'User-Agent': last('user-agent') ?? null,
    Referer: last('referer') ?? null,
    Cookie: cookieOf(options),
  });
  const hosts = headers.filter(([name]) => name.toLowerCase() === 'host');
  return {
    method: last('request') || (has('head') ? 'HEAD' : body !== null ? 'POST' : 'GET'),
    host: hosts.length > 0 ? hosts[0][1] : target.host,
    path: target.path + (query.length > 0 ? '?' + query.join('&') : ''),
    headers: headers.filter(([name]) => name.toLowerCase() !== 'host'),
    body,
  };
}

// targetOf takes a URL apart without repairing it: how its path is written matters.
function targetOf(url, asIs) {
  const parts = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:([^/?#]*)@)?([^/?#]*)([^?#]*)(\?[^#]*)?/i.exec(url);
  const [, scheme = 'http', user, host, path, query = ''] = parts;
  if (!/^https?$/i.test(scheme)) throw new Mistake(`${scheme}:// is not HTTP`);
  if (!host) throw new Mistake('The URL has no host');
  if (/[\s{}[\]]/.test(host.replace(/^\[[0-9a-f:.%]+\]/i, ''))) throw new Mistake(`“${host}” is no host`);
  return {
    host: host.toLowerCase().replace(scheme.toLowerCase() === 'https' ? /:443$/ : /:80$/, ''),
    path: asIs ? path || '/' : withoutDots(path || '/'),
    query: query.slice(1),
    user: user === undefined ? undefined : decoded(user),
  };
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// withoutDots removes . and .. as curl does before it sends a path (RFC 3986, 5.2.4).
function withoutDots(path) {
  const out = [];
  const segments = path.split('/');
  segments.forEach((segment, i) => {
    const isLast = i === segments.length - 1;
    if (segment === '..') {
      if (out.length > 1) out.pop();
      if (isLast) out.push('');
    } else if (segment === '.') {
      if (isLast) out.push('');
    } else {
      out.push(segment);
    }
  });
  return out.join('/') || '/';
}

function dataOf(options) {
  const pieces = [];
  let json = false;
  for (const [name, value] of options) {
    if (['data', 'data-ascii', 'data-binary', 'json'].includes(name)) {
      if (value.startsWith('@')) ofFile('--' + name, value);
      json ||= name === 'json';
      pieces.push([name, name === 'data' || name === 'data-ascii' ? value.replace(/[\r\n]/g, '') : value]);
    } else if (name === 'data-raw') {
      pieces.push([name, value]);
    } else if (name === 'data-urlencode') {
      pieces.push([name, urlencoded(value, '--data-urlencode')]);
    }
  }
  if (pieces.length === 0) return {data: null, json, type: null};
  const data = pieces.reduce((whole, [name, text], i) => whole + (i > 0 && name !== 'json' ? '&' : '') + text, '');
  return {data, json, type: json ? 'application/json' : 'application/x-www-form-urlencoded'};
}

// urlencoded does what curl does for content, =content and name=content.
function urlencoded(text, option) {
  const at = text.search(/[=@]/);
  if (at >= 0 && text[at] === '@') ofFile(option, text);
  const escape = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  if (at < 0) return escape(text);
  return (at > 0 ? text.slice(0, at) + '=' : '') + escape(text.slice(at + 1));
}

function formOf(options) {
  const parts = options.filter(([n]) => n === 'form' || n === 'form-string');
  if (parts.length === 0) return null;
  const boundary = '------------------------vault-authz-explain';
  let body = '';
  for (const [option, text] of parts) {
    const [name, value] = splitOnce(text, '=');
    if (value === undefined) throw new Mistake(`--form ${text} has no =`);
    if (option === 'form' && /^[@<]/.test(value)) ofFile('--form', text);
    body += `--${boundary}\r\nContent-Disposition: form-data; name="${name.replace(/"/g, '%22')}"\r\n\r\n${value}\r\n`;
  }
  return {type: `multipart/form-data; boundary=${boundary}`, body: `${body}--${boundary}--\r\n`};
}

function authorizationOf(user, bearer) {
  if (bearer !== undefined) return `Bearer ${bearer}`;
  if (user === undefined) return null;
  return 'Basic ' + btoa(bytes(user.includes(':') ? user : user + ':'));
}

function cookieOf(options) {
  const cookies = options.filter(([n]) => n === 'cookie').map(([, value]) => value);
  const file = cookies.find((value) => !value.includes('='));
  if (file) ofFile('--cookie', file);
  return cookies.length > 0 ? cookies.join('; ') : null;
}

// headersOf returns the headers that are given, and those that curl adds unless they are given or
// taken away ("Name:").
function headersOf(options, added) {
  const given = [];
  const named = new Set();
  for (const [option, text] of options) {
    if (option !== 'header') continue;
    if (text.startsWith('@')) ofFile('--header', text);
    const empty = /^([^:;]+);\s*$/.exec(text);
    const at = text.indexOf(':');
    if (!empty && at <= 0) throw new Mistake(`--header ${JSON.stringify(text)} has no colon after a name`);
    const name = (empty ? empty[1] : text.slice(0, at)).trim();
    const value = empty ? '' : text.slice(at + 1).trim();
    named.add(name.toLowerCase());
    if (empty || value !== '') given.push([name, value]);
  }
  const more = Object.entries(added).filter(([name, value]) => value !== null && value !== '' && !named.has(name.toLowerCase()));
  return [...more, ...given];
}
