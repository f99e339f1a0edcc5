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
    if (line.startsWith('!')) {
      const [name, id] = JSON.parse(line.slice(1)) as [string, number];
      commands.push({ name, id, lines: [line] });
    } else if (line.startsWith('#')) {
      const [, id, body] = JSON.parse(line.slice(1)) as [string, number, unknown];
      like = JSON.stringify(body);
      next = id;
    } else {
      commands.push({ name: 'call', id: next, lines: [`#["call",${next},${like}]`, line] });
      next += 1;
    }
  }
  return commands;
}
