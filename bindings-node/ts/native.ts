/** Finds and loads the add-on of this platform. */

/** One endpoint on its own I/O thread; see `src/lib.rs`. */
export interface Native {
  /** Hands over one turn of commands, all of it or nothing; see `parse_turn` in the core. */
  submit(turn: string): void;
  /**
   * Takes at most 64 KiB of events as one JSON array. An event is an object, or a number and a value
   * behind it: a call and its result, or 0 and a message.
   */
  drain(): string;
  /** Whether the last drain left events behind. */
  readonly more: boolean;
  /** Sets what is called when events begin to wait. */
  onDoorbell(ring: () => void): void;
  /** Keeps the process alive for this endpoint, or no longer. */
  hold(wanted: boolean): void;
  /** Ends at once. */
  close(): void;
}

interface AddOn {
  readonly Native: { open(dialect: string, role: string, options: string): Native };
  /** Throws ARGUMENT_INVALID for what no handler can be offered under; `meta` is JSON text. */
  checkHandler(dialect: string, role: string, key: string, meta: string): void;
}

/** A platform has several names where C libraries differ; npm installs the one that fits. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'linux-x64': ['linux-x64-gnu', 'linux-x64-musl'],
  'linux-arm64': ['linux-arm64-gnu', 'linux-arm64-musl'],
  'darwin-x64': ['darwin-x64'],
  'darwin-arm64': ['darwin-arm64'],
  'win32-x64': ['win32-x64-msvc'],
  'win32-arm64': ['win32-arm64-msvc'],
};

function load(): AddOn {
  const platform = `${process.platform}-${process.arch}`;
  const names = NAMES[platform] ?? [];
  const failures: string[] = [];
  for (const name of names) {
    for (const place of [`./moorline.${name}.node`, `@moorline/node-${name}`]) {
      try {
        return require(place) as AddOn;
      } catch (error) {
        failures.push(`${place}: ${error instanceof Error ? error.message.split('\n', 1)[0] : error}`);
      }
    }
  }
  // A bundler moves the code away from the add-on, which it cannot take along.
  const bundled = typeof __filename !== 'string' || !/[\\/]native\.[cm]?js$/.test(__filename);
  const fix = bundled
    ? 'This program was bundled: keep moorline out of the bundle, as "external" of esbuild, Rollup, Vite and Bun, ' +
      '"externals" of webpack, "serverExternalPackages" of Next.js; and install it beside the bundle.'
    : names.length === 0
      ? `Platforms with an add-on: ${Object.keys(NAMES).join(', ')}. On others, build it from source.`
      : `Install it with "npm install @moorline/node-${names[0]}", and install without --omit=optional.`;
  const problem = `moorline has no add-on for ${platform}. ${fix}`;
  const fallback = bundled ? undefined : webAssembly();
  if (fallback === undefined) throw new Error([problem, ...failures].join('\n  '));
  const limits = 'WebSocket' in globalThis ? '' : ' and, before Node 22, HTTP in the place of WebSocket';
  const detail = failures.join('\n');
  const warning = `${problem} Until then it runs on WebAssembly: slower, with no hub, no provider, no store${limits}.`;
  process.emitWarning(warning, { type: 'MoorlineWarning', code: 'MOORLINE_WEBASSEMBLY', detail });
  return fallback;
}

/** Loads what packages have for machines without an add-on; those that were built without it have none. */
function webAssembly(): AddOn | undefined {
  try {
    return require('./fallback/index.js') as AddOn;
  } catch {
    return undefined;
  }
}

/** Opens a role with options as JSON text, which connects nothing; checks handlers. */
export const { Native, checkHandler } = load();
