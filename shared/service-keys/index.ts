/**
 * Who calls: services of ours show each other a key (`X-Service-Key`). Who is called knows its callers by the SHA-256 of
 * their keys, and what each of them may ask. How keys are made and changed: docs/service-keys.md.
 */
export {
  announceKeyField,
  type KnownAnnouncer,
  makeAnnounceKey,
  makeAnnouncerCheck,
  makeAnnouncerSignature,
  serviceAnnouncersField,
} from "./announcers.ts";
export { type Admission, type Callers, type CallerTable, makeCallers } from "./callers.ts";
export {
  type KnownCaller,
  makeServiceKey,
  rpcTokenProblems,
  serviceCallersField,
  serviceKeyField,
  serviceKeyProblems,
} from "./fields.ts";
