// The envelope in which the third generation puts the parts of streams, sessions and tunnels: an operation's
// id, what it holds (3: such a part) and how many bytes, all little-endian, then the bytes.

const HEADER = 10;
const STREAM_CHUNK = 3;

/** Puts bytes into an envelope. */
export function wrapped(bytes) {
  const envelope = Buffer.alloc(HEADER + bytes.length);
  envelope.writeUInt16LE(STREAM_CHUNK, 4);
  envelope.writeUInt32LE(bytes.length, 6);
  envelope.set(bytes, HEADER);
  return envelope;
}

/** Takes an envelope off; throws where there is none. */
export function unwrapped(envelope) {
  if (!Buffer.isBuffer(envelope) || envelope.length < HEADER) throw new RangeError('no envelope');
  if (envelope.readUInt16LE(4) !== STREAM_CHUNK) throw new RangeError('an envelope of another kind');
  const length = envelope.readUInt32LE(6);
  if (envelope.length < HEADER + length) throw new RangeError('an envelope that is cut short');
  return envelope.subarray(HEADER, HEADER + length);
}
