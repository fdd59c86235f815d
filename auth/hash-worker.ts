/**
 * A thread that does nothing but bcrypt. Asynchronous hashing of the runtime would do it on the pool that
 * WebCrypto, files and DNS need, and starve them (measured: a signature then waits for several hashes).
 */
declare const self: Worker;

/** Work for a thread. `secret` is what bcrypt is given: 1 to 72 bytes. */
export type HashJob =
  | { id: number; kind: "hash"; secret: Uint8Array; cost: number }
  /** Takes the time of one hash of `cost`, whatever `hash` is: undefined for none, malformed, or of a lower cost. */
  | { id: number; kind: "verify"; secret: Uint8Array; hash: string | undefined; cost: number };

export type HashReply =
  | { id: number; kind: "hash"; hash: string }
  /** `malformed`: there was a hash and it is none. */
  | { id: number; kind: "verify"; matches: boolean; malformed: boolean };

const LOWEST_COST = 4;

/** A hash that belongs to nobody: verifying against it takes as long as against a real one of that cost. */
function dummy(cost: number): string {
  return `$2b$${String(cost).padStart(2, "0")}$zkhypOtTRKfKeapgl63yAuj4ma9lXBFM0EskCgkWwen75CTcDpOJK`;
}

function spend(secret: Uint8Array, cost: number): void {
  Bun.password.verifySync(secret, dummy(cost), "bcrypt");
}

function verify(secret: Uint8Array, hash: string | undefined, cost: number): { matches: boolean; malformed: boolean } {
  if (hash !== undefined) {
    try {
      const matches = Bun.password.verifySync(secret, hash, "bcrypt");
      // 2^c and then 2^c + 2^(c+1) + … + 2^(cost-1) are 2^cost rounds together: an older hash is not told by its time.
      for (let at = Math.max(LOWEST_COST, Number(hash.slice(4, 6))); at < cost; at += 1) spend(secret, at);
      return { matches, malformed: false };
    } catch {
      // No hash by its encoding: found out at once, so the time is still to be spent; the caller logs it.
    }
  }
  spend(secret, cost);
  return { matches: false, malformed: hash !== undefined };
}

self.addEventListener("message", ({ data: job }: MessageEvent<HashJob>) => {
  const reply: HashReply =
    job.kind === "verify"
      ? { id: job.id, kind: "verify", ...verify(job.secret, job.hash, job.cost) }
      : {
          id: job.id,
          kind: "hash",
          hash: Bun.password.hashSync(job.secret, { algorithm: "bcrypt", cost: job.cost }),
        };
  self.postMessage(reply, []);
});
