export type { RpcClient, RpcClientOptions, RpcMethod, RpcServer, RpcServerOptions } from "./types.ts";
