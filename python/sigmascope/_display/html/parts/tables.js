// Tables: every measure of one matrix, and one measure of every matrix.

function caption(id, title, note) {
  byId(id).replaceChildren(title, note ? element('small', {}, ` — ${note}`) : '');
}

const numberCell = (key, i) => element('td', { class: valueOf(key, i) === null ? 'number none' : 'number' }, numberText(key, i));

// A number with its error; a cosine is written by its distance from 1.
function numberText(key, i) {
  const value = valueOf(key, i);
  if (key !== 'cosine' || value === null || value < 0.99) return withError(value, errorOf(key, i));
  return value === 1 && !errorOf(key, i) ? '1' : `1 − ${withError(1 - value, errorOf(key, i))}`;
}

// A rank as a fraction of the full rank, with its error.
function shareText(key, i) {
  const [unit, error] = [fullRank(key, i) / 100, errorOf(key, i)];
  return `${withError(valueOf(key, i) / unit, error === null ? null : error / unit)} %`;
}

const header = (text, number = false) => element('th', { scope: 'col', class: number ? 'number' : null }, text);

// All measures of a matrix; measures of a pair as a whole are in a separate table.
function drawNumbers(i) {
  const tables = comparison ? [ofPair(i), ofSides(i)] : [ofMatrix(i)];
  const boxes = tables.filter(Boolean).map(([title, heads, lines]) => {
    const table = element('table', { class: heads.length === 2 ? 'narrow' : null }, element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...lines));
    const words = `${title} of ${matrices.name[i]}`;
    return [element('h3', {}, title), element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': words }, table)];
  });
  byId('numbers').replaceChildren(...boxes.flat());
}

const SIDE_HEADS = { before: 'before', after: 'after', change: 'change', delta: 'ΔW', projected: 'ΔW without decay' };
const sideOf = (key) => Object.keys(SIDE_HEADS).find((side) => key.startsWith(`${side}_`));

// Measures that belong to both matrices of a pair together, one number each.
function ofPair(i) {
  const known = data.measures.filter((m) => !sideOf(m.key) && valueOf(m.key, i) !== null);
  if (!known.length) return null;
  const lines = known.map((m) => element('tr', {}, named(m), element('td', { class: 'number' }, numberText(m.key, i))));
  return ['Measures of the pair as a whole', [header('Measure'), header('Value', true)], lines];
}

// Measures of each matrix of a pair, and of its change, with a column for each.
function ofSides(i) {
  const sides = Object.keys(SIDE_HEADS).filter((s) => data.measures.some((m) => sideOf(m.key) === s && valueOf(m.key, i) !== null));
  const names = [...new Set(data.measures.flatMap((m) => sides.filter((s) => sideOf(m.key) === s).map((s) => m.key.slice(s.length + 1))))];
  const lines = names.filter((name) => sides.some((s) => valueOf(`${s}_${name}`, i) !== null)).map((name) => {
    const known = sides.map((s) => measures.get(`${s}_${name}`)).find(Boolean);
    return element('tr', {}, sideless(known, name), ...sides.map((s) => numberCell(`${s}_${name}`, i)));
  });
  return lines.length ? ['Measures of each matrix', [header('Measure'), ...sides.map((s) => header(SIDE_HEADS[s], true))], lines] : null;
}

// Measures of a matrix of a scan, by group, with ranks also as a share of the full rank.
function ofMatrix(i) {
  const lines = [];
  for (const [group, keys] of grouped(data.measures.keys(), (j) => data.measures[j].group)) {
    const known = keys.map((j) => data.measures[j]).filter((m) => valueOf(m.key, i) !== null);
    if (known.length) lines.push(element('tr', { class: 'group' }, element('th', { colspan: 3, scope: 'rowgroup' }, group)));
    for (const m of known) {
      const share = m.rank ? shareText(m.key, i) : '';
      lines.push(element('tr', {}, named(m), numberCell(m.key, i), element('td', { class: 'number' }, share)));
    }
  }
  return ['Every measure', [header('Measure'), header('Value', true), header(`Share of ${whole('')}`, true)], lines];
}

const named = (m) => element('th', { scope: 'row' }, term(m.label, m.meaning), m.unit ? ` (${m.unit})` : '');

// The name of a measure without its side.
function sideless(m, name) {
  const words = m.label.replace(/^change of /, '').replace(/ (of ΔW without decay|of ΔW|before|after)$/, '');
  const meaning = m.meaning.replace(/^[^:]+: /, '');
  return element('th', { scope: 'row' }, term(words || name, meaning), m.unit ? ` (${m.unit})` : '');
}

const FEW = 60;

// Measures that the table of all matrices shows next to the chosen measure.
const USUAL = comparison
  ? ['relative_change', 'effective_bits', 'delta_effective_rank', 'delta_mp_outliers', 'delta_concentration_10']
  : ['effective_rank', 'stable_rank', 'spectral_norm', 'mp_outliers'];
const furtherKeys = () => USUAL.filter((key) => key !== state.measure && measures.has(key)).slice(0, 3);

// The rows that the filters select, sorted by a column.
function drawTable(rows, choose, redraw) {
  const columns = [
    ['Matrix', (i) => matrices.name[i]],
    ['Role', (i) => placeOf(i)],
    ['Layer', (i) => matrices.layer[i] ?? -1],
    ['Shape', (i) => matrices.rows[i] * matrices.columns[i]],
    ['Dtype', (i) => textOf('dtype', i) ?? ''],
    [`${measure().label}${{ value: '', share: `, % of ${whole(state.measure)}`, ratio: ', × the median' }[state.show]}`, (i) => shown(i)?.value ?? -Infinity],
    ...furtherKeys().map((key) => [measures.get(key).label, (i) => valueOf(key, i) ?? -Infinity]),
  ];
  const sorted = state.sort ? sortedRows(rows, columns[state.sort.column][1], state.sort.down) : rows;
  const few = state.every ? sorted : sorted.slice(0, FEW);
  const heads = columns.map(([text], j) => sortable(text, j, j > 1 && j !== 4, redraw));
  const lines = few.map((i) => tableLine(i, choose));
  const table = element('table', {}, element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...lines));
  const box = element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of all matrices' }, table);
  const save = element('button', { type: 'button', class: 'more' }, 'Save as CSV');
  save.addEventListener('click', () => saveCsv(sorted));
  byId('table').replaceChildren(box, save);
  if (few.length < sorted.length) {
    const more = element('button', { type: 'button', class: 'more' }, `Show all ${sorted.length.toLocaleString('en')}`);
    more.addEventListener('click', () => {
      state.every = true;
      redraw();
    });
    byId('table').append(more);
  }
}

function tableLine(i, choose) {
  const name = element('button', { type: 'button', class: 'go' }, matrices.name[i]);
  name.addEventListener('click', () => choose(i, true));
  const found = shown(i);
  const layer = matrices.layer[i] === null ? '' : String(matrices.layer[i]);
  const marks = (isBelow(i) ? ' ≤ floor' : '') + (matrices.flags[i] & UNCONVERGED ? ' not converged' : '');
  return element(
    'tr',
    { class: i === state.row ? 'chosen' : null },
    element('th', { scope: 'row' }, name),
    element('td', {}, placeOf(i)),
    element('td', { class: 'number' }, layer),
    element('td', { class: 'number' }, `${matrices.rows[i]} × ${matrices.columns[i]}`),
    element('td', { class: 'dtype' }, textOf('dtype', i) ?? ''),
    element('td', { class: found ? 'number' : 'number none' }, (found ? withError(found.value, found.error) : '–') + marks),
    ...furtherKeys().map((key) => numberCell(key, i)),
  );
}

function sortedRows(rows, of, down) {
  const order = (a, b) => (typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b);
  return [...rows].sort((a, b) => (down ? order(of(b), of(a)) : order(of(a), of(b))));
}

function sortable(text, column, number, redraw) {
  const now = state.sort?.column === column ? (state.sort.down ? 'descending' : 'ascending') : null;
  const button = element('button', { type: 'button' }, text);
  const meaning = column < 5 ? null : column === 5 ? measure().meaning : measures.get(furtherKeys()[column - 6]).meaning;
  if (meaning) explain(button, meaning);
  button.addEventListener('click', () => {
    state.sort = { column, down: now ? !state.sort.down : column >= 5 };
    redraw();
    byId('table').querySelectorAll('th button')[column].focus();
  });
  return element('th', { scope: 'col', class: number ? 'number' : null, 'aria-sort': now }, button);
}

// Every measure of the rows, each with its error, in the digits that the page has.
function csvOf(rows) {
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const line = (cells) => cells.map((cell) => quoted(String(cell ?? ''))).join(',');
  const keys = data.measures.map((m) => m.key);
  const head = ['name', 'role', 'layer', 'rows', 'columns', 'dtype', ...keys.flatMap((key) => [key, `${key}_error`])];
  const cells = (i) => [
    ...[matrices.name[i], placeOf(i), matrices.layer[i], matrices.rows[i], matrices.columns[i], textOf('dtype', i)],
    ...keys.flatMap((key) => [valueOf(key, i), valueOf(key, i) === null ? null : errorOf(key, i)]),
  ];
  return [head, ...rows.map(cells)].map(line).join('\r\n') + '\r\n';
}

function saveCsv(rows) {
  const url = URL.createObjectURL(new Blob([csvOf(rows)], { type: 'text/csv' }));
  element('a', { href: url, download: 'matrices.csv' }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
