export { type ActorCall, actorOf } from "./actor.ts";
export { contextOf, envelope, type HttpApp, httpApp } from "./app.ts";
export { type Listening, listen } from "./listen.ts";
