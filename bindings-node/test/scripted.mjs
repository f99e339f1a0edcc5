// A scripted add-on in the place of the native one.

import { createRequire } from 'node:module';

const addOn = createRequire(import.meta.url)('../dist/native.js');

/** Puts a scripted add-on below the engine for one test. `sessions` holds one for each `open`. */
export function scripted(t, { refuses = () => false, code = 'ARGUMENT_INVALID' } = {}) {
  const first = endpoint(refuses, code);
  const sessions = [];
  const real = addOn.Native;
  t.after(() => (addOn.Native = real));
  addOn.Native = {
    open(dialect, role, options) {
      const native = sessions.length === 0 ? first : endpoint(refuses, code);
      sessions.push(native);
      return Object.assign(native, { dialect, opened: [role, JSON.parse(options)] });
    },
  };
  return Object.assign(first, { sessions });
}

function endpoint(refuses, code) {
  return {
    batches: [],
    queue: [],
    holds: [],
    drains: 0,
    closes: 0,
    submit(text) {
      const batch = commandsOf(text);
      if (refuses(batch)) throw Object.assign(new Error('refused'), { code });
      this.batches.push(batch);
    },
    drain() {
      this.drains += 1;
      return JSON.stringify(this.queue.shift() ?? []);
    },
    get more() {
      return this.queue.length > 0;
    },
    onDoorbell(ring) {
      this.ring = ring;
    },
    hold(wanted) {
      this.holds.push(wanted);
    },
    close() {
      this.closes += 1;
    },
    tell(events) {
      this.queue.push(events);
      this.ring();
    },
    /** Takes what crossed so far, one list. */
    taken() {
      return this.batches.splice(0).flat();
    },
  };
}

/** Reads a turn, as `parse_turn` of the core does. */
function commandsOf(text) {
  const commands = [];
  let like;
  for (const line of text.split('\n')) {
    if (line.startsWith('!')) commands.push(JSON.parse(line.slice(1)));
    else if (line.startsWith('#')) like = JSON.parse(line.slice(1));
    else {
      const [name, id, body] = like;
      commands.push([name, id, line === '' ? body : { ...body, payload: JSON.parse(line) }]);
      like = [name, id + 1, body];
    }
  }
  return commands;
}
