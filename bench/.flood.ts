import { Type } from "@sinclair/typebox";
import { LogEntry } from "#contracts/logs";
import { makeValidator } from "#shared/validation";
import { ok } from "#shared/errors";
import { makeLog } from "#shared/log";
import { makeRpcClient, serveRpc } from "#shared/rpc";
import { makeMetrics, newContext } from "#shared/telemetry";
import { encodeFrame } from "../shared/rpc/encode.ts";
const log = makeLog({ service: "bench", level: "warn" });
const metrics = makeMetrics("bench", "0");
const role = process.argv[2];
if (role === "serve") {
  const valid = makeValidator(LogEntry, { name: "entry" });
  const server = serveRpc({ host: "127.0.0.1", port: 0, server: "b", version: "0", log, metrics, methods: {
    LogInfo: async ([entry]) => { const v = valid(entry); if (!v.ok) return v; await 0; return ok("fine"); },
    late: () => { const m = late; late = 0; return ok(m); } } });
  let late = 0, at = performance.now(); setInterval(() => { const n = performance.now(); late = Math.max(late, n - at - 5); at = n; }, 5);
  process.send?.(server.port);
} else if (role === "flood") {
  const frame = encodeFrame([0, 1, "LogInfo", [{ name: "", data: 1 }], undefined].slice(0,4));
  const block = Buffer.concat(Array.from({ length: Math.floor(1_000_000 / frame.length) }, () => frame));
  let answers = 0;
  for (let i = 0; i < 20; i++) {
    let offset = 0; // position in the endless stream
    const push = (s: any) => { for (let k = 0; k < 4; k++) { const n = s.write(block, offset, block.length - offset); if (n <= 0) return; offset = (offset + n) % block.length; } };
    await Bun.connect({ hostname: "127.0.0.1", port: Number(process.argv[3]), socket: { data: (s, c) => { answers += c.length; push(s); }, drain: push, open: push, close: () => console.log("closed"), error: () => {} } });
  }
  process.send?.("up");
  setInterval(() => { console.log("answer MB/s", (answers / 1e6).toFixed(1)); answers = 0; }, 1000);
} else {
  const spawn = (...args: string[]) => { const { promise, resolve } = Promise.withResolvers<any>(); const p = Bun.spawn([process.execPath, import.meta.path, ...args], { ipc: resolve, stdout: "inherit", stderr: "inherit" }); return { p, promise }; };
  const server = spawn("serve"); const port = await server.promise;
  const client = makeRpcClient({ url: `tcp://127.0.0.1:${port}`, client: "probe", log, metrics });
  while (!client.connected) await Bun.sleep(10);
  const probe = async (what: string, ms: number) => {
    const l: number[] = []; let failed = 0; const end = performance.now() + ms;
    await client.call("late", [], newContext(5000));
    while (performance.now() < end) { const t = performance.now(); const r = await client.call("LogInfo", [{ name: "ok", data: 1 }], newContext(5000)); l.push(performance.now() - t); if (!r.ok) failed++; await Bun.sleep(10); }
    l.sort((a, b) => a - b);
    const late = await client.call("late", [], newContext(10000));
    console.log(what, "calls", l.length, "failed", failed, "p50", l[l.length >> 1]?.toFixed(1), "p99", l[Math.floor(l.length * .99)]?.toFixed(1), "max", l.at(-1)?.toFixed(1), "loop late max", late.ok ? Math.round(late.value as number) : late.error.code);
  };
  await probe("alone", 2000);
  const flood = spawn("flood", String(port)); await flood.promise;
  await probe("flooded", 6000);
  flood.p.kill(); server.p.kill(); await flood.p.exited; await server.p.exited; process.exit(0);
}
