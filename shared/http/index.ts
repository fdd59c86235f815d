export { type ActorCall, actorOf } from "./actor.ts";
export { contextOf, envelope, type HttpApp, httpApp } from "./app.ts";
export { type Peers, socketAddressOf } from "./door.ts";
export { exposureOf } from "./exposure.ts";
export { guardFields, guardOf } from "./guard-config.ts";
export { type Listening, listen } from "./listen.ts";
