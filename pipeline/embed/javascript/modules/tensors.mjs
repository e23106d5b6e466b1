// Tensors `{type, shape, data}`, with data as ONNX Runtime has it, made of numbers and back.

const ARRAYS = {
  float16: Uint16Array, // the bits
  float32: Float32Array,
  float64: Float64Array,
  bool: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
};

export const isType = (type) => Object.hasOwn(ARRAYS, type);
export const isFloat = (type) => type.startsWith("float");
export const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** A tensor of an array of numbers. */
export function tensor(type, shape, numbers) {
  const change = { float16: toHalf, int64: BigInt, uint64: BigInt }[type] ?? Number;
  return { type, shape, data: ARRAYS[type].from(numbers, (one) => change(one)) };
}

/** The numbers of a tensor. */
export function numbersOf({ type, data }) {
  const isBits = type === "float16" && data instanceof Uint16Array;
  return Array.from(data, (one) => (isBits ? fromHalf(one) : Number(one)));
}

/** Whether a type can hold each of some numbers, floats at least nearly. */
export function holds(type, numbers) {
  if (isFloat(type)) return numbers.every(Number.isFinite);
  if (type === "bool") return numbers.every((one) => one === 0 || one === 1);
  if (!numbers.every(Number.isSafeInteger)) return false;
  const held = numbersOf(tensor(type, [], numbers));
  return numbers.every((one, index) => one === held[index]);
}

/** The bits of the float16 that is nearest to a number, of two the even one. */
function toHalf(number) {
  const isNegative = number < 0 || Object.is(number, -0);
  const [sign, size] = [isNegative ? 0x8000 : 0, Math.abs(number)];
  if (Number.isNaN(number)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const units = size / 2 ** (exponent - 10);
  const [least, rest] = [Math.floor(units), units % 1];
  const isUp = rest > 0.5 || (rest === 0.5 && least % 2 === 1);
  return sign | (((exponent + 14) << 10) + least + (isUp ? 1 : 0));
}

/** The number of which a float16 has the bits. */
function fromHalf(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}
