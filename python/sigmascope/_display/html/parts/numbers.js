// Numbers with the digits that their errors allow, by the same rules as _words/text.py.

const orderOf = (value, digits = 4) => Number(Math.abs(value).toExponential(digits - 1).split('e')[1]);

// The exponent to print, or 0 for numbers from 0.001 to below 1,000,000.
function powerOf(size) {
  const order = size ? orderOf(size) : 0;
  return order >= -3 && order < 6 ? 0 : order;
}

// A number divided by a power of ten, exactly, by shifting its decimal point.
function shifted(value, power) {
  if (!power) return value;
  const [digits, order] = value.toExponential().split('e');
  return Number(`${digits}e${Number(order) - power}`);
}

function fixed(value, places) {
  const text = value.toFixed(places);
  return Number(text) === 0 ? (0).toFixed(places) : text;
}

// A value with its error; without "±" if that is below the last digit shown, with "± ?" if it is not known.
function withError(value, error = 0) {
  if (value === null || value === undefined) return '–';
  if (error === null) return `${short(value, 4)} ± ?`;
  const power = powerOf(Math.max(Math.abs(value), error));
  const [v, e] = [shifted(value, power), shifted(error, power)];
  const least = v ? Math.max(0, 3 - orderOf(v)) : 0;
  let number;
  if (!e || (v && e < Number(`5e${-least - 1}`))) {
    number = fixed(v, Number.isInteger(v) ? 0 : least);
    return power ? `${number}e${power}` : number;
  }
  if (Number.isInteger(v) && Number.isInteger(e)) {
    number = `${fixed(v, 0)} ± ${fixed(e, 0)}`;
  } else {
    const [digits, order] = e.toExponential(1).split('e');
    const places = Math.max(0, -Number(order) + (digits.startsWith('1') ? 1 : 0));
    number = `${fixed(v, places)} ± ${fixed(e, places)}`;
  }
  return power ? `(${number})e${power}` : number;
}

// A number without error, with a few significant digits.
function short(value, digits = 3) {
  if (value === null || value === undefined) return '–';
  const power = powerOf(value);
  const v = shifted(value, power);
  const places = !v || (!power && Number.isInteger(v)) ? 0 : Math.max(0, digits - 1 - orderOf(v));
  return power ? `${fixed(v, places)}e${power}` : fixed(v, places);
}

const superscript = (power) => String(power).replace(/[-\d]/g, (c) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]);

// The number at a tick, as short as possible.
function tickText(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const power = Math.floor(Math.log10(size) + 1e-9);
    const mantissa = Number((value / 10 ** power).toPrecision(6));
    return mantissa === 1 ? `10${superscript(power)}` : `${mantissa}·10${superscript(power)}`;
  }
  return String(Number(value.toPrecision(6)));
}

// A bound on the width of a chart's text, in pixels: a digit of 12 pixels is 7 wide.
const textWidth = (text) => [...text].reduce((sum, c) => sum + ('.·, '.includes(c) ? 4 : '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'.includes(c) ? 5 : 7.2), 0);

// The numbers at ticks as differences from a round number, in units of a power of ten: "2" and the note "·10⁻⁷ + 44.12".
function differenceTexts(ticks) {
  const power = orderOf(ticks[1] - ticks[0], 2);
  const unit = 10 ** power;
  const base = Math.floor(ticks[0] / (100 * unit)) * 100 * unit;
  const texts = ticks.map((tick) => String(Number(((tick - base) / unit).toFixed(1))));
  const own = powerOf(base);
  const number = fixed(shifted(Math.abs(base), own), Math.max(0, own - power - 2));
  const times = [power ? `·10${superscript(power)}` : '', own ? `·10${superscript(own)}` : ''];
  return { texts, note: base ? `${times[0]} ${base < 0 ? '−' : '+'} ${number}${times[1]}`.trim() : times[0] };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The median of { value, error }, and a bound on its error from their errors.
function medianWithError(points) {
  const value = median(points.map((p) => p.value));
  if (points.some((p) => p.error === null)) return { value, error: null };
  const [low, high] = [-1, 1].map((sign) => median(points.map((p) => p.value + sign * p.error)));
  return { value, error: Math.max(high - value, value - low, 0) };
}

// The count of a median: the number of points with a value, of all rows.
const ofHowMany = (points, rows) => (points.length < rows.length ? `${points.length} (of ${rows.length})` : `${rows.length}`);

const counted = (count, what, plural = `${what}s`) => `${count.toLocaleString('en')} ${count === 1 ? what : plural}`;
