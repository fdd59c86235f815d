/** A line of the checklist. */

/** A test by its file and (a part of) its name as it stands there. */
export interface Proof {
  readonly file: string;
  readonly test: string;
}

export interface Line {
  readonly number: number;
  readonly demand: string;
  readonly proofs: readonly Proof[];
  /** What of it is proved elsewhere, and why. */
  readonly elsewhere?: string;
}

export const by = (file: string, ...tests: readonly string[]): Proof[] => tests.map((test) => ({ file, test }));
