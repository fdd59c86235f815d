/** The parts of a running stack as `state.json` has them. */
import type { BackingName, Missing } from "./backing/types.ts";
import type { BackingPart } from "./backing-part.ts";
import type { ServicePart } from "./service.ts";
import type { ServiceName } from "./services.ts";
import type { BackingRecord, ServiceRecord, State } from "./state.ts";

export interface Parts {
  readonly services: ReadonlyMap<ServiceName, ServicePart>;
  readonly backing: ReadonlyMap<BackingName, BackingPart>;
  readonly missing: ReadonlyMap<BackingName, Missing>;
  /** The logger's RPC, `tcp://…`. */
  readonly rpcUrl: string;
}

export function describe({ services, backing, missing, rpcUrl }: Parts): Omit<State, "up"> {
  return {
    services: Object.fromEntries(
      [...services].map(([name, part]) => [name, serviceRecord(part, name === "logger" ? { rpc: rpcUrl } : {})]),
    ),
    backing: Object.fromEntries([...backing].map(([name, part]) => [name, backingRecord(part)])),
    missing: Object.fromEntries([...missing].map(([name, { remedy }]) => [name, remedy])),
  };
}

function serviceRecord(part: ServicePart, more: { readonly rpc?: string }): ServiceRecord {
  const { url, pid, started, state, restarts, reason, tookMs } = part;
  return {
    url,
    ...more,
    ...(pid === undefined ? {} : { pid }),
    ...(started === undefined ? {} : { started }),
    state,
    restarts,
    ...(reason === undefined ? {} : { reason }),
    ...(tookMs === undefined ? {} : { took_ms: tookMs }),
  };
}

function backingRecord({ current, url, pid, state, restarts }: BackingPart): BackingRecord {
  return {
    url,
    ...(current.web === undefined ? {} : { web: current.web }),
    source: current.source,
    ...(current.lacks === undefined ? {} : { lacks: current.lacks }),
    ...(pid === undefined ? {} : { pid }),
    state,
    restarts,
    took_ms: current.tookMs,
  };
}
