// What a consumer goes through, the same in Node and in pages. Returns what it said.

export async function scenario(Consumer, options) {
  const said = [];
  let seen = 0;
  let told = () => {};
  const say = (text) => (said.push(text), told());
  /** Waits until that was said since the last call. */
  const until = async (text) => {
    while (!said.slice(seen).includes(text)) await new Promise((resolve) => (told = resolve));
    seen = said.length;
  };
  const consumer = new Consumer({ ...options, parameters: { key: 'SECRET', name: 'a b' }, reconnect: { interval: 1 } });
  consumer.on('open', () => say('open'));
  consumer.on('message', (message) => say(`message: ${typeof message === 'string' ? message : `bytes ${[...message]}`}`));
  consumer.on('disconnect', (code, reason) => say(`disconnect: ${code} ${reason}`));
  const connecting = consumer.connect();
  say(`in flight: ${consumer.in_flight}`);
  await connecting;
  await until('open');
  say(`connected: ${consumer.connected} ${consumer.in_flight}`);
  say(`sent: ${consumer.send('h\u00e9llo \u{1f30d}')} ${consumer.send(new Uint8Array([0, 255, 128]))}`);
  await until('message: bytes 0,255,128');
  consumer.send('pongs');
  await until('message: 1');
  say(`heartbeat: ${consumer.heartbeat_duration} ${consumer.heartbeat_cutoff}`);
  try {
    consumer.send('PONG');
  } catch ({ code }) {
    say(`refused: ${code}`);
  }
  consumer.send('end');
  await until('disconnect: 4001 as you like');
  say(`sent: ${consumer.send('lost')}`);
  await consumer.ready();
  await until('open');
  consumer.send('again');
  await until('message: again');
  await consumer.destroy();
  const late = await consumer.ready().catch(({ code }) => code);
  say(`destroyed: ${late} ${consumer.connected} ${consumer.in_flight}`);
  return said;
}
