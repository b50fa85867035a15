// A place that there is not.
import {html} from '../html.js';
import {link} from '../router.js';
import {Empty} from '../table.js';
import {View} from '../view.js';

export class Missing extends View {
  name = 'missing';
  heading() { return 'Nothing here'; }
  async load() { return {}; }
  body() {
    return html`<${Empty} title="There is no such view."><p>The address may be mistyped. <a href=${link(['overview'])}>Go to the overview</a></p><//>`;
  }
}
