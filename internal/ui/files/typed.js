// What a text that somebody typed or pasted can be. Any other text may be a command with a secret:
// it stays out of the address, the history, the title and every call.
import {Problem} from './api.js';
import {isCurl} from './curl.js';

const longestRequestID = 64; // as much as vault-authz remembers of it
const longestSearch = 256; // as long as an access token by default

// mayBeRequestID reports whether a text can be the id of a request.
export const mayBeRequestID = (text) => text.length <= longestRequestID && !/\s/.test(text);

// Lines, options, other programs that send requests, and URLs among other words or with a query or password.
const ofCommands = /[\r\n]|(?:^|\s)--?[a-z]|(?<![\w.-])(?:wget|https?|xh|iwr|irm|invoke-(?:webrequest|restmethod))(?:\.exe)?\s|\s\S*:\/\/|:\/\/\S*[\s?@]/i;

// maySearch reports whether a text may be searched for.
export const maySearch = (text) => text.length <= longestSearch && !isCurl(text) && !ofCommands.test(text);

// noRequestID and noSearch are the problems of a text that is refused. They do not repeat it.
export const noRequestID = () => refused('This is neither a request id nor a curl command.', `A request id has no blanks. Of one with more than ${longestRequestID} characters the first ${longestRequestID} are enough.`);
export const noSearch = () => refused('This looks like a command, or is too long, so it was not searched for.', 'A curl command is taken by the search at the top and by Why?. A text to search for is one line without options and URLs.');

const refused = (message, advice) => Object.assign(new Problem(400, {message}), {advice: `${advice} Nothing was sent, and nothing is kept of it.`});
