/** Says the options of the original in those of the core. */

import { MoorlineError } from '../errors.js';
import { OPTION_DEFAULTS } from '../generated.js';
import type { ConsumerOptions, Parameters, ProviderOptions, ReconnectOptions } from './types.js';

/** More attempts than these never end. */
const MOST_ATTEMPTS = 1_000_000;

export function providerOptions(options: ProviderOptions): Record<string, unknown> {
  checked(options);
  const { auth, ssl, heartbeat, ...rest } = options;
  const { handler, parameters, ...admission } = auth ?? {};
  const { prefer_low_memory_usage: _, ...tls } = ssl ?? {};
  if (handler !== undefined && typeof handler !== 'function') {
    throw new MoorlineError('CONFIG_INVALID', 'auth.handler must be a function');
  }
  return {
    ...rest,
    auth: { ...admission, parameters: listed(parameters), asks: handler !== undefined },
    ssl: tls,
    heartbeat: { tells: true, awaits_greet: true, ...heartbeat },
  };
}

export function consumerOptions(options: ConsumerOptions): Record<string, unknown> {
  checked(options);
  const { parameters, reconnect, ...rest } = options;
  return {
    tells_heartbeats: true,
    ...rest,
    parameters: listed(parameters),
    ...(typeof reconnect === 'object' ? ladder(reconnect) : { reconnect_enabled: reconnect }),
  };
}

function ladder({ interval, max_attempts: attempts, ...rest }: ReconnectOptions): Record<string, unknown> {
  const { max_delay_ms: most } = OPTION_DEFAULTS.consumer.reconnect;
  const delays = interval === undefined ? {} : { base_delay_ms: interval, max_delay_ms: Math.max(interval, most) };
  const limit = attempts !== undefined && attempts > MOST_ATTEMPTS ? 0 : attempts;
  return { reconnect_enabled: attempts !== 0, reconnect: { ...delays, ...rest, max_attempts: attempts === 0 ? undefined : limit } };
}

function listed(parameters: Parameters | undefined): { name: string; value: string }[] | undefined {
  return parameters && Object.entries(parameters).map(([name, value]) => ({ name, value: String(value) }));
}

function checked(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new MoorlineError('ARGUMENT_INVALID', 'options must be an object.');
}

/** Refuses to send what the protocol keeps for itself. */
export function kept(): never {
  throw new MoorlineError('ARGUMENT_INVALID', 'the protocol keeps this message for itself: it would not be delivered');
}
