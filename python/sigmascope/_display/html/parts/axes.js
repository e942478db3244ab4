// Scales, ticks and axes.

// Values that agree to this many digits count as one: steps of their ticks would come near the rounding of float64.
const SAME = 1e-12;

// Round numbers between two ends, about `count` of them.
function linearTicks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found;
}

// Ticks at powers of ten: also at 2 and 5 times each if there are few, and only at some if there are many.
function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  const within = (value) => value >= low * 0.999 && value <= high * 1.001;
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const digits = decades < 0.6 ? null : decades * 3 <= count + 2 ? [1, 2, 5] : [1];
  if (!digits) return linearTicks(low, high, count);
  const every = Math.max(1, Math.ceil(decades / Math.max(count, 1)));
  const found = [];
  for (let power = first; power <= last; power += 1) {
    if (digits.length > 1 || power % every === 0) found.push(...digits.map((d) => d * 10 ** power));
  }
  const kept = found.filter(within);
  return kept.length > 1 ? kept : linearTicks(low, high, count);
}

// A scale that maps numbers to positions. A logarithmic scale has no position for numbers that are not positive.
function scale(low, high, from, to, log = false) {
  const f = log ? Math.log10 : (v) => v;
  const unit = (to - from) / (f(high) - f(low) || 1);
  const place = (value) => from + (f(value) - f(low)) * unit;
  place.log = log;
  place.low = low;
  place.high = high;
  place.holds = (value) => value !== null && value !== undefined && (!log || value > 0);
  place.clamped = (value) => place(Math.min(Math.max(log ? Math.max(value, low) : value, low), high));
  place.ticks = (count) => (log ? logTicks(low, high, count) : linearTicks(low, high, count));
  return place;
}

// A scale for all values with a margin; it includes zero if that is near.
function fitted(values, from, to, { log = false, zero = false } = {}) {
  const known = values.filter((v) => v !== null && Number.isFinite(v) && (!log || v > 0));
  if (!known.length) return scale(log ? 0.1 : 0, 1, from, to, log);
  let low = known.reduce((a, b) => Math.min(a, b));
  let high = known.reduce((a, b) => Math.max(a, b));
  if (log) {
    const room = Math.max((high / low) ** 0.06, 1.1);
    return scale(low / room, high * room, from, to, true);
  }
  if (zero || (low > 0 && low < 0.4 * high)) low = Math.min(low, 0);
  if (zero) high = Math.max(high, 0);
  const size = Math.max(Math.abs(low), Math.abs(high));
  const same = high - low <= SAME * size;
  const room = (same ? size * 0.1 : (high - low) * 0.06) || 1;
  return scale(low === 0 ? 0 : low - room, high === 0 && zero ? room : high + room, from, to, false);
}

// Whether six digits state ticks, to a hundredth of their distance.
const sixDigitsTell = (ticks) => ticks.every((tick, i) => {
  const step = ticks.length > 1 ? Math.abs(tick - ticks[i ? i - 1 : 1]) : Infinity;
  return Math.abs(Number(tick.toPrecision(6)) - tick) <= 0.01 * step;
});

// Ticks with texts that differ and fit. If values agree in their first digits, the texts are differences from a round
// number, which the note states. If the texts do not fit, there are fewer ticks.
function labelled(place, count, fits, whole = false) {
  const near = place.high - place.low < 0.05 * Math.max(Math.abs(place.low), Math.abs(place.high));
  const first = place.ticks(count).length > 1 ? count : 2 * count;
  for (let most = first; most > 0; most -= 1) {
    const ticks = place.ticks(most).filter((tick) => !whole || Number.isInteger(tick));
    const texts = ticks.map(tickText);
    if (ticks.length && sixDigitsTell(ticks) && fits(ticks, texts, near)) return { ticks, texts, note: '' };
    const differences = near && ticks.length > 1 && differenceTexts(ticks);
    if (differences && fits(ticks, differences.texts, near)) return { ticks, ...differences };
  }
  const ticks = place.ticks(first).slice(0, 1);
  return { ticks, texts: ticks.map(tickText), note: '' };
}

// Whether texts below an axis have a gap between them.
const apartBelow = (x) => (ticks, texts) => ticks.slice(1).every((tick, i) => {
  return x(tick) - x(ticks[i]) >= (textWidth(texts[i]) + textWidth(texts[i + 1])) / 2 + 6;
});

// Horizontal grid lines with their numbers at the left; the width of numbers counts only where they can be shortened.
function leftAxis(svg, y, left, right, count) {
  const fits = (_, texts, near) => !near || texts.every((text) => textWidth(text) <= left - 6);
  const { ticks, texts, note } = labelled(y, count, fits);
  ticks.forEach((tick, i) => {
    svg.append(draw('line', { x1: left, x2: right, y1: y(tick), y2: y(tick), class: tick === 0 ? 'axis' : 'grid' }));
    svg.append(label(left - 6, y(tick) + 4, texts[i], { 'text-anchor': 'end' }));
  });
  if (note) svg.append(label(right, y(y.high) - 1, note, { 'text-anchor': 'end' }));
}

// The line below a chart with its ticks and their numbers.
function bottomAxis(svg, x, top, bottom, count, whole = false) {
  svg.append(draw('line', { x1: x(x.low), x2: x(x.high), y1: bottom, y2: bottom, class: 'axis' }));
  const { ticks, texts, note } = labelled(x, count, apartBelow(x), whole);
  ticks.forEach((tick, i) => {
    svg.append(draw('line', { x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 4, class: 'axis' }));
    svg.append(label(x(tick), bottom + 16, texts[i], { 'text-anchor': 'middle' }));
  });
  if (note) svg.append(label(x(x.low) - 10, bottom + 16, note, { 'text-anchor': 'end' }));
}

const path = (points) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

// The path of the area between two curves over the same positions.
const area = (upper, lower) => (upper.length ? `${path(upper)}L${path([...lower].reverse()).slice(1)}Z` : '');

// Moves overlapping labels: positions in ascending order, with at least `gap` between them.
function apart(items, gap, low, high) {
  const sorted = [...items].sort((a, b) => a.y - b.y);
  sorted.forEach((item, i) => {
    item.y = Math.max(item.y, i ? sorted[i - 1].y + gap : low);
  });
  for (let i = sorted.length - 1, limit = high; i >= 0; i -= 1, limit = sorted[i + 1].y - gap) {
    sorted[i].y = Math.max(Math.min(sorted[i].y, limit), low);
  }
  return sorted;
}
