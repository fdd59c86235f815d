/** What pages say things with, without a browser: so that it can be tested without one. */
import type { components } from "../../../client/paths.ts";

/** A type of the API by its name in the description. */
export type Schema<K extends keyof components["schemas"]> = components["schemas"][K];

/** `good` it is as it should be, `warn` look at it, `bad` it is not, `info` nothing of these. Never told by colour alone. */
export type Tone = "good" | "warn" | "bad" | "info";

export const MARKS: Readonly<Record<Tone, string>> = { good: "✓", warn: "!", bad: "✕", info: "i" };

/** `a`, `a and b`, `a, b and c`. */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
