// Principal angles between leading subspaces before and after, and between subspaces of the change and of W.

const ANGLES = {
  angles_left: ['before against after, left', 'w', false],
  angles_right: ['before against after, right', 'w', true],
  delta_angles_left: ['ΔW against W, left', 'delta', false],
  delta_angles_right: ['ΔW against W, right', 'delta', true],
};

// About the least angle between random subspaces of k dimensions (Johnstone 2008); see least_random_angle in _display/curves.py.
function byChance(k, n) {
  if (2 * k > n) return null;
  const gamma = 2 * Math.asin(Math.sqrt((k - 0.5) / (n - 1)));
  if (gamma > Math.PI / 2 - 1e-9) return 0;
  const width = (16 / ((n - 1) ** 2 * Math.sin(2 * gamma) ** 2 * Math.sin(gamma) ** 2)) ** (1 / 3);
  const logit = 2 * Math.log(Math.tan(gamma)) - 1.2065335746 * width;
  return (Math.acos(Math.sqrt(1 / (1 + Math.exp(-logit)))) * 180) / Math.PI;
}

function drawAngles(i) {
  const box = byId('angles');
  if (!comparison) return;
  const found = Object.keys(ANGLES).filter((name) => data.curves[i]?.[name]);
  caption('angles-caption', 'Principal angles of the leading subspaces', '0°: the same directions; 90°: new ones');
  if (!found.length) return message(box, 'This file has no angles of this matrix.');
  const width = widthOf(box);
  const { height, left, top, bottom } = PLOT;
  const right = 84;
  const svg = drawing(width, height, `Principal angles of ${matrices.name[i]}`);
  const count = Math.max(...found.map((name) => data.curves[i][name][0]));
  const x = scale(1, Math.max(count, 2), left, width - right);
  const y = scale(0, 90, height - bottom, top);
  for (const tick of [0, 15, 30, 45, 60, 75, 90]) {
    svg.append(draw('line', { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: 'grid' }), label(left - 6, y(tick) + 4, `${tick}°`, { 'text-anchor': 'end' }));
  }
  bottomAxis(svg, x, top, height - bottom, Math.max(3, Math.floor(width / 90)), true);
  svg.append(label(width - right, height - 6, 'angle, from the smallest', { 'text-anchor': 'end' }), label(4, 12, 'principal angle'));
  drawChance(svg, i, found, y, left, width - right);
  const ends = [];
  const points = found.flatMap((name, line) => angleSeries(svg, i, name, line, x, y, ends));
  apart(ends, 14, top + 6, height - bottom).forEach((e) => svg.append(label(width - right + 6, e.y + 4, e.text, { class: `series-text ${e.side}` })));
  followed(svg, points);
  box.replaceChildren(svg);
}

function angleSeries(svg, i, name, line, x, y, ends) {
  const [, places, degrees, error] = data.curves[i][name];
  const [words, side, dashed] = ANGLES[name];
  const points = places.map((place, j) => [x(place), y(degrees[j])]);
  if (error) {
    const band = (sign) => places.map((place, j) => [x(place), y.clamped(degrees[j] + 2 * sign * error)]);
    svg.append(draw('path', { d: area(band(1), band(-1)), class: `series-band ${side}` }));
  }
  svg.append(draw('path', { d: path(points), class: `series ${side}${dashed ? ' dashed' : ''}` }));
  if (points.length === 1) svg.append(draw('circle', { cx: points[0][0], cy: points[0][1], r: 3, class: `series-dot ${side}` }));
  ends.push({ side, y: points.at(-1)[1], text: `${side === 'delta' ? 'ΔW ' : 'W '}${name.endsWith('left') ? 'left' : 'right'}` });
  return places.map((place, j) => ({
    x: points[j][0], y: points[j][1], column: points[j][0], line,
    text: `${words}\nangle ${place}: ${withError(degrees[j], error)}°`,
  }));
}

function drawChance(svg, i, found, y, left, right) {
  if (!found.some((name) => name.startsWith('delta'))) return;
  const k = Math.max(...found.map((name) => data.curves[i][name][0]));
  const [one, other] = [byChance(k, matrices.rows[i]), byChance(k, matrices.columns[i])];
  const both = one !== null && other !== null && Math.abs(one - other) < 4;
  const told = both ? [[one, '']] : [[one, ', left'], [other, ', right']].filter(([angle]) => angle > 5);
  const highest = Math.max(...told.map(([angle]) => angle));
  for (const [angle, side] of told) {
    const above = told.length > 1 && angle === highest;
    svg.append(draw('line', { x1: left, x2: right, y1: y(angle), y2: y(angle), class: 'edge' }));
    svg.append(label(right, y(angle) + (above ? -5 : 14), `closest by chance${side}`, { class: 'halo', 'text-anchor': 'end' }));
  }
}
