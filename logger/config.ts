import { commonFields, knownCredentials, port, secret, secretUrl, type Values } from "#shared/config";
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
};

export type Config = Values<typeof fields>;

/** What is wrong with the values together. */
export function problemsOf(config: Config): string[] {
  return [...knownCredentials(config), ...serviceKeyProblems(config, ["SERVICE_CALLERS"]), ...rpcTokenProblems(config)];
}
