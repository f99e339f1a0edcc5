/** What a request over HTTP holds, as hosts have it. Names are the peer's: no object has a prototype. */

/** A name and its value; a parameter without `=` has none. */
export interface Pair {
  readonly name: string;
  readonly value: string | null;
}

/** Parameters as they came: `null` without a value, a list if one was repeated. */
export type Received = Readonly<Record<string, string | null | readonly (string | null)[]>>;

/** Makes an object of parameters. */
export function received(pairs: readonly Pair[]): Received {
  const all: Record<string, string | null | (string | null)[]> = Object.create(null);
  for (const { name, value } of pairs) {
    const known = all[name];
    all[name] = known === undefined ? value : [known, value].flat();
  }
  return all;
}

/** Makes an object of header fields or cookies; the values of one that was repeated stand behind each other. */
function joined(pairs: readonly Pair[]): Record<string, string> {
  const all: Record<string, string> = Object.create(null);
  for (const { name, value } of pairs) all[name] = name in all ? `${all[name]}, ${value}` : (value ?? '');
  return all;
}

/** Returns the bytes of an address: 4, or 16 for IPv6. */
export function bytesOfAddress(ip: string): ArrayBuffer {
  if (!ip.includes(':')) return Uint8Array.from(ip.split('.'), Number).buffer;
  // A URL has all eight groups in hexadecimal, but for one gap of zeros.
  const halves = new URL(`ws://[${ip}]`).hostname.slice(1, -1).split('::');
  const [head = [], tail] = halves.map((half) => half.split(':').filter(Boolean));
  const gap: string[] = Array(tail === undefined ? 0 : 8 - head.length - tail.length).fill('0');
  const groups = [...head, ...gap, ...(tail ?? [])].map((group) => parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255])).buffer;
}

/** A request, as it is shown to who decides about it. */
export interface RequestShown {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly path: string;
  readonly query: string;
  readonly ip: string;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies: Readonly<Record<string, string>>;
  readonly query_parameters: Received;
}

type RequestAsked = Omit<RequestShown, 'headers' | 'cookies' | 'query_parameters'> &
  Readonly<Record<'headers' | 'cookies' | 'parameters', readonly Pair[]>>;

/** Makes a request of what crosses. */
export function shown(request: unknown): RequestShown {
  const { headers, cookies, parameters, ...rest } = request as RequestAsked;
  return { ...rest, headers: joined(headers), cookies: joined(cookies), query_parameters: received(parameters) };
}
