// The spectrum of one matrix: singular values by rank, and their density with the density of noise.

const SIDES = comparison
  ? { before: 'before', after: 'after', delta: 'ΔW', projected: 'ΔW without decay' }
  : { w: 'W' };
const PLOT = { height: 300, left: 54, top: 26, bottom: 40 };

const curveOf = (i, side) => data.curves[i]?.[side] ?? null;
const keyOf = (side, name) => (side === 'w' ? name : `${side}_${name}`);
const present = (i) => Object.keys(SIDES).filter((side) => curveOf(i, side));

const isZero = (i) => present(i).every((side) => curveOf(i, side)[1].every((value) => value === 0));
const ZERO = 'Every singular value of this matrix is zero.';

function message(box, text) {
  box.replaceChildren(element('p', { class: 'note' }, text));
}

// Singular values by rank, both axes logarithmic.
function drawRanks(i) {
  const box = byId('ranks');
  const sides = present(i).filter((side) => !state.hidden.has(side));
  caption('ranks-caption', 'Singular values by rank', 'both axes logarithmic; band: ± 2 errors');
  if (!present(i).length) return message(box, 'This file has no singular values of this matrix.');
  if (isZero(i)) return message(box, ZERO);
  const width = widthOf(box);
  const { height, left, top, bottom } = PLOT;
  const right = comparison ? 66 : 14;
  const svg = drawing(width, height, `Singular values of ${matrices.name[i]} by rank`);
  const positive = sides.flatMap((side) => usual(curveOf(i, side)));
  const x = scale(1, Math.max(fullRank('', i), 2), left, width - right, true);
  const y = fitted(positive, height - bottom, top, { log: true });
  leftAxis(svg, y, left, width - right, 6);
  bottomAxis(svg, x, top, height - bottom, Math.max(3, Math.floor(width / 90)));
  svg.append(label(width - right, height - 6, 'rank', { 'text-anchor': 'end' }), label(4, 12, 'singular value σ'));
  const ends = [];
  drawBelow(svg, i, sides, y, left, width - right, top, height - bottom);
  const points = sides.flatMap((side, line) => rankSeries(svg, i, side, line, x, y, ends));
  drawEdges(svg, i, sides, y, left, width - right);
  if (comparison) {
    apart(ends, 14, top + 8, height - bottom).forEach((e) => svg.append(label(width - right + 6, e.y + 4, e.text, { class: `series-text ${e.side}` })));
  }
  followed(svg, points);
  box.replaceChildren(svg);
}

// The values that determine the axis. The smallest values of a square matrix are near zero and would
// fill the chart with decades; their line leaves it at the bottom, where a note has the smallest value.
function usual([, sigma]) {
  const [least, last] = sigma.slice(-2);
  return sigma.filter((v) => v > 0 && (sigma.length < 3 || v >= least * 0.3 || v !== last) && v > sigma[0] * 1e-6);
}

// Values below the axis are drawn below the plot, whose frame cuts them off; zero is not drawn.
function rankSeries(svg, i, side, line, x, y, ends) {
  const [ranks, sigma, errors] = curveOf(i, side);
  const floor = y.low / 10;
  const kept = ranks.map((rank, j) => [rank, sigma[j], errors[j]]).filter(([, value]) => value > 0);
  const at = (value) => y(Math.max(value, floor));
  const up = kept.map(([rank, value, error]) => [x(rank), at(value + 2 * error)]);
  const down = kept.map(([rank, value, error]) => [x(rank), at(value - 2 * error)]);
  const points = kept.map(([rank, value]) => [x(rank), y(value)]);
  const cut = { 'clip-path': 'url(#plot-of-ranks)' };
  svg.append(draw('path', { d: area(up, down), class: `series-band ${side}`, ...cut }));
  svg.append(draw('path', { d: path(points), class: `series ${side}${side === 'projected' ? ' dashed' : ''}`, ...cut }));
  const inside = kept.map((k, j) => ({ rank: k[0], value: k[1], error: k[2], x: points[j][0], y: points[j][1] })).filter((p) => p.value >= y.low);
  if (inside.length) ends.push({ side, text: side === 'projected' ? 'no decay' : SIDES[side], y: inside.at(-1).y });
  return inside.map((p) => ({
    x: p.x, y: p.y, column: p.x, line,
    text: `${SIDES[side]}\nσ of rank ${Number.isInteger(p.rank) ? p.rank : `about ${p.rank.toFixed(0)}`}: ${withError(p.value, p.error)}`,
  }));
}

// The frame of the plot, which cuts lines off, and notes on the values of lines that leave it.
function drawBelow(svg, i, sides, y, left, right, top, bottom) {
  svg.append(draw('defs', {}, draw('clipPath', { id: 'plot-of-ranks' }, draw('rect', { x: left, y: top, width: right - left, height: bottom - top }))));
  const below = sides.filter((side) => curveOf(i, side)[1].some((value) => value < y.low));
  const least = below.map((side) => {
    const [, sigma, errors] = curveOf(i, side);
    return `${comparison ? `${SIDES[side]} ` : ''}${withError(sigma.at(-1), errors.at(-1))}`;
  });
  least.forEach((text, j) => {
    svg.append(label(right - 24, bottom - 6 - 14 * (least.length - 1 - j), `↓ to ${text}`, { class: 'halo', 'text-anchor': 'end' }));
  });
}

// The noise edge of W in a scan, of ΔW in a comparison.
function drawEdges(svg, i, sides, y, left, right) {
  for (const side of sides.filter((s) => !comparison || s === 'delta')) {
    const edge = valueOf(keyOf(side, 'mp_edge'), i);
    if (!edge || edge < y.low || edge > y.high) continue;
    svg.append(draw('line', { x1: left, x2: right, y1: y(edge), y2: y(edge), class: 'edge' }));
    const text = `noise edge${comparison ? ' of ΔW' : ''} ${withError(edge, errorOf(keyOf(side, 'mp_edge'), i))}`;
    const low = y(edge) + 20 > y(y.low);
    svg.append(label(left + 6, y(edge) + (low ? -6 : 15), text, { class: 'halo' }));
  }
}

// A ring that follows pointer and arrow keys.
function followed(svg, points, far) {
  const ring = draw('circle', { r: 5, class: 'cursor', visibility: 'hidden' });
  svg.append(ring);
  explore(svg, points, (p) => {
    ring.setAttribute('visibility', p ? 'visible' : 'hidden');
    if (p) ring.setAttribute('cx', p.x), ring.setAttribute('cy', p.y);
  }, null, far);
}

// The density of pure noise that ends at an edge (Marchenko & Pastur).
function noiseDensity(edge, m, n) {
  const [M, N] = [Math.min(m, n), Math.max(m, n)];
  const [beta, unit] = [M / N, N * (edge / (Math.sqrt(M) + Math.sqrt(N))) ** 2];
  const [a, b] = [(1 - Math.sqrt(beta)) ** 2, (1 + Math.sqrt(beta)) ** 2];
  return (sigma) => {
    const z = sigma ** 2 / unit;
    return Math.sqrt(Math.max((b - z) * (z - a), 0)) / (Math.PI * beta * Math.max(Math.sqrt(z), 1e-9) * Math.sqrt(unit));
  };
}

function drawDensity(i) {
  const box = byId('density');
  const side = curveOf(i, state.side) ? state.side : present(i)[0];
  caption('density-caption', `Density of the singular values${comparison && side ? ` of ${SIDES[side]}` : ''}`, 'bars: measured; line: noise of the same median (Marchenko-Pastur)');
  const curve = side && curveOf(i, side);
  if (!curve?.[3]) return message(box, curve ? 'Only the largest values are in this table: a density needs quantiles, which the efforts “density” and “exact” give.' : 'This file has no singular values of this matrix.');
  if (isZero(i)) return message(box, ZERO);
  const width = widthOf(box);
  const { height, left, top, bottom } = PLOT;
  const [end, parts, uncertain] = curve[3];
  const edge = valueOf(keyOf(side, 'mp_edge'), i);
  const step = end / parts.length;
  const bars = parts.map((part) => part / 1e4 / step);
  const noise = edge ? noiseDensity(edge, matrices.rows[i], matrices.columns[i]) : null;
  const line = noise ? Array.from({ length: 161 }, (_, j) => (j * Math.min(edge, end)) / 160).map((s) => [s, noise(s)]) : [];
  const usual = line.filter(([s]) => s > end / 100).map(([, v]) => v);
  const x = scale(0, end, left, width - 14);
  const y = scale(0, 1.08 * Math.max(...bars, ...usual, 1e-300), height - bottom, top);
  const svg = drawing(width, height, `Density of the singular values of ${matrices.name[i]}`);
  leftAxis(svg, y, left, width - 14, 5);
  bottomAxis(svg, x, top, height - bottom, Math.max(3, Math.floor(width / 80)));
  svg.append(label(width - 14, height - 6, 'singular value σ', { 'text-anchor': 'end' }), label(4, 12, 'share per unit of σ'));
  const points = bars.map((v, b) => {
    const [from, to] = [x(b * step), x((b + 1) * step)];
    svg.append(draw('rect', { x: from, y: y(Math.max(v, 0)), width: Math.max(to - from - 0.5, 0.5), height: Math.max(height - bottom - y(Math.max(v, 0)), 0), class: `series-bar ${side}` }));
    const text = `σ from ${short(b * step)} to ${short((b + 1) * step)}\n${withError(parts[b] / 100, uncertain / 100)} % of the values`;
    return { x: (from + to) / 2, y: y(Math.max(v, 0)), text, column: b, line: 0 };
  });
  if (noise) drawNoise(svg, line, edge, errorOf(keyOf(side, 'mp_edge'), i), x, y, top, height - bottom, width);
  drawBeyond(svg, curve, x, width, height - bottom, side);
  followed(svg, points, (dx) => dx);
  box.replaceChildren(svg);
}

function drawNoise(svg, line, edge, error, x, y, top, base, width) {
  svg.append(draw('path', { d: path(line.filter(([, v]) => v <= y.high).map(([s, v]) => [x(s), y(v)])), class: 'noise' }));
  if (edge > x.high) return;
  svg.append(draw('line', { x1: x(edge), x2: x(edge), y1: top, y2: base, class: 'edge' }));
  const before = x(edge) > width - 130;
  svg.append(label(x(edge) + (before ? -6 : 6), top + 10, `noise edge ${withError(edge, error)}`, { class: 'halo', 'text-anchor': before ? 'end' : 'start' }));
}

// Values above the noise edge as strokes, if they are few, and the number of values beyond the axis.
function drawBeyond(svg, [, sigma, errors, [end, , , beyond, error, strokes]], x, width, base, side) {
  for (const place of strokes.map((part) => x((part / 1000) * end))) {
    svg.append(draw('line', { x1: place, x2: place, y1: base - 9, y2: base, class: `series ${side}` }));
  }
  if (!beyond && !error) return;
  const text = `${withError(beyond, error)} more beyond this axis, up to ${withError(sigma[0], errors[0])} →`;
  svg.append(label(width - 14, PLOT.top + 28, text, { 'text-anchor': 'end', class: 'strong halo' }));
}
