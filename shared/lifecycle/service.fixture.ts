/** A service of nothing but a life: `BEHAVIOUR` says how it goes. */
import { choice, commonFields, secret } from "#shared/config";
import { run, StartError } from "#shared/lifecycle";

const BEHAVIOURS = ["serve", "wrong", "misconfigured", "bug", "rejects", "stops", "starts slowly"] as const;

await run({
  name: "tiny",
  summary: "a service for tests",
  fields: {
    ...commonFields(0),
    BEHAVIOUR: choice("What it does", "serve", BEHAVIOURS),
    TOKEN: secret("A secret"),
  },
  problemsOf: ({ BEHAVIOUR }) => (BEHAVIOUR === "wrong" ? ["BEHAVIOUR and HOST do not go together"] : []),
  async start({ BEHAVIOUR, HOST, PORT }, runtime) {
    if (BEHAVIOUR === "misconfigured") throw new StartError("its port is taken");
    if (BEHAVIOUR === "bug") throw new TypeError("undefined is not a function");
    if (BEHAVIOUR === "starts slowly") {
      runtime.log.info("starting");
      await Bun.sleep(300);
    }
    if (BEHAVIOUR === "rejects") void Promise.reject(new Error("nobody waits for this"));
    if (BEHAVIOUR === "stops") runtime.stop(3, "a queue of another shape");
    const server = Bun.serve({
      hostname: HOST,
      port: PORT,
      fetch: async ({ url }) => {
        if (url.endsWith("/slow")) await Bun.sleep(300);
        return new Response(runtime.health.report().stopping ? "stopping" : "OK");
      },
    });
    return { url: server.url.origin, [Symbol.asyncDispose]: () => server.stop() };
  },
});
