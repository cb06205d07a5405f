/** As much of msgpack as the protocol needs: maps, arrays, strings, numbers, binary, true, false, nil. */

const text = new TextEncoder();
const untext = new TextDecoder();

/** A value as bytes. `ArrayBuffer`s and views of them become binary. */
export function pack(value) {
  const parts = [];
  write(value, parts);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function write(value, parts) {
  if (value === null || value === undefined) parts.push([0xc0]);
  else if (typeof value === "boolean") parts.push([value ? 0xc3 : 0xc2]);
  else if (typeof value === "number") parts.push(number(value));
  else if (typeof value === "string") writeBytes(text.encode(value), [0xa0, 31, 0xd9], parts);
  else if (value instanceof ArrayBuffer) writeBytes(new Uint8Array(value), [0, -1, 0xc4], parts);
  else if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    writeBytes(bytes, [0, -1, 0xc4], parts);
  } else if (Array.isArray(value)) {
    parts.push(counted(value.length, 0x90, 0xdc));
    for (const item of value) write(item, parts);
  } else {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    parts.push(counted(entries.length, 0x80, 0xde));
    for (const [key, item] of entries) {
      write(key, parts);
      write(item, parts);
    }
  }
}

function number(value) {
  if (Number.isInteger(value) && value >= 0 && value < 128) return [value];
  if (Number.isInteger(value) && value < 0 && value >= -32) return [value & 0xff];
  const view = new DataView(new ArrayBuffer(9));
  if (Number.isInteger(value) && value >= -0x80000000 && value < 0x80000000) {
    view.setUint8(0, 0xd2);
    view.setInt32(1, value);
    return new Uint8Array(view.buffer, 0, 5);
  }
  if (Number.isSafeInteger(value)) {
    view.setUint8(0, 0xd3);
    view.setBigInt64(1, BigInt(value));
  } else {
    view.setUint8(0, 0xcb);
    view.setFloat64(1, value);
  }
  return new Uint8Array(view.buffer);
}

// A length in the type's own byte where it fits, else in 8, 16 or 32 bits after it.
function writeBytes(bytes, [short, shortMax, long], parts) {
  const { length } = bytes;
  if (length <= shortMax) parts.push([short | length]);
  else if (length < 0x100) parts.push([long, length]);
  else if (length < 0x10000) parts.push([long + 1, length >> 8, length & 0xff]);
  else parts.push([long + 2, ...word(length)]);
  parts.push(bytes);
}

function counted(count, short, long) {
  if (count < 16) return [short | count];
  return count < 0x10000 ? [long, count >> 8, count & 0xff] : [long + 1, ...word(count)];
}

function word(value) {
  return [value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff];
}

/** Bytes as a value. Throws a RangeError when they are no msgpack, or of a kind not used here. */
export function unpack(buffer) {
  const reader = new Reader(buffer);
  const value = reader.read();
  if (reader.at !== reader.view.byteLength) throw new RangeError("more than one msgpack value");
  return value;
}

class Reader {
  at = 0;

  constructor(buffer) {
    this.view = ArrayBuffer.isView(buffer)
      ? new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
      : new DataView(buffer);
  }

  read() {
    const head = this.#number("Uint8", 1);
    if (head < 0x80) return head;
    if (head < 0x90) return this.#map(head & 0x0f);
    if (head < 0xa0) return this.#array(head & 0x0f);
    if (head < 0xc0) return this.#string(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#bytes(this.#length(head - 0xc4)).slice();
      case 0xca:
        return this.#number("Float32", 4);
      case 0xcb:
        return this.#number("Float64", 8);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#length(head - 0xcc);
      case 0xcf:
        return Number(this.#number("BigUint64", 8));
      case 0xd0:
        return this.#number("Int8", 1);
      case 0xd1:
        return this.#number("Int16", 2);
      case 0xd2:
        return this.#number("Int32", 4);
      case 0xd3:
        return Number(this.#number("BigInt64", 8));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#length(head - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(head - 0xdb));
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(head - 0xdd));
      default:
        throw new RangeError(`msgpack type 0x${head.toString(16)} is not used here`);
    }
  }

  #number(type, size) {
    const value = this.view[`get${type}`](this.at);
    this.at += size;
    return value;
  }

  /** An unsigned number of 1, 2 or 4 bytes, by `width` 0, 1 or 2. */
  #length(width) {
    return this.#number(["Uint8", "Uint16", "Uint32"][width], 1 << width);
  }

  #bytes(length) {
    const { buffer, byteOffset } = this.view;
    if (this.at + length > this.view.byteLength) throw new RangeError("the msgpack value is cut off");
    const bytes = new Uint8Array(buffer, byteOffset + this.at, length);
    this.at += length;
    return bytes;
  }

  #string(length) {
    return untext.decode(this.#bytes(length));
  }

  #array(length) {
    return Array.from({ length }, () => this.read());
  }

  #map(length) {
    const map = {};
    for (let i = 0; i < length; i += 1) {
      const key = this.read();
      map[key] = this.read();
    }
    return map;
  }
}
