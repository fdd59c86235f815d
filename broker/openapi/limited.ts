/** What rate limits add to the description of each route that they are for: they may be set for any of them. */
import { UNLIMITED } from "../limits.ts";
import { eachOf, headerRef, type Paths, refusal } from "./parts.ts";

interface Described {
  readonly responses: Readonly<Record<string, object>>;
}

const HEADERS = { RateLimit: headerRef("RateLimit"), "RateLimit-Policy": headerRef("RateLimit-Policy") };
const TOO_MANY = { "429": refusal("Too many requests", "Retry-After") };

function told(answer: { readonly headers?: object }) {
  return { ...answer, headers: { ...answer.headers, ...HEADERS } };
}

/** @returns the same descriptions with 429, and the headers of limits on every answer. */
export function limited<T extends Described>(paths: Paths<T>) {
  const one = (described: T) => {
    const answers = Object.entries({ ...TOO_MANY, ...described.responses });
    return { ...described, responses: Object.fromEntries(answers.map(([status, answer]) => [status, told(answer)])) };
  };
  return eachOf(paths, (described, path) => (UNLIMITED.has(path) ? described : one(described)));
}
