// The chosen measure across depth: one small panel per role, all on one scale, with the other roles in grey.

const PANEL = { height: 138, left: 46, right: 10, top: 10, bottom: 24 };

function drawDepth(rows, choose) {
  const layered = ordered(rows.filter((i) => matrices.layer[i] !== null));
  const box = byId('depth');
  box.replaceChildren();
  caption('depth-caption', 'Across depth, by role', `${measure().label}${unitText() ? `, ${unitText()}` : ''}; band: ± 2 errors`);
  if (!layered.length) {
    box.append(element('p', { class: 'note' }, 'No matrix in a layer passes the filters.'));
  }
  const values = layered.map(shown).filter(Boolean);
  const log = isLog(values.map((v) => v.value));
  const ends = values.flatMap((v) => [v.value, v.value - 2 * v.error, v.value + 2 * v.error]);
  const range = fitted(ends.filter((v) => !log || v > 0), 0, 1, { log, zero: measure().signed });
  for (const [place, group] of grouped(layered, placeOf)) {
    const panel = element('div', { class: 'panel' });
    box.append(panel);
    const several = Math.max(...[...grouped(group, (i) => matrices.layer[i]).values()].map((found) => found.length));
    const note = several > 1 ? `median and range of up to ${several}` : '';
    panel.append(element('h3', {}, place, ' ', element('small', {}, note)));
    const tower = textOf('tower', group[0]);
    const context = [...grouped(layered.filter((i) => textOf('tower', i) === tower && placeOf(i) !== place), placeOf).values()];
    panel.append(depthPanel(widthOf(panel), place, group, context, range, choose));
  }
  drawLayerless(rows.filter((i) => matrices.layer[i] === null), ends, choose);
}

// One point per layer: the matrix there, or the median of several with their range.
function profile(group) {
  return [...grouped(group, (i) => matrices.layer[i])]
    .map(([layer, rows]) => {
      const known = rows.map((i) => ({ i, ...shown(i) })).filter((p) => p.value !== undefined);
      if (!known.length) return { layer, value: null, row: rows[0], rows };
      const { value: middle, error } = medianWithError(known);
      const near = known.reduce((a, b) => (Math.abs(b.value - middle) < Math.abs(a.value - middle) ? b : a));
      const [least, most] = [(a, b) => (b.value < a.value ? b : a), (a, b) => (b.value > a.value ? b : a)].map((f) => known.reduce(f));
      const low = Math.min(...known.map((p) => p.value - 2 * p.error));
      const high = Math.max(...known.map((p) => p.value + 2 * p.error));
      const text = `median ${withError(middle, error)} of ${ofHowMany(known, rows)}, ${withError(least.value, least.error)} to ${withError(most.value, most.error)}`;
      return { layer, value: middle, low, high, row: near.i, rows, several: known.length > 1, text };
    })
    .sort((a, b) => a.layer - b.layer);
}

// Cuts a profile at layers without a value, or with a value that the scale cannot show.
function runs(points, y) {
  const found = [];
  let last = null;
  for (const point of points) {
    if (!y.holds(point.value)) {
      last = null;
    } else if (last && point.layer - last.layer <= 1) {
      found.at(-1).push(point);
      last = point;
    } else {
      found.push([point]);
      last = point;
    }
  }
  return found;
}

function depthPanel(width, place, group, context, range, choose) {
  const { height, left, right, top, bottom } = PANEL;
  const svg = drawing(width, height, `${measure().label} of ${place} by layer`);
  const points = profile(group);
  const layers = [...points.map((p) => p.layer), ...context.flat().map((i) => matrices.layer[i])];
  const x = scale(Math.min(...layers), Math.max(Math.max(...layers), Math.min(...layers) + 1), left, width - right);
  const y = scale(range.low, range.high, height - bottom, top, range.log);
  leftAxis(svg, y, left, width - right, 4);
  bottomAxis(svg, x, top, height - bottom, Math.max(2, Math.floor((width - left) / 48)), true);
  for (const other of context) {
    for (const run of runs(profile(other), y)) {
      svg.append(draw('path', { d: path(run.map((p) => [x(p.layer), y(p.value)])), class: 'context' }));
    }
  }
  for (const run of runs(points, y)) {
    const ends = run.map((p) => [x(p.layer), y.clamped(p.high), y.clamped(p.low)]);
    const wide = run[0].several ? 'range' : 'band';
    if (wide === 'band') svg.append(draw('path', { d: area(ends.map(([a, b]) => [a, b]), ends.map(([a, , c]) => [a, c])), class: 'band' }));
    else ends.forEach(([a, b, c]) => svg.append(draw('line', { x1: a, x2: a, y1: b, y2: c, class: 'range' })));
    svg.append(draw('path', { d: path(run.map((p) => [x(p.layer), y(p.value)])), class: 'line' }));
  }
  const radius = points.length > 40 ? 2 : 3;
  const seen = points.map((p) => depthPoint(svg, p, x, y, height - bottom, radius));
  const cursor = draw('circle', { r: radius + 3, class: 'cursor', visibility: 'hidden' });
  svg.append(cursor);
  explore(svg, seen, (p) => {
    cursor.setAttribute('visibility', p ? 'visible' : 'hidden');
    if (p) cursor.setAttribute('cx', p.x), cursor.setAttribute('cy', p.y);
  }, choose);
  return svg;
}

// Draws one point: a cross on the axis if there is no value, "0" if the scale cannot show it.
function depthPoint(svg, point, x, y, base, radius) {
  const at = x(point.layer);
  const place = { x: at, y: base, row: point.row, column: point.layer, line: 0 };
  if (point.value === null) {
    svg.append(draw('path', { d: `M${at - 3} ${base - 3}l6 6m0 -6l-6 6`, class: 'missing' }));
    return { ...place, text: `layer ${point.layer}\n${about(point.row)}` };
  }
  const text = point.several
    ? `layer ${point.layer}: ${point.text}\nnearest: ${about(point.row)}`
    : `layer ${point.layer}\n${about(point.row)}`;
  if (!y.holds(point.value)) {
    svg.append(label(at, base - 3, '0', { 'text-anchor': 'middle' }));
    return { ...place, text };
  }
  const level = y(point.value);
  const hollow = point.rows.every(isBelow);
  svg.append(draw('circle', { cx: at, cy: level, r: radius, class: hollow ? 'dot hollow' : 'dot' }));
  if (point.rows.includes(state.row)) svg.append(draw('circle', { cx: at, cy: level, r: radius + 3, class: 'chosen' }));
  return { ...place, y: level, text };
}

// Matrices without a layer: one dot each, with its error, on the same scale.
function drawLayerless(rows, others, choose) {
  const box = byId('layerless');
  box.replaceChildren();
  if (!rows.length) return;
  const most = 40;
  const few = rows.slice(0, most);
  const note = rows.length > most ? `the first ${most} of ${rows.length}` : '';
  box.append(element('h3', {}, 'Outside the layers ', element('small', {}, note)));
  const width = Math.min(widthOf(box), 760);
  const wide = Math.min(250, width * 0.42);
  const [step, bottom] = [24, 24];
  const height = few.length * step + bottom + 4;
  const values = few.map(shown);
  const known = values.filter(Boolean);
  const ends = [...others, ...known.flatMap((v) => [v.value, v.value - 2 * v.error, v.value + 2 * v.error])];
  const log = isLog(ends.filter((v) => v > 0));
  const range = fitted(ends, 0, 1, { log, zero: measure().signed });
  const x = scale(range.low, range.high, wide + 10, width - 14, log);
  const svg = drawing(width, height, `${measure().label} of matrices outside the layers`);
  bottomAxis(svg, x, 0, height - bottom, Math.floor((width - wide) / 80));
  const points = few.map((i, line) => {
    const y = line * step + step / 2 + 2;
    const name = matrices.name[i];
    const room = Math.floor(wide / 7);
    svg.append(label(wide, y + 4, name.length > room ? `…${name.slice(1 - room)}` : name, { 'text-anchor': 'end' }));
    svg.append(draw('line', { x1: wide + 10, x2: width - 14, y1: y, y2: y, class: 'grid' }));
    const value = values[line];
    const there = value && x.holds(value.value);
    const at = there ? x(value.value) : wide + 14;
    if (there) {
      svg.append(draw('line', { x1: x.clamped(value.value - 2 * value.error), x2: x.clamped(value.value + 2 * value.error), y1: y, y2: y, class: 'whisker' }));
      svg.append(draw('circle', { cx: at, cy: y, r: 4, class: isBelow(i) ? 'dot hollow' : 'dot' }));
    } else {
      svg.append(label(at, y + 4, value ? '0' : '× no value'));
    }
    if (i === state.row) svg.append(draw('circle', { cx: at, cy: y, r: 7, class: 'chosen' }));
    return { x: at, y, text: about(i), row: i, column: 0, line };
  });
  const cursor = draw('circle', { r: 7, class: 'cursor', visibility: 'hidden' });
  svg.append(cursor);
  explore(svg, points, (p) => {
    cursor.setAttribute('visibility', p ? 'visible' : 'hidden');
    if (p) cursor.setAttribute('cx', p.x), cursor.setAttribute('cy', p.y);
  }, choose, (_, dy) => dy);
  box.append(svg);
}
