// Decisions by the minute as bars, stacked by reason, and the same numbers as a table.
import {Component, createRef, html} from './html.js';
import {Table} from './table.js';
import {clockOf} from './time.js';
import {allowing, words} from './reasons.js';

const height = 112;
const below = 18; // for the times
const left = 44; // for the numbers

// At most so many reasons have a colour of their own; the rarest share one.
const colours = 6;

const sum = (numbers) => numbers.reduce((whole, n) => whole + n, 0);
const thousands = new Intl.NumberFormat('en-GB');
export const count = (n) => thousands.format(n);

// seriesOf returns the reasons of a kind that occurred, the most frequent first.
export function seriesOf(reasons, denied) {
  const all = Object.entries(reasons)
    .filter(([reason, values]) => allowing.includes(reason) !== denied && sum(values) > 0)
    .map(([reason, values]) => ({reason, values, total: sum(values)}))
    .sort((a, b) => b.total - a.total);
  if (all.length <= colours) return all;
  const rest = all.slice(colours - 1);
  const values = rest[0].values.map((_, i) => sum(rest.map((s) => s.values[i] || 0)));
  return [...all.slice(0, colours - 1), {reason: `${rest.length} other reasons`, values, total: sum(values)}];
}

// roundUp returns a round number that is not below n, for the top of the scale.
export function roundUp(n) {
  if (n <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 5, 8, 10].map((k) => k * power).find((top) => top >= n);
}

// Bars is one panel: bars of one kind over the hour.
class Bars extends Component {
  state = {width: 600};
  box = createRef();

  componentDidMount() {
    this.observer = new ResizeObserver(([entry]) => this.setState({width: Math.max(240, Math.round(entry.contentRect.width))}));
    this.observer.observe(this.box.current);
  }

  componentWillUnmount() { this.observer.disconnect(); }

  render({title, series, from, step, steps, kind}, {width}) {
    const totals = Array.from({length: steps}, (_, i) => sum(series.map((s) => s.values[i] || 0)));
    const most = roundUp(Math.max(...totals, 0));
    const slot = (width - left) / steps;
    const bar = Math.max(1, slot - (slot > 5 ? 2 : 1));
    const y = (n) => height - (n / most) * (height - 8);
    const told = (i) => `${clockOf(from + i * step)}: ` + (series.map((s) => [s, s.values[i] || 0]).filter(([, n]) => n > 0)
      .map(([s, n]) => `${count(n)} ${words(s.reason)}`).join(', ') || 'none');
    return html`
      <div class="bars" ref=${this.box}>
        <svg role="img" aria-label=${`${title}: ${count(sum(totals))} in the last hour. The numbers are in the table below.`} width=${width} height=${height + below} viewBox=${`0 0 ${width} ${height + below}`}>
          ${[0, most / 2, most].map((n) => html`
            <line class="grid" x1=${left} x2=${width} y1=${y(n)} y2=${y(n)} />
            <text class="tick" x=${left - 6} y=${y(n) + 4} text-anchor="end">${count(n)}</text>`)}
          ${totals.map((total, i) => {
            let floor = 0;
            return html`<g>
              ${series.map((s, k) => {
                const n = s.values[i] || 0;
                if (n === 0) return null;
                const top = y(floor + n);
                const rect = html`<rect class=${`${kind}-${k}`} x=${left + i * slot} y=${top} width=${bar} height=${Math.max(1, y(floor) - top)} />`;
                floor += n;
                return rect;
              })}
              <rect class="hover" x=${left + i * slot} y="0" width=${slot} height=${height}><title>${told(i)}</title></rect>
            </g>`;
          })}
          ${(width < 420 ? [0, 30] : [0, 15, 30, 45]).filter((i) => i < steps).map((i) => html`
            <text class="tick" x=${left + i * slot} y=${height + below - 4}>${clockOf(from + i * step)}</text>`)}
          <text class="tick" x=${width - 4} y=${height + below - 4} text-anchor="end">${clockOf(from + steps * step)}</text>
        </svg>
      </div>`;
  }
}

function Legend({series, kind}) {
  if (series.length === 0) return html`<p class="quiet">None in the last hour.</p>`;
  return html`<ul class="legend">${series.map((s, k) => html`
    <li><svg class="key" width="12" height="12" aria-hidden="true"><rect class=${`${kind}-${k}`} width="12" height="12" rx="2" /></svg>
      <span>${words(s.reason)}</span> <strong>${count(s.total)}</strong></li>`)}</ul>`;
}

// DecisionsChart shows the decisions of the last hour. Allowed and denied ones have a scale each,
// as a few denials beside many requests could not be seen.
export function DecisionsChart({decisions}) {
  const {reasons, from, step_seconds: step} = decisions;
  const steps = Math.max(0, ...Object.values(reasons).map((values) => values.length));
  const allowed = seriesOf(reasons, false);
  const denied = seriesOf(reasons, true);
  if (steps === 0) return html`<p class="quiet">No request was decided in the last hour.</p>`;
  const panel = (title, series, kind) => html`
    <figure class="panel">
      <figcaption><span>${title}</span> <strong>${count(sum(series.map((s) => s.total)))}</strong></figcaption>
      <${Bars} ...${{title, series, from, step, steps, kind}} />
      <${Legend} ...${{series, kind}} />
    </figure>`;
  return html`
    <div class="panels">${panel('Allowed', allowed, 'allowed')}${panel('Denied', denied, 'denied')}</div>
    <details>
      <summary>The numbers as a table</summary>
      <${NumbersTable} ...${{series: [...allowed, ...denied], from, step, steps}} />
    </details>`;
}

// NumbersTable has a row for each ten minutes: sixty rows are read by nobody.
function NumbersTable({series, from, step, steps}) {
  const minutes = 10;
  const rows = [];
  for (let i = 0; i < steps; i += minutes) {
    rows.push({at: from + i * step, numbers: series.map((s) => sum(s.values.slice(i, i + minutes)))});
  }
  return html`<${Table} label="Decisions by reason" rows=${rows} columns=${[
    {title: 'From', kind: 'name', cell: (row) => clockOf(row.at)},
    ...series.map((s, k) => ({title: words(s.reason), kind: 'number', cell: (row) => count(row.numbers[k])})),
  ]} />`;
}
