// What the contestants of Node share: the mode, the closed loop, the clock.
//
// Arguments: URL MODE IN_FLIGHT WARM_MS MEASURE_MS [PACKAGE]. Every mode ends with one line of JSON.

import { readdirSync, readFileSync } from 'node:fs';

export const [url, mode, inFlight, warmMs, measureMs, folder] = process.argv
  .slice(2)
  .map((word, index) => (index > 1 && index < 5 ? Number(word) : word));

export const PAYLOAD = { job: 'j-12345', page: 1, filter: 'running' };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function finish(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

/** Counts what `count` counts between the end of the warm-up and that of the measurement. */
export async function window(count) {
  await pause(warmMs);
  const begin = performance.now();
  const cpu = process.cpuUsage();
  const [main, io] = [mainThread(), ioThread()];
  const before = count();
  await pause(measureMs);
  while (count() - before < 200 && performance.now() - begin < 20_000) await pause(50);
  const done = count() - before;
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - begin) / 1e3;
  finish({ done, seconds, cpu: (user + system) / 1e6, main: mainThread() - main, io: ioThread() - io });
}

/** Processor time of the thread that runs JavaScript, in seconds. */
function mainThread() {
  return threadTime(process.pid);
}

/** Processor time of the threads on which Moorline speaks with its peers, in seconds. */
function ioThread() {
  const named = (id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8') === 'moorline-io\n';
  const threads = readdirSync('/proc/self/task').filter(named);
  return threads.reduce((sum, id) => sum + threadTime(id), 0);
}

function threadTime(id) {
  return Number(readFileSync(`/proc/self/task/${id}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
}

/** `call(payload)` returns a promise; so many are kept in flight. */
export async function calls(call) {
  let count = 0;
  // The next promise is not returned: a chain of all calls would be what is measured.
  const loop = () => void call(PAYLOAD).then(() => ((count += 1), loop()), fail);
  for (let number = 0; number < inFlight; number += 1) loop();
  await window(() => count);
}

/** Sends the calls, none of which is answered; tells when the last was settled, in Unix milliseconds. */
export async function settle(call) {
  const all = [];
  for (let number = 0; number < inFlight; number += 1) all.push(call(PAYLOAD).then(fail, () => {}));
  await Promise.all(all);
  finish({ at: performance.timeOrigin + performance.now() });
}

/** Counts what the handler, which calls `tick`, is asked to do. */
export async function commands(tick) {
  await window(() => tick.count);
}

/** Asks for messages by `more` and counts those that come: asks again after each `inFlight`. */
export async function events(subscribe, more) {
  let count = 0;
  subscribe(() => {
    count += 1;
    if (count % inFlight === 0) more();
  });
  more();
  await window(() => count);
}

/** Blocks the event loop once the daemon is ready. */
export async function block() {
  await pause(warmMs);
  const end = performance.now() + measureMs;
  while (performance.now() < end);
  await pause(1_000);
  finish({ blocked: measureMs });
}

function fail(error) {
  console.error(error);
  process.exit(1);
}
