import { createHash, timingSafeEqual } from "node:crypto";

/** Text that is not shown when printed, logged or serialised. */
export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  /** The secret itself: call this only where it is handed to what needs it. */
  reveal(): string {
    return this.#text;
  }
  /** Whether `given` is it, in a time that tells nothing of how much of it is right. */
  is(given: string): boolean {
    const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
    return timingSafeEqual(digest(given), digest(this.#text));
  }
  toString(): string {
    return "[secret]";
  }
  toJSON(): string {
    return "[secret]";
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}
