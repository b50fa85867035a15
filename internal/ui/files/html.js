// The library, under one name: html`<p>${text}</p>` makes elements, and text stays text. Clients
// choose much of it, so characters that hide or turn around others are shown as escapes: \u{202e}.
import {Component, Fragment, createRef, h, render} from './thirdparty/preact.mjs';
import htm from './thirdparty/htm.mjs';

// visible returns a text with its control and format characters as escapes.
export const visible = (text) => text.replace(/(?![\n\t])[\p{Cc}\p{Cf}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

const shown = (child) => (typeof child === 'string' ? visible(child) : Array.isArray(child) ? child.map(shown) : child);

export const html = htm.bind((type, props, ...children) => h(type, props, ...children.map(shown)));
export {Component, Fragment, createRef, render};
