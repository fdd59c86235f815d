/** Chance that can be repeated: the same seed gives the same numbers. */

/** Numbers in [0, 1) that follow from the seed (mulberry32: 32 bits of state, enough to choose faults by). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A seed of its own for one run of one case, from the seed of the matrix: a case replays alone as it ran among others. */
export function seedFor(seed: number, id: string, run: number): number {
  return Bun.hash.crc32(`${seed} ${id} ${run}`);
}

/** Another sequence that follows from this one: for things that happen side by side, each with chance of its own. */
export function fork(random: () => number): () => number {
  return seeded(Math.floor(random() * 4_294_967_296));
}

/** A whole number from `least` to `most`, both included. */
export function between(random: () => number, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

export function oneOf<T>(random: () => number, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error("nothing to choose from");
  return item;
}
