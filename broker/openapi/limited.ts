/** What rate limits add to the description of each route that they are for: they may be set for any of them. */
import { UNLIMITED } from "../limits.ts";
import { headerRef, refusal } from "./parts.ts";

interface Described {
  readonly responses: Readonly<Record<string, object>>;
}

type Paths<T> = Readonly<Record<string, Readonly<Record<string, T>>>>;

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
  return Object.fromEntries(
    Object.entries(paths).map(([path, methods]) => [
      path,
      UNLIMITED.has(path)
        ? methods
        : Object.fromEntries(Object.entries(methods).map(([method, described]) => [method, one(described)])),
    ]),
  );
}
