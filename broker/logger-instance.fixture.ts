/** An instance of a logger that counts, as a process of its own: its RPC at the first argument's port, the count over HTTP at the second's. */
import { LOG_SUCCEEDED, RPC_LOG_INFO } from "#contracts/logs";
import { ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { serveRpc } from "#shared/rpc";
import { makeMetrics } from "#shared/telemetry";

const [rpcPort, httpPort] = process.argv.slice(2).map(Number);
let stored = 0;
serveRpc({
  host: "127.0.0.1",
  port: rpcPort ?? 0,
  server: "logger",
  version: "0",
  log: silentLog,
  metrics: makeMetrics("logger", "0"),
  methods: {
    [RPC_LOG_INFO]: () => {
      stored += 1;
      return ok(LOG_SUCCEEDED);
    },
  },
});
Bun.serve({ hostname: "127.0.0.1", port: httpPort ?? 0, fetch: () => new Response(String(stored)) });
