/** RPC over TCP: MessagePack frames, pipelined calls. The wire is docs/rpc.md. */
export { makeRpcClient } from "./client.ts";
export { serveRpc } from "./server.ts";
export type {
  RpcClient,
  RpcClientOptions,
  RpcMethod,
  RpcServer,
  RpcServerOptions,
  RpcTls,
} from "./types.ts";
