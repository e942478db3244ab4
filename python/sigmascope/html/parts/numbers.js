// Numbers as people read them: to the digits that their errors leave.

const places = (value) => (value && Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? 3 - Math.floor(Math.log10(Math.abs(value))) : 0);

// A value with its error; without "±" where that is below the last digit shown.
function withError(value, error = 0) {
  if (value === null || value === undefined) return '–';
  if (value && !(Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6)) {
    const power = Math.floor(Math.log10(Math.abs(value)));
    const mantissa = withError(value / 10 ** power, error / 10 ** power);
    return mantissa.includes('±') ? `(${mantissa})e${power}` : `${mantissa}e${power}`;
  }
  const least = Number.isInteger(value) && !error ? 0 : Math.max(0, places(value));
  if (!error || (value && error < 0.5 * 10 ** -least)) return value.toFixed(least);
  let digits = Math.max(0, -Math.floor(Math.log10(error)));
  if (digits > 0 && digits < 12 && error * 10 ** digits < 1.95) digits += 1;
  digits = Math.min(digits, 20);
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}

// A few significant digits.
function short(value, digits = 3) {
  if (value === null || value === undefined) return '–';
  if (value && !(Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6)) {
    const power = Math.floor(Math.log10(Math.abs(value)));
    return `${(value / 10 ** power).toFixed(digits - 1)}e${power}`;
  }
  return value.toFixed(Number.isInteger(value) ? 0 : Math.max(0, places(value) + digits - 4));
}

const superscript = (power) => String(power).replace(/[-\d]/g, (c) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]);

// The number beside a tick: as short as it can be.
function tickText(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const power = Math.floor(Math.log10(size) + 1e-9);
    const mantissa = Number((value / 10 ** power).toPrecision(3));
    return mantissa === 1 ? `10${superscript(power)}` : `${mantissa}·10${superscript(power)}`;
  }
  return String(Number(value.toPrecision(6)));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const counted = (count, what, plural = `${what}s`) => `${count.toLocaleString('en')} ${count === 1 ? what : plural}`;
