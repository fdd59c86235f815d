/** The platform as a table: what runs where, where it came from, and what to try. */
import { explainMissing, WITHOUT } from "./backings.ts";
import { BACKING_NAMES, type Missing } from "./backing/types.ts";
import { shown } from "./backing/addresses.ts";
import { lookAt } from "./service.ts";
import { SERVICE_NAMES } from "./services.ts";
import type { ServiceRecord, State } from "./state.ts";
import { duration, listed, type Paint, table } from "./terminal.ts";

/** One row for each part, services first, each service asked for its readiness now. */
export async function stateTable(state: State, paint: Paint): Promise<string> {
  const services = SERVICE_NAMES.flatMap((name) => {
    const record = state.services[name];
    return record === undefined ? [] : [{ name, record }];
  });
  const states = await Promise.all(services.map(({ record }) => describeState(record, paint)));
  const rows = services.map(({ name, record }, index) => [
    name,
    states[index] ?? "",
    record.rpc === undefined ? record.url : `${record.url}  ${record.rpc}`,
    "source",
    record.took_ms === undefined ? "" : duration(record.took_ms),
  ]);
  for (const name of BACKING_NAMES) {
    const record = state.backing[name];
    if (record === undefined) {
      if (state.missing[name] !== undefined) rows.push([name, paint.yellow("missing"), "", "", ""]);
      continue;
    }
    rows.push([
      name,
      withRestarts(record.state === "running" ? paint.green("ready") : paint.red(record.state), record.restarts),
      record.web === undefined ? shown(record.url) : `${shown(record.url)}  ${record.web}`,
      record.source,
      duration(record.took_ms),
    ]);
  }
  const lacks = BACKING_NAMES.flatMap((name) => {
    const { lacks: without, source } = state.backing[name] ?? {};
    return without === undefined ? [] : [`${name} is ${source?.split(" on ")[0]}: ${without}`];
  });
  return [table(["service", "state", "URL", "source", "took"], rows, paint), ...lacks.map(paint.dim)].join("\n");
}

async function describeState(record: ServiceRecord, paint: Paint): Promise<string> {
  const { state, restarts, reason } = record;
  if (state !== "running" && state !== "starting") {
    return withRestarts(paint.red(reason === undefined ? state : `${state}: ${reason}`), restarts);
  }
  const look = await lookAt(`${record.url}/ready`);
  if (look === undefined) return withRestarts(paint.red("no answer"), restarts);
  if (look.status === 200) return withRestarts(paint.green("ready"), restarts);
  return withRestarts(paint.yellow(`waits for ${listed(look.waitsFor.map(({ name }) => name)) || "itself"}`), restarts);
}

function withRestarts(text: string, restarts: number): string {
  return restarts === 0 ? text : `${text}, restarted ${restarts}×`;
}

/** The table, what is missing, and three requests to try. */
export async function summary(
  state: State,
  paint: Paint,
  tookMs: number,
  missing: readonly Missing[],
): Promise<string> {
  const broker = state.services.broker?.url ?? "";
  const inbox = state.backing.smtp?.web;
  const lines = [await stateTable(state, paint), ""];
  for (const one of missing)
    lines.push(paint.yellow(explainMissing(one)), `Everything else is up. ${WITHOUT[one.name]}`, "");
  lines.push(
    `${paint.bold(`Up in ${duration(tookMs)}.`)} Open ${paint.cyan(`${broker}/`)}${inbox === undefined ? "" : `, mail arrives at ${paint.cyan(inbox)}`}. To try:`,
    "",
    ...requests(broker, state.tls?.TLS_CA_FILE).map((line) => `  ${line}`),
    "",
    "Ctrl-C stops everything; the data stays. Elsewhere: bun run status, logs, demo, down.",
  );
  return lines.join("\n");
}

/** Three requests that work as they are when pasted into a shell. */
function requests(broker: string, ca: string | undefined): string[] {
  const curl = ca === undefined ? "curl -s" : `curl -s --cacert ${ca}`;
  const handle = (body: unknown) =>
    `${curl} ${broker}/handle -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
  return [
    `${curl} -X POST ${broker}/`,
    handle({ action: "log", log: { name: "hello", data: "from the shell" } }),
    handle({ action: "auth", auth: { email: "admin@example.com", password: "verysecret" } }),
  ];
}
