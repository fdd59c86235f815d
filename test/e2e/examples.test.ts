/**
 * Every example of the description, sent to the running platform by somebody who may, with what it needs to be there: each
 * succeeds, and the answer is what the description says of it, with no field that it does not say.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openApi } from "../../broker/openapi/index.ts";
import { HAS_BACKING, type Platform, START_MS, startPlatform } from "../kit.ts";
import {
  type Answer,
  type Description,
  examplesOf,
  faultsOf,
  type Operation,
  operationsOf,
  parametersOf,
} from "./description.ts";
import { makeWorld, type Needs, PUBLIC_URL, type World } from "./examples.test-kit.ts";

interface Asked {
  readonly body?: unknown;
  readonly query?: Record<string, string>;
  readonly key?: string;
  /** Default: application/json. */
  readonly type?: string;
}

const ENV = { PUBLIC_URL, UNSUBSCRIBE_SECRET: "a secret of this test, of more than 32 characters", BCRYPT_COST: "4" };
/** Known before anything runs; that it is what the broker gives is the first test. */
const EXPECTED = JSON.parse(JSON.stringify(openApi("1"))) as Description;
const NAMES = [...operationsOf(EXPECTED).keys()];
const ASKED = [...operationsOf(EXPECTED)]
  .filter(([, operation]) => parametersOf(EXPECTED, operation, "query").length > 0)
  .map(([name]) => name);

describe.skipIf(!HAS_BACKING)("examples of the description (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  let description: Description;
  let operations: Map<string, Operation>;
  let world: World;
  beforeAll(async () => {
    platform = await startPlatform({ env: ENV, chaos: true });
    description = (await (await fetch(`${platform.url("broker")}/openapi.json`)).json()) as Description;
    operations = operationsOf(description);
    world = await makeWorld(platform);
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  /** Sends an operation as described, but for what `needs` puts in the place of it. */
  async function send(name: string, operation: Operation, needs: Needs, more: Asked = {}): Promise<Answer> {
    const [method = "", template = ""] = name.split(" ");
    let path = template;
    for (const parameter of parametersOf(description, operation, "path")) {
      const value = needs.path?.[parameter.name] ?? parameter.example ?? "";
      path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    }
    const query = new URLSearchParams(more.query).toString();
    const answer = await fetch(`${platform.url("broker")}${path}${query === "" ? "" : `?${query}`}`, {
      method,
      headers: {
        authorization: `Bearer ${needs.token ?? world.admin}`,
        ...(more.key === undefined ? {} : { "idempotency-key": more.key }),
        ...(more.body === undefined ? {} : { "content-type": more.type ?? "application/json" }),
      },
      ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream") === true;
    const text = isStream ? await beginningOf(answer) : await answer.text();
    const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: answer.status, headers: answer.headers, body: isJson ? (JSON.parse(text) as unknown) : text };
  }

  /** Of an answer that goes on until whoever asked leaves. */
  async function beginningOf({ body }: Response): Promise<string> {
    const reader = body?.getReader();
    const first = await reader?.read();
    await reader?.cancel();
    return new TextDecoder().decode(first?.value as Uint8Array | undefined);
  }

  function expectDescribed(what: string, operation: Operation, answer: Answer): void {
    const isSuccess = answer.status >= 200 && answer.status < 300;
    const faults = faultsOf(description, operation, answer);
    expect([what, ...faults, ...(isSuccess ? [] : [answer.status, answer.body])]).toEqual([what]);
  }

  test("the description is the one that the cases below are named by", () => {
    expect([...operations.keys()]).toEqual(NAMES);
  });

  test.each(NAMES)(
    "%s",
    async (name) => {
      const operation = operations.get(name);
      if (operation === undefined) throw new Error(`${name} is not described`);
      const key = parametersOf(description, operation, "header").find((one) => one.name === "Idempotency-Key")?.example;
      for (const [title, example] of examplesOf(operation)) {
        const what = title === "" ? name : `${name}: ${title}`;
        const needs = await world.needsOf(name, title);
        // Put before what the example says, an array would be no array any more.
        const body = needs.body === undefined ? example : { ...(example as object), ...needs.body };
        const more = { body, ...(key === undefined ? {} : { key: `${key} ${title}` }) };
        const answer = await send(name, operation, needs, more);
        expectDescribed(what, operation, answer);
        if (key === undefined) continue;
        const again = await send(name, operation, needs, more);
        expectDescribed(`${what}, again`, operation, again);
        expect([what, again.status, again.headers.get("idempotent-replayed")]).toEqual([what, answer.status, "true"]);
      }
    },
    60_000,
  );

  test.each(ASKED)(
    "%s: each parameter of its query",
    async (name) => {
      const operation = operations.get(name);
      if (operation === undefined) throw new Error(`${name} is not described`);
      for (const { name: parameter } of parametersOf(description, operation, "query")) {
        const needs = await world.needsOf(name, parameter);
        const what = `${name}?${parameter}`;
        const value = parameter === "cursor" ? await cursorOf(name, operation, needs) : needs.query?.[parameter];
        if (value === undefined) throw new Error(`nothing says what to ask ${what} for`);
        const answer = await send(name, operation, needs, { query: { [parameter]: value } });
        expectDescribed(what, operation, answer);
        const items = (answer.body as { data?: { items?: unknown[] } }).data?.items;
        // An empty page is no proof of what its items are.
        expect([what, items === undefined || items.length > 0]).toEqual([what, true]);
      }
    },
    60_000,
  );

  /** Asked as nobody should: what is said then is described, too. What is named here is not there, where an id is invented. */
  test.each(NAMES)("%s: refused as described", async (name) => {
    const operation = operations.get(name);
    if (operation === undefined) throw new Error(`${name} is not described`);
    const [[, body] = ["", undefined]] = examplesOf(operation);
    const wrong: [what: string, needs: Needs, more: Asked][] = [
      ["a token that is none", { token: "none" }, { body }],
      ["a parameter that is not known", {}, { body, query: { unheard: "1" } }],
      ...(body === undefined
        ? []
        : ([
            ["a body that is no object", {}, { body: "text" }],
            ["a body of another type", {}, { body, type: "text/plain" }],
            ["a field that is not known", {}, { body: { ...body, unheard: 1 } }],
          ] satisfies [string, Needs, Asked][])),
    ];
    for (const [what, needs, more] of wrong) {
      const answer = await send(name, operation, needs, more);
      expect([what, ...faultsOf(description, operation, answer)]).toEqual([what]);
      const isClosed = operation.security?.every((one) => Object.keys(one).length > 0) === true;
      if (needs.token !== undefined && isClosed) expect([what, answer.status]).toEqual([what, 401]);
    }
  });

  async function cursorOf(name: string, operation: Operation, needs: Needs): Promise<string | undefined> {
    const { body } = await send(name, operation, needs, { query: { limit: "1" } });
    return (body as { data?: { next_cursor?: string } }).data?.next_cursor;
  }
});
