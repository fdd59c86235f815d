import { expect, test } from "bun:test";
import { linesThrough } from "./lines.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** An export that never ends by itself, and whoever reads it. */
function exportOf({ stallMs = 60_000 } = {}) {
  const seen = { left: "", hurried: 0 };
  const state = { may: true };
  let source: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (source = controller),
    cancel: (reason) => void (seen.left = String(reason)),
  });
  const stream = linesThrough(body, {
    may: async () => state.may,
    lookMs: 20,
    stallMs,
    hurry: () => void (seen.hurried += 1),
  });
  return { seen, state, stream, give: (text: string) => source?.enqueue(bytes(text)), source: () => source };
}

test("lines go through as they are, whole ones at a time, wherever they are cut", async () => {
  const { stream, give, source } = exportOf();
  const long = `{"data":"${"x".repeat(40_000)}"}\n`;
  const small = '{"data":1}\n'.repeat(5_000);
  const all = `${small}${long}{"$export":{"complete":true,"entries":5001}}\n`;
  for (let at = 0; at < all.length; at += 7_777) give(all.slice(at, at + 7_777));
  source()?.close();
  const pieces: string[] = [];
  for await (const piece of stream) pieces.push(new TextDecoder().decode(piece));
  expect(pieces.join("") === all).toBe(true);
  expect(pieces.every((piece) => piece.endsWith("\n"))).toBe(true);
  expect(pieces.filter((piece) => piece.length > 16_384)).toEqual([long]);
});

test("whoever may no more is told so in a last line, and the export is let go", async () => {
  const { seen, state, stream, give } = exportOf();
  give('{"data":1}\n{"data":2}\n{"da');
  const reader = stream.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe('{"data":1}\n{"data":2}\n');
  const next = reader.read();
  state.may = false;
  expect(JSON.parse(new TextDecoder().decode((await next).value))).toEqual({
    $export: { complete: false, entries: 2, error: "the credential no longer counts" },
  });
  expect((await reader.read()).done).toBe(true);
  expect(seen).toEqual({ left: "Error: the credential no longer counts", hurried: 1 });
});

test("whoever takes nothing for too long has it ended, and who waits has not", async () => {
  const stalls = exportOf({ stallMs: 100 });
  stalls.give('{"data":1}\n{"data":2}\n');
  const waits = exportOf({ stallMs: 100 });
  const reader = stalls.stream.getReader();
  await reader.read();
  const waiting = waits.stream.getReader().read();
  await Bun.sleep(400);
  expect([stalls.seen.left, stalls.seen.hurried]).toEqual(["Error: nothing was taken for 0.1 s", 1]);
  expect(new TextDecoder().decode((await reader.read()).value)).toContain('"error":"nothing was taken for 0.1 s"');
  expect(waits.seen).toEqual({ left: "", hurried: 0 });
  waits.give('{"data":1}\n');
  expect((await waiting).done).toBe(false);
});

test("what breaks off behind breaks off here, and who goes takes it along", async () => {
  const broken = exportOf();
  const reading = broken.stream.getReader().read();
  broken.source()?.error(new Error("reset"));
  expect(await reading.catch(String)).toBe("Error: reset");
  const left = exportOf();
  await left.stream.cancel();
  expect(left.seen.left).toBe("Error: the reader has gone");
});
