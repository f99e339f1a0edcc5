// Node starts a program again and again. The URL is the program; the mode is how many MiB are held meanwhile.
import { execFile } from 'node:child_process';

import * as measure from './volt/measure.mjs';

const held = Buffer.alloc(Number(measure.mode) << 20, 1);
await measure.calls(
  () =>
    new Promise((resolve, reject) => {
      execFile(measure.url, ['undefined'], (error) => (error === null ? resolve(held.length) : reject(error)));
    }),
);
