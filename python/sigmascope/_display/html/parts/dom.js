// Elements of the page and of drawings, the tooltip at pointer and focus, and charts with arrow keys.

const SVG = 'http://www.w3.org/2000/svg';
const byId = (id) => document.getElementById(id);

// Makes an element; text is never parsed as markup, since names come from files.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}

// Makes an element of a drawing.
function draw(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) {
      made.setAttribute(name, typeof value === 'number' ? String(Math.round(value * 100) / 100) : value);
    }
  }
  made.append(...children);
  return made;
}

const label = (x, y, text, attributes = {}) => draw('text', { x, y, ...attributes }, text);

function drawing(width, height, title) {
  const attributes = { viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': title };
  return draw('svg', attributes);
}

const widthOf = (box) => Math.max(240, Math.floor(box.getBoundingClientRect().width));

// The tip -----------------------------------------------------------------------------------------

const tip = byId('tip');
let shownAt = 0;
let again = null; // moves the tooltip to the present place of the element with the focus

function showTip(text, x, y, replace = null) {
  again = replace;
  if (tip.textContent !== text) tip.textContent = text;
  tip.hidden = false;
  shownAt = scrollY;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x + 14), innerWidth - box.width - 8);
  const above = y - box.height - 12;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above < 8 ? y + 18 : above}px`;
}

function hideTip() {
  tip.hidden = true;
}

// Gives an element a tooltip on hover and focus.
function explain(made, meaning) {
  made.setAttribute('aria-description', meaning);
  const show = (replace) => {
    const box = made.getBoundingClientRect();
    showTip(meaning, box.left, box.top, replace);
  };
  const stay = () => show(stay);
  made.addEventListener('pointerenter', () => show(null));
  made.addEventListener('focus', stay);
  made.addEventListener('pointerleave', hideTip);
  made.addEventListener('blur', hideTip);
  return made;
}

// Makes an underlined word with a tooltip.
const term = (text, meaning) =>
  meaning ? explain(element('span', { class: 'term', tabindex: 0 }, text), meaning) : element('span', {}, text);

addEventListener('keydown', (event) => {
  if (event.key === 'Escape') hideTip();
});
addEventListener('scroll', () => {
  if (tip.hidden) return;
  if (again) again();
  else if (Math.abs(scrollY - shownAt) > 8) hideTip();
}, { passive: true });

// Charts that can be explored ----------------------------------------------------------------------

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Lets the points of a chart be visited by pointer and by arrow keys.
//
// points: [{ x, y, text, row, column, line }] with x, y in units of the drawing; arrow keys move by
// column and line. mark(point) marks a point; mark(null) removes the mark. The pointer selects the
// nearest point.
function explore(svg, points, mark, choose, far = (dx, dy) => dx + dy / 4) {
  if (!points.length) return;
  svg.setAttribute('tabindex', '0');
  svg.setAttribute('aria-roledescription', 'chart: arrow keys move, Enter selects');
  let at = null;

  const visit = (point, x, y) => {
    at = point;
    mark(point);
    const scale = svg.getBoundingClientRect();
    const unit = scale.width / svg.viewBox.baseVal.width;
    const stay = x === undefined ? () => visit(point) : null;
    showTip(point.text, x ?? scale.left + point.x * unit, y ?? scale.top + point.y * unit, stay);
  };
  const leave = () => {
    mark(null);
    hideTip();
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const unit = box.width / svg.viewBox.baseVal.width;
    const x = (event.clientX - box.left) / unit;
    const y = (event.clientY - box.top) / unit;
    const distance = (p) => far(Math.abs(p.x - x), Math.abs(p.y - y));
    return points.reduce((best, p) => (distance(p) < distance(best) ? p : best));
  };
  svg.addEventListener('pointermove', (event) => visit(nearest(event), event.clientX, event.clientY));
  svg.addEventListener('pointerleave', leave);
  svg.addEventListener('blur', leave);
  const start = () => at ?? points.find((p) => p.row === state.row) ?? points[0];
  svg.addEventListener('focus', () => {
    if (svg.matches(':focus-visible')) visit(start());
  });
  svg.addEventListener('click', (event) => {
    const point = nearest(event);
    if (choose && point.row !== undefined) choose(point.row);
  });
  svg.addEventListener('keydown', (event) => {
    const from = start();
    if (event.key === 'Enter' && choose && from.row !== undefined) choose(from.row);
    const step = STEPS[event.key];
    const next = step ? neighbour(points, from, step) : from;
    if (!step || (next === from && step[1])) return; // without a point above or below, the page scrolls
    event.preventDefault();
    visit(next);
  });
}

// The next point in a direction: along the line first, then in the column.
function neighbour(points, from, [dx, dy]) {
  const ahead = points.filter((p) => (dx ? p.line === from.line && (p.column - from.column) * dx > 0 : (p.line - from.line) * dy > 0));
  const far = (p) => (dx ? Math.abs(p.column - from.column) : Math.abs(p.line - from.line) * 1000 + Math.abs(p.column - from.column));
  return ahead.length ? ahead.reduce((best, p) => (far(p) < far(best) ? p : best)) : from;
}
