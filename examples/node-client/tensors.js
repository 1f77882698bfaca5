// Tensors of the Open Inference Protocol: raw bytes, little-endian, row-major; strings with a 4-byte length before each.

const NUMBERS = {
  BOOL: [1, (b, v, at) => b.writeUInt8(v ? 1 : 0, at), (b, at) => b.readUInt8(at) !== 0],
  UINT8: [1, (b, v, at) => b.writeUInt8(v, at), (b, at) => b.readUInt8(at)],
  UINT16: [2, (b, v, at) => b.writeUInt16LE(v, at), (b, at) => b.readUInt16LE(at)],
  UINT32: [4, (b, v, at) => b.writeUInt32LE(v, at), (b, at) => b.readUInt32LE(at)],
  UINT64: [8, (b, v, at) => b.writeBigUInt64LE(BigInt(v), at), (b, at) => b.readBigUInt64LE(at)],
  INT8: [1, (b, v, at) => b.writeInt8(v, at), (b, at) => b.readInt8(at)],
  INT16: [2, (b, v, at) => b.writeInt16LE(v, at), (b, at) => b.readInt16LE(at)],
  INT32: [4, (b, v, at) => b.writeInt32LE(v, at), (b, at) => b.readInt32LE(at)],
  INT64: [8, (b, v, at) => b.writeBigInt64LE(BigInt(v), at), (b, at) => b.readBigInt64LE(at)],
  FP32: [4, (b, v, at) => b.writeFloatLE(v, at), (b, at) => b.readFloatLE(at)],
  FP64: [8, (b, v, at) => b.writeDoubleLE(v, at), (b, at) => b.readDoubleLE(at)],
};

function numbers(datatype) {
  const found = NUMBERS[datatype];
  if (!found) throw new Error(`this example does not read or write ${datatype}`);
  return found;
}

/** How many values a shape holds. */
export const count = (shape) => shape.reduce((product, size) => product * Number(size), 1);

/** A flat list of values as raw bytes. */
export function encode(values, datatype) {
  if (datatype === 'BYTES') {
    return Buffer.concat(values.flatMap((value) => {
      const text = Buffer.from(String(value));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return [length, text];
    }));
  }
  const [size, write] = numbers(datatype);
  const raw = Buffer.alloc(values.length * size);
  values.forEach((value, index) => write(raw, value, index * size));
  return raw;
}

/** Raw bytes as a flat list of values; throws when there are not as many as the shape holds. */
export function decode(raw, datatype, shape) {
  const values = datatype === 'BYTES' ? strings(raw) : fixed(raw, ...numbers(datatype));
  if (values.length !== count(shape)) {
    throw new Error(`${values.length} values came for the shape [${shape}]`);
  }
  return values;
}

function fixed(raw, size, _write, read) {
  return Array.from({ length: raw.length / size }, (_, index) => read(raw, index * size));
}

function strings(raw) {
  const found = [];
  for (let at = 0; at < raw.length;) {
    const length = raw.readUInt32LE(at);
    found.push(raw.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}
