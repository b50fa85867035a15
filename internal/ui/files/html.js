// The library, under one name: html`<p>${text}</p>` makes elements, and text stays text.
import {Component, Fragment, createRef, h, render} from './thirdparty/preact.mjs';
import htm from './thirdparty/htm.mjs';

export const html = htm.bind(h);
export {Component, Fragment, createRef, render};
