/** The commands of one turn, as text: a line for each; see `parse_turn` in the core. */

/** A command of a turn, and the lines that make it a turn of its own. */
export interface OneCommand {
  readonly name: string;
  readonly id: number;
  readonly lines: readonly string[];
}

/** Takes a turn apart. */
export function apiece(turn: readonly string[]): OneCommand[] {
  const commands: OneCommand[] = [];
  let like = '';
  let next = 0;
  for (const line of turn) {
    // Bodies are not read: one that cannot be is why a turn is taken apart.
    const [head, kind, name, id] = /^([!#])\["(\w+)",(\d+),/.exec(line) ?? [];
    if (kind === '!') commands.push({ name: String(name), id: Number(id), lines: [line] });
    else if (kind === '#') {
      like = line.slice(head?.length, -1);
      next = Number(id);
    } else {
      commands.push({ name: 'call', id: next, lines: [`#["call",${next},${like}]`, line] });
      next += 1;
    }
  }
  return commands;
}
