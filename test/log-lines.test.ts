/** Whoever has the id of a request finds its trace as well: no line of a log has the one without the other. */
import { expect, test } from "bun:test";
import { Glob } from "bun";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const ROOMS = "{shared,broker,auth,logger,mail,listener}/**/*.ts";
const LINE = /\blog\.(?:debug|info|warn|error)\(|\bconst fields = \{/g;

/** From an opening bracket to the one that closes it. */
function bracketed(text: string, from: number): string {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    if ("({".includes(text.charAt(at))) depth += 1;
    else if (")}".includes(text.charAt(at)) && (depth -= 1) === 0) return text.slice(from, at + 1);
  }
  return text.slice(from);
}

/** What lines of a log are given, of those that tell of a request and not of its trace. */
function lonely(source: string): string[] {
  return Array.from(source.matchAll(LINE), (match) => bracketed(source, match.index + match[0].length - 1)).filter(
    (given) => /\brequest_id\b/.test(given) && !/\btrace_id\b/.test(given),
  );
}

test("a line with a request's id and no trace's is noticed", () => {
  expect(lonely('log.warn("a", { request_id: context.requestId, reason: f(1) });')).toHaveLength(1);
  expect(lonely('const fields = { id, request_id: saga.requestId };\nlog.info("a", fields);')).toHaveLength(1);
  expect(lonely('log.warn("a", { ...idsOf(context) });\nconst row = { request_id: 1 };')).toEqual([]);
  expect(lonely('log.warn("a", { request_id: 1, trace_id: 2 });')).toEqual([]);
});

test("every line that tells of a request has the id of its trace", () => {
  const files = [...new Glob(ROOMS).scanSync(ROOT)].filter((file) => !/\.(test|fixture|test-kit)\.ts$/.test(file));
  expect(files.length).toBeGreaterThan(200);
  const found = files.flatMap((file) => lonely(readFileSync(join(ROOT, file), "utf8")).map((given) => [file, given]));
  expect(found).toEqual([]);
});
