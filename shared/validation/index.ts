/** What comes from outside becomes a typed value here, or a failure that says what is wrong with it. */
export { decodeJson, parseJson, problemOf } from "./json.ts";
export { makeQueryValidator } from "./query.ts";
export { durationMs, timeOf } from "./time.ts";
export { makeValidator, type Validator, type ValidatorOptions } from "./validator.ts";
