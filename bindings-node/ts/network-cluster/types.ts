/** Options and events, in the spelling of the original. */

import type { ByteString } from '../byte_strings.js';
import type { ConsumerOptions as CoreConsumer, ProviderOptions as CoreProvider } from '../generated.js';
import type { SpelledInside as Spelled } from '../options.js';
import type { Received, RequestShown } from '../requests.js';
import type { Connection } from './connection.js';

type Provided = Required<Spelled<CoreProvider>>;

/** Parameters to send or to expect; numbers and booleans are turned into text. */
export type Parameters = Readonly<Record<string, string | number | boolean>>;

export type { Received };

/** The request of someone who asks to be let in. */
export type AdmissionRequest = RequestShown;

/** Whom a provider lets in. */
export type AuthOptions = Omit<NonNullable<Provided['auth']>, 'parameters' | 'asks'> & {
  /** What consumers must come with. */
  readonly parameters?: Parameters | undefined;
  /** Asked after the parameters; `true`, also of a promise, lets in, anything else refuses. */
  readonly handler?: ((request: AdmissionRequest, parameters: Received) => unknown) | undefined;
};

/** Options of a provider; defaults and ranges are in docs/options.md. */
export type ProviderOptions = Omit<Spelled<CoreProvider>, 'auth' | 'ssl'> & {
  /** Who is let in. */
  readonly auth?: AuthOptions | undefined;
  /** TLS: paths of PEM files. */
  readonly ssl?: (NonNullable<Provided['ssl']> & { /** Without effect. */ readonly prefer_low_memory_usage?: boolean | undefined }) | undefined;
};

/** How a consumer comes back. */
export type ReconnectOptions = NonNullable<Required<Spelled<CoreConsumer>>['reconnect']> & {
  /** Milliseconds between attempts. */
  readonly interval?: number | undefined;
  /** The most attempts to come back; 0 makes none, `Infinity` never gives up. */
  readonly max_attempts?: number | undefined;
};

/** Options of a consumer; defaults and ranges are in docs/options.md. */
export type ConsumerOptions = Omit<Spelled<CoreConsumer>, 'parameters' | 'reconnect' | 'reconnect_enabled'> & {
  /** Sent in the query of the URL. */
  readonly parameters?: Parameters | undefined;
  /** How to come back; `false` does not. */
  readonly reconnect?: ReconnectOptions | boolean | undefined;
};

/** The events of a provider, with what their listeners are called with. */
export interface ProviderEvents {
  open: [connection: Connection];
  message: [connection: Connection, message: string | ArrayBuffer];
  close: [connection: Connection, code: number, reason: string];
}

/** The events of a consumer, with what their listeners are called with. */
export interface ConsumerEvents {
  open: [];
  /** A connection is over, or an attempt to open one. */
  disconnect: [code: number, reason: string];
  message: [message: string | ByteString];
  /** It does not come back. */
  close: [code: number, reason: string];
}
