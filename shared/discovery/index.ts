/**
 * Which instances of a service there are, and which one an attempt goes to: found as configured, by DNS, or because they
 * announce themselves. What is promised, and how it is set up: docs/discovery.md.
 */
export { advertised, announce } from "./announce.ts";
export { type Discovery, openDiscovery, type RegistryState } from "./discovery.ts";
export { type Resolve, resolved } from "./dns.ts";
export { type Endpoint, fetchAt, fixed } from "./endpoint.ts";
export {
  advertiseFields,
  type DiscoveryConfig,
  discoveryFields,
  discoveryProblems,
} from "./fields.ts";
export { makeRpcPool } from "./rpc-pool.ts";
export { atSome, type InstanceState, makePool, type Pool } from "./pool.ts";
