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
  const [unit, error] = [fullRank(i) / 100, errorOf(key, i)];
  return `${withError(valueOf(key, i) / unit, error === null ? null : error / unit)} %`;
}

const header = (text, number = false) => element('th', { scope: 'col', class: number ? 'number' : null }, text);

// All measures of a matrix; for a pair, with a column for each side.
function drawNumbers(i) {
  const table = element('table', {});
  const body = element('tbody', {});
  if (comparison) {
    const sides = ['before', 'after', 'change', 'delta', 'projected'];
    const words = { before: 'before', after: 'after', change: 'change', delta: 'ΔW', projected: 'ΔW without decay' };
    const plain = data.measures.filter((m) => !sides.some((s) => m.key.startsWith(`${s}_`)));
    const names = [...new Set(data.measures.flatMap((m) => sides.filter((s) => m.key.startsWith(`${s}_`)).map((s) => m.key.slice(s.length + 1))))];
    table.append(element('thead', {}, element('tr', {}, header('Measure'), ...sides.map((s) => header(words[s], true)))));
    for (const m of plain) {
      body.append(element('tr', {}, named(m), element('td', { class: 'number', colspan: 5 }, numberText(m.key, i))));
    }
    for (const name of names) {
      const known = sides.map((s) => measures.get(`${s}_${name}`)).find(Boolean);
      body.append(element('tr', {}, sideless(known, name), ...sides.map((s) => numberCell(`${s}_${name}`, i))));
    }
  } else {
    table.append(element('thead', {}, element('tr', {}, header('Measure'), header('Value', true), header('Share of the full rank', true))));
    for (const [group, keys] of grouped(data.measures.keys(), (j) => data.measures[j].group)) {
      body.append(element('tr', { class: 'group' }, element('th', { colspan: 3, scope: 'rowgroup' }, group)));
      for (const m of keys.map((j) => data.measures[j])) {
        const value = valueOf(m.key, i);
        const share = m.rank && value !== null ? shareText(m.key, i) : '';
        body.append(element('tr', {}, named(m), numberCell(m.key, i), element('td', { class: 'number' }, share)));
      }
    }
  }
  table.append(body);
  const box = element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Measures of ${matrices.name[i]}` }, table);
  byId('numbers').replaceChildren(element('h3', {}, 'Every measure'), box);
}

const named = (m) => element('th', { scope: 'row' }, term(m.label, m.meaning), m.unit ? ` (${m.unit})` : '');

// The name of a measure without its side.
function sideless(m, name) {
  const words = m.label.replace(/^change of /, '').replace(/ (of ΔW without decay|of ΔW|before|after)$/, '');
  const meaning = m.meaning.replace(/^[^:]+: /, '');
  return element('th', { scope: 'row' }, term(words || name, meaning), m.unit ? ` (${m.unit})` : '');
}

const FEW = 60;

// The rows that the filters select, sorted by a column.
function drawTable(rows, choose, redraw) {
  const columns = [
    ['Matrix', (i) => matrices.name[i]],
    ['Role', (i) => placeOf(i)],
    ['Layer', (i) => matrices.layer[i] ?? -1],
    ['Shape', (i) => matrices.rows[i] * matrices.columns[i]],
    ['Dtype', (i) => textOf('dtype', i) ?? ''],
    [`${measure().label}${{ value: '', share: ', % of the full rank', ratio: ', × the median' }[state.show]}`, (i) => shown(i)?.value ?? -Infinity],
  ];
  const sorted = state.sort ? sortedRows(rows, columns[state.sort.column][1], state.sort.down) : rows;
  const few = state.every ? sorted : sorted.slice(0, FEW);
  const heads = columns.map(([text], j) => sortable(text, j, j > 1 && j !== 4, redraw));
  const lines = few.map((i) => tableLine(i, choose));
  const table = element('table', {}, element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...lines));
  const box = element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'All matrices' }, table);
  byId('table').replaceChildren(box);
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
    element('td', {}, textOf('dtype', i) ?? ''),
    element('td', { class: found ? 'number' : 'number none' }, (found ? withError(found.value, found.error) : '–') + marks),
  );
}

function sortedRows(rows, of, down) {
  const order = (a, b) => (typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b);
  return [...rows].sort((a, b) => (down ? order(of(b), of(a)) : order(of(a), of(b))));
}

function sortable(text, column, number, redraw) {
  const now = state.sort?.column === column ? (state.sort.down ? 'descending' : 'ascending') : null;
  const button = element('button', { type: 'button' }, text);
  if (column === 5) explain(button, measure().meaning);
  button.addEventListener('click', () => {
    state.sort = { column, down: now ? !state.sort.down : column === 5 };
    redraw();
    byId('table').querySelectorAll('th button')[column].focus();
  });
  return element('th', { scope: 'col', class: number ? 'number' : null, 'aria-sort': now }, button);
}
