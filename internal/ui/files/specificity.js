// The order in which policies decide: as `vault-authz policy list` has it, see
// docs/reference/policies.md.

function hostRank(host) {
  const [name, port = ''] = host.split(':');
  const wild = name.startsWith('*');
  return [wild ? 1 : 0, wild ? -(name.length - 1) : 0, port === '*' ? 1 : 0];
}

function compareLists(a, b) {
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

const byHost = (a, b) => compareLists(hostRank(a), hostRank(b));
const byPath = (a, b) => b.length - a.length;

// compareMost compares the most specific of each. A list comes before none.
function compareMost(a, b, order) {
  if (a.length === 0 || b.length === 0) return Math.sign(b.length - a.length);
  return order([...a].sort(order)[0], [...b].sort(order)[0]);
}

const kind = (p) => ((p.hosts?.length || 0) + (p.paths?.length || 0) > 0 ? 0 : p.default ? 1 : 2);

// compare is negative where policy a comes before b.
export function compare(a, b) {
  return kind(a) - kind(b)
    || compareMost(a.hosts || [], b.hosts || [], byHost)
    || compareMost(a.paths || [], b.paths || [], byPath)
    || Number(a.ignore_case || false) - Number(b.ignore_case || false)
    || (b.priority || 0) - (a.priority || 0)
    || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}
