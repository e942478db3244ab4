// The data of the page, the present choice, and the rows that the filters select.

const data = JSON.parse(byId('data').textContent);
const matrices = data.matrices;
const comparison = data.kind === 'comparison';
const everyRow = matrices.name.map((_, i) => i);
const measures = new Map(data.measures.map((m) => [m.key, m]));
const [UNCONVERGED, BELOW_ROUNDING] = [1, 2];

const textOf = (column, i) => (matrices[column][i] === null ? null : data.texts[matrices[column][i]]);
const valueOf = (key, i) => data.values[key]?.[i] ?? null;
// The error of a value: null if it is not known, 0 if it is below the last digit that is shown.
const errorOf = (key, i) => (data.errors[key] ? data.errors[key][i] : 0);
// The largest rank that a matrix can have: min(rows, columns), or that of a product.
const ofChange = (key) => !comparison || key.startsWith('delta_');
const fullRank = (key, i) => (ofChange(key) && matrices.product_rank[i]) || Math.min(matrices.rows[i], matrices.columns[i]);
const products = everyRow.length > 0 && everyRow.every((i) => matrices.product_rank[i] !== null);
const circuits = everyRow.every((i) => /(qk|ov)$/.test(textOf('role', i) ?? ''));
const ofProduct = circuits ? 'd_head, the rank of a circuit' : 'r, the rank of the adapter';
const whole = (key) => (products && ofChange(key) ? ofProduct : 'the full rank');
const isBelow = (i) => (matrices.flags[i] & BELOW_ROUNDING) > 0;
const towers = [...new Set(everyRow.map((i) => textOf('tower', i)))];
const roleOf = (i) => textOf('role', i) ?? 'other';
const placeOf = (i) => (towers.length > 1 ? `${textOf('tower', i) ?? ''} ${roleOf(i)}`.trim() : roleOf(i));

// Roles in the order in which a block computes; other roles follow in the order of the file.
function ordered(rows) {
  const towerAt = (i) => towers.indexOf(textOf('tower', i));
  const roleAt = (i) => (data.roles.indexOf(roleOf(i)) + data.roles.length + 1) % (data.roles.length + 1);
  return [...rows].sort((a, b) => towerAt(a) - towerAt(b) || roleAt(a) - roleAt(b) || a - b);
}

// The matrix that is shown first: the one with the largest change, or the farthest outlier.
function firstRow() {
  const changes = data.values.relative_change;
  if (changes) return changes.reduce((best, v, i) => (v !== null && v > (changes[best] ?? -1) ? i : best), 0);
  const named = [...document.querySelectorAll('button.go[data-row]')].map((button) => Number(button.dataset.row));
  return [...named, ...everyRow].find((i) => data.curves[i]?.w?.[1].some((value) => value > 0)) ?? 0;
}

const FIRST = comparison ? ['relative_change'] : ['effective_rank', 'stable_rank'];

const UNNAMED = 'without a name';
const UNFILTERED = { tower: '', role: '', layers: '', name: '' };

// Ranks of matrices of several shapes are compared as fractions of the full rank.
function beginning() {
  const key = FIRST.find((k) => measures.has(k)) ?? data.measures[0]?.key;
  const shapes = new Set(everyRow.map((i) => fullRank(key, i))).size;
  return { measure: key, show: measures.get(key)?.rank && shapes > 1 ? 'share' : 'value', ...UNFILTERED };
}


const state = { ...beginning(), row: firstRow(), side: comparison ? 'delta' : 'w', hidden: new Set(['projected']), sort: null, every: false };

// The layers in a text like "0-7, 12"; null for all, or if the text is invalid.
function layersOf(text) {
  const parts = [...text.matchAll(/(\d+)\s*(?:[-–]\s*(\d+))?/g)].map((m) => [Number(m[1]), Number(m[2] ?? m[1])]);
  return parts.length ? (layer) => layer !== null && parts.some(([a, b]) => layer >= a && layer <= b) : null;
}

// The rows that the filters select, in file order.
function filtered() {
  const inside = layersOf(state.layers);
  const part = state.name.trim().toLowerCase();
  return everyRow.filter(
    (i) =>
      (!state.tower || (textOf('tower', i) || UNNAMED) === state.tower) &&
      (!state.role || placeOf(i) === state.role) &&
      (!inside || inside(matrices.layer[i])) &&
      (!part || matrices.name[i].toLowerCase().includes(part)),
  );
}

function grouped(rows, keyOf) {
  const found = new Map();
  for (const i of rows) {
    const key = keyOf(i);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(i);
  }
  return found;
}

// How a number may be shown -------------------------------------------------------------------------

const SHOWS = {
  value: () => 'the value',
  share: (key) => `share of ${whole(key)}, %`,
  ratio: () => 'multiple of the role’s median',
};

const allows = (measure, show) =>
  show === 'value' || (show === 'share' ? measure.rank && !measure.signed : !measure.signed && !measure.key.endsWith('cosine'));

const medians = new Map();

// The median of a measure over all matrices of a matrix's role, with its error.
function medianOfRole(key, i) {
  if (!medians.has(key)) {
    const found = new Map();
    for (const [place, rows] of grouped(everyRow, placeOf)) {
      const points = rows.map((r) => ({ value: valueOf(key, r), error: errorOf(key, r) })).filter((p) => p.value !== null);
      found.set(place, points.length ? medianWithError(points) : null);
    }
    medians.set(key, found);
  }
  return medians.get(key).get(placeOf(i));
}

// The value of a row and its error in the chosen unit; null if there is no value.
function shown(i) {
  const value = valueOf(state.measure, i);
  if (value === null) return null;
  const one = { value: 1, error: 0 };
  const divisor = state.show === 'share' ? { value: fullRank(state.measure, i) / 100, error: 0 } : state.show === 'ratio' ? medianOfRole(state.measure, i) : one;
  if (!divisor?.value) return null;
  const shown = value / divisor.value;
  const error = errorOf(state.measure, i);
  const known = error !== null && divisor.error !== null;
  return { value: shown, error: known ? (error + Math.abs(shown) * divisor.error) / Math.abs(divisor.value) : null };
}

const measure = () => measures.get(state.measure);

// True if the values span decades and are shown on a logarithmic scale.
function isLog(values) {
  const chosen = measure();
  if (chosen.signed) return false;
  const positive = values.filter((v) => v > 0);
  if (positive.length < values.length / 2 || !positive.length) return false;
  const span = Math.max(...positive) / Math.min(...positive);
  return (chosen.log && span > 2) || span > 40;
}

function unitText() {
  if (state.show !== 'value') return SHOWS[state.show](state.measure);
  const chosen = measure();
  return chosen.unit ? `in units of ${chosen.unit}` : '';
}

// The text of a row's tooltip.
function about(i) {
  const found = shown(i);
  const lines = [matrices.name[i], found ? `${measure().label}: ${withError(found.value, found.error)}${state.show === 'share' ? ' %' : ''}` : 'no value'];
  if (matrices.flags[i] & UNCONVERGED) lines.push('did not converge: the error is larger, and still valid');
  if (isBelow(i)) lines.push('below the rounding floor: no larger than rounding');
  return lines.join('\n');
}
