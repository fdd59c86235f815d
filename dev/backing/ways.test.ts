import { expect, test } from "bun:test";
import type { StartOptions } from "./types.ts";
import { Blocked, firstThatWorks, type Kind, type Way } from "./ways.ts";

const stop = () => Promise.resolve();

function kind(probe: Kind["probe"]): Kind {
  return {
    name: "postgres",
    title: "PostgreSQL",
    variable: "DATABASE_URL",
    probe,
    tidy: (url) => url,
    usual: ["postgres://usual"],
    remedy: () => "install it",
  };
}

function options(more: Partial<StartOptions> = {}): StartOptions {
  return {
    dataDir: "/nowhere",
    ports: "usual",
    configured: {},
    onProgress: () => {},
    signal: new AbortController().signal,
    ...more,
  };
}

const works = kind(() => Promise.resolve("18.4"));
const refuses = kind(() => Promise.reject(new Error("no")));
const fails = (what: string, error = new Error(`no ${what}`), otherData = false): Way => ({
  what,
  otherData,
  open: () => Promise.reject(error),
});
const gives = (what: string, otherData = false): Way => ({
  what,
  otherData,
  open: () => Promise.resolve({ url: `postgres://${what}`, source: what, stop }),
});

test("the first way that works is taken, and later ones are not tried", async () => {
  const outcome = await firstThatWorks(refuses, options(), [fails("one"), gives("two"), gives("three")]);
  expect(outcome).toMatchObject({ name: "postgres", url: "postgres://two", source: "two" });
});

test("a configured server is used or fails; nothing else is tried, and its password is not shown", async () => {
  const configured = { postgres: "postgres://ann:s3cret@far/users" };
  expect(await firstThatWorks(works, options({ configured }), [gives("one")])).toMatchObject({
    source: "DATABASE_URL",
    url: "postgres://ann:s3cret@far/users",
  });
  const outcome = await firstThatWorks(refuses, options({ configured }), [gives("one")]);
  expect(outcome).toMatchObject({ configured: true, tried: ["DATABASE_URL (postgres://ann@far/users): no"] });
  expect(JSON.stringify(outcome)).not.toContain("s3cret");
});

test("a server that somebody runs is the last way, and never one for tests", async () => {
  expect(await firstThatWorks(works, options(), [fails("one")])).toMatchObject({
    source: "running PostgreSQL 18.4 at postgres://usual",
  });
  const outcome = await firstThatWorks(works, options({ ports: "free" }), [fails("one")]);
  expect(outcome).toMatchObject({ configured: false, remedy: "install it" });
  expect("tried" in outcome ? outcome.tried : []).toHaveLength(2);
});

test("data that can't be served is not passed over for a server with other data", async () => {
  const blocked = fails("one", new Blocked("made by PostgreSQL 15", "install 15"));
  expect(await firstThatWorks(works, options(), [blocked, gives("docker", true)])).toEqual({
    name: "postgres",
    tried: ["one: made by PostgreSQL 15"],
    remedy: "install 15",
    configured: false,
  });
  expect(await firstThatWorks(works, options(), [blocked, gives("two")])).toMatchObject({ source: "two" });
});

test("giving up ends the search", async () => {
  const reason = new Error("given up");
  const signal = AbortSignal.abort(reason);
  const outcome: unknown = await firstThatWorks(works, options({ signal }), [gives("one")]).catch((error) => error);
  expect(outcome).toBe(reason);
});
