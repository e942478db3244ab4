// The chosen measure by layer and role, in colours for colour-blind readers.

const CIVIDIS = ['#00224e', '#123570', '#3b496c', '#575d6d', '#707173', '#8a8678', '#a59c74', '#c3b369', '#e1cc55', '#fee838'];
const ORANGE_PURPLE = ['#9a4a00', '#d97e12', '#f5b265', '#fbdcb4', '#f4f3f4', '#d5d3e8', '#aba2cf', '#7a68ac', '#4a2285'];

// The colour at a fraction of a palette.
function colour(palette, fraction) {
  const at = Math.min(Math.max(fraction, 0), 1) * (palette.length - 1);
  const i = Math.min(Math.floor(at), palette.length - 2);
  const mix = (j) => {
    const [a, b] = [palette[i], palette[i + 1]].map((c) => parseInt(c.slice(j, j + 2), 16));
    return Math.round(a + (b - a) * (at - i));
  };
  return `rgb(${mix(1)},${mix(3)},${mix(5)})`;
}

// Fractions of the palette for values: the middle is zero for a change, and one for a ratio.
function colourScale(values, width) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (measure().signed) {
    const far = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return [ORANGE_PURPLE, scale(-far, far, 0, width)];
  }
  if (state.show === 'ratio' && low > 0) {
    const far = Math.max(high, 1 / low, 1.01);
    return [ORANGE_PURPLE, scale(1 / far, far, 0, width, true)];
  }
  const log = isLog(values);
  const least = log ? values.filter((v) => v > 0).reduce((a, b) => Math.min(a, b)) : low;
  return [CIVIDIS, scale(least, high - least > SAME * Math.abs(high) ? high : least + (Math.abs(least) || 1), 0, width, log)];
}

function drawHeatmap(rows, choose) {
  const box = byId('heatmap');
  box.replaceChildren();
  caption('heatmap-caption', 'Layer × role', `${measure().label}${unitText() ? `, ${unitText()}` : ''}`);
  const layered = ordered(rows.filter((i) => matrices.layer[i] !== null));
  const cells = [...grouped(layered, (i) => `${placeOf(i)} ${matrices.layer[i]}`).values()].map(cell);
  cells.push(...absent(layered, cells));
  const known = cells.filter((c) => c.value !== null).map((c) => c.value);
  if (!known.length) {
    box.append(element('p', { class: 'note' }, 'No value in a layer passes the filters.'));
    return;
  }
  const [palette, fraction] = colourScale(known, 1);
  box.append(colourLegend(palette, known, cells));
  for (const [tower, group] of grouped(layered, (i) => textOf('tower', i))) {
    const scroll = element('div', { class: 'scroll' });
    box.append(scroll);
    scroll.append(heatGrid(widthOf(box), tower, group, cells, palette, fraction, choose));
  }
}

function cell(rows) {
  const known = rows.map((i) => ({ i, ...shown(i) })).filter((p) => p.value !== undefined);
  const { value, error } = known.length ? medianWithError(known) : { value: null, error: 0 };
  const near = known.length ? known.reduce((a, b) => (Math.abs(b.value - value) < Math.abs(a.value - value) ? b : a)).i : rows[0];
  const more = rows.length > 1 ? `median ${withError(value, error)} of ${ofHowMany(known, rows)} matrices; nearest: ` : '';
  return {
    place: placeOf(rows[0]), tower: textOf('tower', rows[0]), layer: matrices.layer[rows[0]], value, rows, row: near,
    text: `layer ${matrices.layer[rows[0]]}, ${placeOf(rows[0])}\n${more}${about(near)}`,
  };
}

// Every role has a cell in every layer of its tower, so that missing matrices are visible.
function absent(layered, cells) {
  const there = new Set(cells.map((c) => `${c.place} ${c.layer}`));
  return [...grouped(layered, (i) => textOf('tower', i))].flatMap(([tower, rows]) => {
    const layers = [...new Set(rows.map((i) => matrices.layer[i]))];
    const places = [...new Set(rows.map(placeOf))];
    return places.flatMap((place) => layers.filter((layer) => !there.has(`${place} ${layer}`)).map((layer) => ({
      place, tower, layer, value: null, rows: [], text: `layer ${layer}, ${place}\nnothing analysed here`,
    })));
  });
}

function heatGrid(wide, tower, group, cells, palette, fraction, choose) {
  const places = [...new Set(group.map(placeOf))];
  const layers = group.map((i) => matrices.layer[i]);
  const [first, last] = [Math.min(...layers), Math.max(...layers)];
  const count = last - first + 1;
  const left = Math.min(130, Math.max(...places.map((p) => p.length)) * 7.2 + 14);
  const size = Math.max(9, Math.min(40, (wide - left - 12) / count));
  const [tall, bottom] = [22, 24];
  const width = Math.ceil(left + count * size + 12);
  const height = places.length * tall + bottom;
  const svg = drawing(width, height, `${measure().label} by layer and role, ${tower ?? ''}`);
  if (width > wide) svg.style.maxWidth = 'none';
  const x = (layer) => left + (layer - first) * size;
  places.forEach((place, line) => svg.append(label(left - 8, line * tall + tall / 2 + 4, place, { 'text-anchor': 'end' })));
  const points = cells.filter((c) => c.tower === tower).map((c) => {
    const line = places.indexOf(c.place);
    heatCell(svg, x(c.layer), line * tall, size, tall, c, palette, fraction);
    return { x: x(c.layer) + size / 2, y: line * tall + tall / 2, text: c.text, row: c.row, column: c.layer, line };
  });
  const every = Math.max(1, Math.ceil(32 / size));
  const step = [1, 2, 5, 10, 20, 50].find((s) => s >= every) ?? every;
  for (let layer = first; layer <= last; layer += 1) {
    if (layer % step === 0) svg.append(label(x(layer) + size / 2, height - 8, String(layer), { 'text-anchor': 'middle' }));
  }
  svg.append(label(left - 8, height - 8, 'layer', { 'text-anchor': 'end' }));
  const cursor = draw('rect', { width: size, height: tall, class: 'chosen', visibility: 'hidden' });
  svg.append(cursor);
  explore(svg, points, (p) => {
    cursor.setAttribute('visibility', p ? 'visible' : 'hidden');
    if (p) cursor.setAttribute('x', p.x - size / 2), cursor.setAttribute('y', p.y - tall / 2);
  }, choose);
  return svg;
}

// One cell: a colour; a cross if it has no value; a point if it is below the rounding floor.
function heatCell(svg, x, y, width, height, c, palette, fraction) {
  const box = { x: x + 0.5, y: y + 0.5, width: width - 1, height: height - 1 };
  if (c.value === null || !fraction.holds(c.value)) {
    svg.append(draw('rect', { ...box, class: 'empty' }));
    if (c.value === null) svg.append(draw('path', { d: `M${x + 2} ${y + height - 3}L${x + width - 2} ${y + 3}`, class: 'hatch' }));
    else svg.append(label(x + width / 2, y + height / 2 + 4, '0', { 'text-anchor': 'middle' }));
  } else {
    svg.append(draw('rect', { ...box, fill: colour(palette, fraction(c.value)), class: 'cell' }));
  }
  if (c.rows.length && c.rows.every(isBelow)) svg.append(draw('circle', { cx: x + width / 2, cy: y + height / 2, r: Math.min(3.5, width / 4), class: 'below' }));
  if (c.rows.includes(state.row)) svg.append(draw('rect', { x: x + 1, y: y + 1, width: width - 2, height: height - 2, class: 'chosen' }));
}

// The legend: colours with their values, and the meaning of the marks.
function colourLegend(palette, known, cells) {
  const [bar, left, width, height] = [230, 20, 276, 36];
  const [, x] = colourScale(known, bar);
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' });
  const gradient = draw('linearGradient', { id: 'colours' });
  palette.forEach((c, i) => gradient.append(draw('stop', { offset: `${(100 * i) / (palette.length - 1)}%`, 'stop-color': c })));
  svg.append(draw('defs', {}, gradient), draw('rect', { x: left, y: 2, width: bar, height: 12, fill: 'url(#colours)' }));
  const { ticks, texts, note } = labelled(x, 4, apartBelow(x));
  ticks.forEach((tick, i) => {
    svg.append(draw('line', { x1: left + x(tick), x2: left + x(tick), y1: 14, y2: 18, class: 'axis' }));
    svg.append(label(left + x(tick), 31, texts[i], { 'text-anchor': 'middle' }));
  });
  const mark = (text, ...shapes) => element('span', {}, draw('svg', { viewBox: '0 0 16 14', width: 16, height: 14, 'aria-hidden': 'true' }, ...shapes), text);
  const legend = element('div', { class: 'legend' }, svg, element('span', {}, note));
  if (cells.some((c) => c.value === null)) {
    legend.append(mark('no value', draw('rect', { width: 16, height: 14, class: 'empty' }), draw('path', { d: 'M2 11L14 3', class: 'hatch' })));
  }
  if (cells.some((c) => c.rows.length && c.rows.every(isBelow))) {
    legend.append(mark('below the rounding floor', draw('circle', { cx: 8, cy: 7, r: 3.5, class: 'below' })));
  }
  return legend;
}
