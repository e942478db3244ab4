// The controls, and the charts that are redrawn when one of them changes.

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => element('option', { value, selected: value === chosen }, text)));
}

function fillMeasures() {
  const groups = grouped(data.measures.keys(), (j) => data.measures[j].group);
  byId('measure').replaceChildren(
    ...[...groups].map(([group, keys]) =>
      element('optgroup', { label: group }, ...keys.map((j) => {
        const m = data.measures[j];
        return element('option', { value: m.key }, m.unit ? `${m.label} (${m.unit})` : m.label);
      })),
    ),
  );
}

function fillControls() {
  fillMeasures();
  byId('tower-label').hidden = towers.length < 2;
  fill(byId('tower'), [['', 'all'], ...towers.map((t) => [t || UNNAMED, t || UNNAMED])], '');
  fill(byId('matrix'), everyRow.map((i) => [String(i), matrices.name[i]]), '0');
}

// Sets the controls to the present choice, and updates their options.
function showChoice() {
  const shows = Object.entries(SHOWS).filter(([show]) => allows(measure(), show)).map(([show, words]) => [show, words(state.measure)]);
  if (!allows(measure(), state.show)) state.show = 'value';
  fill(byId('show'), shows, state.show);
  const places = [...new Set(everyRow.filter((i) => !state.tower || (textOf('tower', i) || UNNAMED) === state.tower).map(placeOf))];
  if (!places.includes(state.role)) state.role = '';
  fill(byId('role'), [['', 'all'], ...places.map((p) => [p, p])], state.role);
  for (const name of ['measure', 'tower', 'layers', 'name']) {
    if (byId(name).value !== state[name]) byId(name).value = state[name];
  }
  const { label: words, meaning } = measure();
  byId('meaning').replaceChildren(element('b', {}, `${words[0].toUpperCase()}${words.slice(1)}. `), meaning);
}

function drawOverview() {
  const rows = filtered();
  showChoice();
  const every = rows.length === everyRow.length;
  byId('shown').textContent = every ? '' : `${rows.length.toLocaleString('en')} of ${counted(everyRow.length, 'matrix', 'matrices')} pass the filters.`;
  drawDepth(rows, choose);
  drawHeatmap(rows, choose);
  drawRows();
}

function drawRows() {
  drawTable(filtered(), choose, drawRows);
}

// The switches above the spectra.
function drawLegends(i) {
  const there = present(i);
  const switches = (type, chosen, change) =>
    there.map((side) => {
      const input = element('input', { type, name: `${type}-side`, value: side, checked: chosen(side) });
      input.addEventListener('change', () => change(side, input.checked));
      return element('label', {}, input, element('span', { class: `key ${side}${side === 'projected' ? ' dashed' : ''}` }), SIDES[side]);
    });
  byId('sides').hidden = byId('side').hidden = !comparison;
  byId('sides').replaceChildren(...switches('checkbox', (s) => !state.hidden.has(s), (side, on) => {
    state.hidden[on ? 'delete' : 'add'](side);
    drawRanks(state.row);
  }));
  byId('side').replaceChildren(...switches('radio', (s) => s === state.side, (side) => {
    state.side = side;
    drawDensity(state.row);
  }));
}

function drawFacts(i) {
  const facts = [
    ['shape', `${matrices.rows[i]} × ${matrices.columns[i]}`],
    ['dtype', textOf('dtype', i)],
    ['place', [placeOf(i), matrices.layer[i] === null ? '' : `layer ${matrices.layer[i]}`, matrices.expert[i] === null ? '' : `expert ${matrices.expert[i]}`].filter(Boolean).join(', ')],
    ['file', textOf('file', i)],
    ['partner', matrices.partner[i]],
    ['computed by', [textOf('method', i), textOf('effort', i) && `effort “${textOf('effort', i)}”`, textOf('precision', i), matrices.passes[i] && counted(matrices.passes[i], 'pass', 'passes')].filter(Boolean).join(', ')],
    ['remarks', [textOf('notes', i), matrices.flags[i] & UNCONVERGED ? 'Did not converge: the errors are larger, and still valid' : '', isBelow(i) ? 'Below the rounding floor: the change is no larger than rounding' : ''].filter(Boolean).join('. ')],
  ];
  const lines = facts.filter(([, value]) => value).flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]);
  byId('facts').replaceChildren(...lines);
}

function drawMatrix() {
  const i = state.row;
  byId('matrix').value = String(i);
  byId('angles-figure').hidden = !comparison;
  drawFacts(i);
  drawLegends(i);
  drawRanks(i);
  drawDensity(i);
  drawAngles(i);
  drawNumbers(i);
}

// Shows a matrix; scrolls to it if the user chose its name.
function choose(i, go = false) {
  state.row = i;
  hideTip();
  drawMatrix();
  const focused = document.activeElement;
  const chart = focused?.closest?.('svg') ? focused.getAttribute('aria-label') : null;
  drawOverview();
  if (chart) [...document.querySelectorAll('svg[tabindex]')].find((svg) => svg.getAttribute('aria-label') === chart)?.focus();
  if (go) {
    byId('one').scrollIntoView();
    byId('matrix').focus({ preventScroll: true });
  }
}

function listen() {
  const controls = byId('controls');
  controls.addEventListener('submit', (event) => event.preventDefault());
  controls.addEventListener('reset', (event) => {
    event.preventDefault();
    Object.assign(state, beginning());
    drawOverview();
  });
  controls.addEventListener('input', ({ target }) => {
    state[target.id] = target.value;
    drawOverview();
  });
  byId('matrix').addEventListener('change', ({ target }) => choose(Number(target.value)));
  byId('previous').addEventListener('click', () => choose((state.row + everyRow.length - 1) % everyRow.length));
  byId('next').addEventListener('click', () => choose((state.row + 1) % everyRow.length));
  for (const button of document.querySelectorAll('button.go[data-row]')) {
    button.addEventListener('click', () => choose(Number(button.dataset.row), true));
  }
}

function start() {
  for (const word of document.querySelectorAll('[data-meaning]')) explain(word, word.dataset.meaning);
  if (!everyRow.length || !data.measures.length) {
    for (const id of ['charts', 'one', 'all']) byId(id).hidden = true;
    return;
  }
  fillControls();
  listen();
  let width = 0;
  new ResizeObserver(() => {
    const now = document.documentElement.clientWidth;
    if (now === width) return;
    width = now;
    drawOverview();
    drawMatrix();
  }).observe(document.body);
}

start();
