export { actorOf, clientOf, contextOf, envelope, type HttpApp, type HttpOptions, httpApp } from "./app.ts";
export {
  addressGroup,
  type ClientAddress,
  makeClientAddress,
  proxyFields,
  type TrustedProxies,
} from "./address.ts";
export { type Listening, listen } from "./listen.ts";
