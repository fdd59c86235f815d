export { actorOf, clientOf, contextOf, envelope, type HttpApp, type HttpOptions, httpApp } from "./app.ts";
export {
  addressGroup,
  type ClientAddress,
  makeClientAddress,
  proxyFields,
  type TrustedProxies,
} from "./address.ts";
export type { ForeignRoute } from "./body.ts";
export { socketAddressOf } from "./door.ts";
export { exposureOf } from "./exposure.ts";
export { bearerOf, pathOf, PROBES } from "./request.ts";
export { changeLevel, levelView } from "./level.ts";
export { guardFields, guardOf } from "./guard-config.ts";
export { type Listening, listen } from "./listen.ts";
