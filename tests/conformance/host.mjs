// What executors in JavaScript are made of: scripts go through the endpoint that facades are
// made of. See README.md.

import { readFileSync, writeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

const EVENT = '{"out":{"kind":"event","event":';
const fault = (error) => error && (({ code, number, message, fault, retryable, status }) => ({ code, number, message, fault, retryable, status }))(error);

/** What an endpoint hands to its application for an event. */
function handed(event, restored, cancelled) {
  const { event: kind, call } = event;
  if (kind === 'ready') return [kind, { id: event.id, transport: event.transport, maxMessage: event.max_message }];
  if (kind === 'lost') return [kind, { reason: fault(event.reason), retryMs: event.retry_ms, attempt: event.attempt }];
  if (kind === 'notice') return [kind, fault(event.error)];
  if (kind === 'draining') return [kind, { inFlight: event.in_flight, outbox: event.outbox }];
  if (kind === 'ended') return [kind, fault(event.error)];
  if (kind === 'call_part') return [kind, call, event.part];
  if (kind !== 'call_done') return event;
  if (event.error === undefined) return [kind, call, restored(event.value, event.blobs)];
  return [kind, call, cancelled.has(call) ? 'cancelled' : fault(event.error)];
}

/**
 * Plays what comes from standard input. `open` gets a script's first line and returns the script's end; the next
 * endpoint that is made is at the other one. `begin` and `end` are those of `ScriptedIo`; `drained` resolves once
 * the application has taken what waits for it.
 */
export async function play({ Endpoint, restored, open }) {
  class Application extends Endpoint {
    told = [];
    #calls = 0;
    #cancels = new Map();

    constructor({ dialect, role, options }) {
      super(dialect, role, JSON.parse(options), true, true);
      for (const kind of ['notice', 'ended']) this.on(kind, (error) => this.told.push([kind, fault(error)]));
      for (const kind of ['ready', 'draining']) this.on(kind, (event) => this.told.push([kind, event]));
      this.on('lost', (event) => this.told.push(['lost', { ...event, reason: fault(event.reason) }]));
    }

    give(name, id, body) {
      const tell = (value) => this.told.push(['call_done', id, value]);
      if (name === 'start') this.begin();
      else if (name === 'stop') this.drain(JSON.parse(body).drain_ms);
      else if (name === 'call' || name === 'snapshot' || (name === 'send' && id > 0)) {
        if (id !== ++this.#calls) throw new Error(`call ${id} is the ${this.#calls}th one`);
        const { signal } = this.#cancels.set(id, new AbortController()).get(id);
        const onPart = (part) => this.told.push(['call_part', id, part]);
        const reply = name === 'call' ? this.ask(body, { onPart, signal }) : name === 'send' ? this.sent(body) : this.snapshot();
        reply.then(tell, (error) => tell(error === signal.reason ? 'cancelled' : fault(error)));
      } else if (name === 'cancel' && this.#cancels.has(id)) this.#cancels.get(id).abort();
      else this.submit(name, id, body);
      this.flush();
    }

    receive(event) {
      this.told.push(event);
    }

    hearContent(event) {
      this.told.push(event);
    }

    release() {}

    /** Whether the application was told just this. */
    takes(event) {
      const cancelled = { has: (id) => this.#cancels.get(id).signal.aborted };
      const wanted = handed(event, restored, cancelled);
      const place = this.told.findIndex((told) => isDeepStrictEqual(told, wanted));
      return place >= 0 && this.told.splice(place, 1).length === 1;
    }
  }

  const alive = setInterval(() => {}, 2 ** 30);
  let script;
  let application;
  for (const line of readFileSync(0, 'utf8').trim().split('\n')) {
    if (line.startsWith('{"trace":')) {
      application?.close();
      script = open(line);
      application = new Application(JSON.parse(line));
    } else if (await script.begin(line)) {
      const [, name, id, body] = /"command":\["(\w+)",(\d+),(.*)\]\}$/s.exec(line);
      application.give(name, Number(id), body);
    }
    const said = script.end().trim().split('\n');
    if (said.some((line) => line.startsWith(EVENT))) await script.drained();
    await new Promise(setImmediate);
    const turn = said.pop();
    const lines = said.filter((line) => !line.startsWith(EVENT) || application.takes(JSON.parse(line).out.event));
    lines.push(...application.told.splice(0).map((told) => `unexpected ${JSON.stringify(told)}`), turn);
    writeAll(`${lines.join('\n')}\n`);
  }
  application?.close();
  clearInterval(alive);
}

function writeAll(text) {
  for (let rest = Buffer.from(text); rest.length > 0; ) rest = rest.subarray(writeSync(1, rest));
}
