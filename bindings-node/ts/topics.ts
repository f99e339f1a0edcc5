/** Topics: who wants what is published under a name. They live in this process and are on no wire. */

export class Topics<Member> {
  readonly #members = new Map<string, Set<Member>>();

  /** Returns who subscribed to `topic`, but for `except`. */
  of(topic: string, except?: Member): Member[] {
    return [...(this.#members.get(topic) ?? [])].filter((member) => member !== except);
  }

  has(topic: string, member: Member): boolean {
    return this.#members.get(topic)?.has(member) ?? false;
  }

  /** Returns what `member` subscribed to. */
  named(member: Member): string[] {
    return [...this.#members.keys()].filter((topic) => this.has(topic, member));
  }

  add(topic: string, member: Member): void {
    this.#members.set(topic, (this.#members.get(topic) ?? new Set()).add(member));
  }

  /** Tells whether it had subscribed. */
  remove(topic: string, member: Member): boolean {
    const members = this.#members.get(topic);
    const was = members?.delete(member) ?? false;
    if (members?.size === 0) this.#members.delete(topic);
    return was;
  }
}
