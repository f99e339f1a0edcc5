// The handlers of tests/vectors/hostile_outcomes.json, for Node and for pages.

import { readFileSync } from 'node:fs';

const file = new URL('../../tests/vectors/hostile_outcomes.json', import.meta.url);

/** The rows of a language. */
export function rowsOf(language) {
  const { rows } = JSON.parse(readFileSync(file, 'utf8'));
  return rows.filter(({ languages }) => languages.includes(language));
}

class OutOfPaper extends Error {}

const error = (message) => Object.assign(new Error(), { message });
const throws = (thrown) => () => {
  throw thrown;
};
const circle = () => {
  const list = [];
  list.push(list);
  return list;
};
const untold = () =>
  Object.defineProperty(new Error(), 'message', {
    get() {
      throw new Error('untold');
    },
  });
const hostile = () => {
  const refuse = throws(new Error('refused'));
  const traps = ['get', 'getPrototypeOf', 'has', 'ownKeys', 'getOwnPropertyDescriptor'];
  return new Proxy(new Error('hidden'), Object.fromEntries(traps.map((trap) => [trap, refuse])));
};

/** A handler for each row. */
export const HANDLERS = {
  'lone surrogate in a failure': throws(new Error('cut ' + '😀'.slice(0, 1))),
  'lone surrogate in a result': () => ({ Text: 'cut \ud83d', '\udc00': ['\ud83d'] }),
  'two surrogates that are a pair': () => '\ud83d' + '\ude00',
  'text that spells an escape': () => '\\ud83d \\\\ud83d',
  'not a number in a result': () => NaN,
  'an infinity deep in a result': () => ({ A: [null, { B: -Infinity }] }),
  'nulls that are meant': () => ({ A: null, B: [null, 1.5] }),
  'circle in a result': circle,
  'result that JSON has no form for': () => () => {},
  'big integer in a result': () => ({ n: 10n }),
  'result that fails when it is written': () => ({ toJSON: throws(new Error('not today')) }),
  'failure with a class': throws(new TypeError('wrong')),
  "failure with a class of the program's own": throws(new OutOfPaper('tray 2')),
  'failure whose message is a number': throws(error(7)),
  'failure whose message is a big integer': throws(error(10n)),
  'failure whose message is an object': throws(error({ a: 1 })),
  'failure whose message is a symbol': throws(error(Symbol('odd'))),
  'failure whose message is undefined': throws(error(undefined)),
  'failure whose message throws when it is written': throws(error({ toJSON: throws(new Error('no')), toString: throws(new Error('no')) })),
  'failure whose message cannot be had': throws(untold()),
  'failure that throws whatever it is asked': throws(hostile()),
  'failure of nothing': throws(undefined),
  'failure of a text': throws('plain'),
  'failure with control characters': throws(new Error('bell \u0007\u001b[2J\n')),
  'failure of a megabyte': throws(new Error('x'.repeat(1 << 20))),
  'lone surrogate in a line of the log': (_, context) => (context.log('cut \ud83d'), 'logged'),
  'line of the log that has no text': (_, context) => (context.log(Object.create(null)), 'logged'),
  'progress that is nothing': (_, context) => context.progress(undefined),
  'progress that JSON has no form for': (_, context) => context.progress({ toJSON: () => undefined }),
  'progress that is not a number': (_, context) => context.progress({ Percent: NaN }),
  'promise of another make that settles twice': () => ({ then: (done, failed) => (done('first'), done('second'), failed(new Error('third'))) }),
  'promise of another make that throws': () => ({ then: throws(new Error('then what')) }),
};
