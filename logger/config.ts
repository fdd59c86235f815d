import { commonFields, integer, knownCredentials, port, secret, secretUrl, type Values } from "#shared/config";
import { rpcTokenProblems, serviceCallersField, serviceKeyProblems } from "#shared/service-keys";
import { tracingFields } from "#shared/tracing";

/** Every variable that the logger reads. */
export const fields = {
  ...commonFields(8082),
  ...tracingFields,
  MONGODB_URL: secretUrl("MongoDB; database `logs` where the URL names none", "mongodb://localhost:27017/logs", [
    "mongodb",
    "mongodb+srv",
  ]),
  RPC_PORT: port("TCP port of the RPC, on the same address as HTTP", 5001),
  LOGGER_RPC_TOKEN: secret(
    "What callers of the RPC have to show; without it none is needed. Production needs 32 characters or more",
  ),
  SERVICE_CALLERS: serviceCallersField,
  TRACES_MAX: integer("Traces that are kept, of all services; 0: none", 10_000, { min: 0, max: 10_000_000 }),
  TRACES_MAX_AGE_S: integer("How long a trace is kept (s)", 86_400, { min: 60, max: 31_536_000 }),
  TRACE_MAX_SPANS: integer("Spans that one logger keeps of one trace; the rest is dropped, and counted", 1_000, {
    min: 1,
    max: 100_000,
  }),
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  return [...knownCredentials(config), ...serviceKeyProblems(config, ["SERVICE_CALLERS"]), ...rpcTokenProblems(config)];
}
