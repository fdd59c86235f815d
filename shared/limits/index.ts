/** How often something may be done: counted exactly by all replicas where they share Redis, by each alone where they do not. */
export { type Clearance, type Count, makeLimiter, type Limiter, type Verdict } from "./limiter.ts";
export { policyHeader, stateHeader } from "./headers.ts";
export { type Limit, type LimitRule, parseLimits, rateLimitsField, ruleFits } from "./rules.ts";
export { type Attempt, type Delay, type Delays, makeDelays } from "./delays.ts";
