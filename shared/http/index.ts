export { actorOf, clientOf, contextOf, envelope, type HttpApp, type HttpOptions, httpApp } from "./app.ts";
export { type Listening, listen } from "./listen.ts";
