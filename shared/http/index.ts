export { contextOf, envelope, type HttpApp, httpApp } from "./app.ts";
export { type Answer, failureOfAnswer, type JsonClient, makeJsonClient } from "./client.ts";
export { DEGRADED_HEADER } from "./headers.ts";
export { type Listening, listen } from "./listen.ts";
