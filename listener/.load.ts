import { connect } from "amqplib";
import { serveRpc } from "#shared/rpc"; import { silentLog } from "#shared/log"; import { makeMetrics } from "#shared/telemetry";
const n = Number(process.argv[2]); const closing = process.argv[3] === "close";
const seen = new Set<string>(); let dups=0, calls=0; let lastAt=0;
serveRpc({host:"127.0.0.1", port: 15001, server:"t", version:"1", log: silentLog, metrics: makeMetrics("t","1"), methods: { "RPCServer.Ping": () => ({ok:true,value:"OK"}),
  "RPCServer.LogBatch": async ([entries]) => { calls++; await Bun.sleep(5); lastAt=performance.now(); return { ok: true, value: (entries as any[]).map(e => { if (seen.has(e.event_id)) dups++; seen.add(e.event_id); return {ok:true}; }) }; } }});
const c = await connect(process.env.TEST_RABBITMQ_URL!); c.on("error",()=>{}); const ch = await c.createConfirmChannel(); ch.on("error",()=>{});
await ch.checkQueue("logs.main.v1");
const t = performance.now();
for (let i=0;i<n;i++){ ch.publish("logs_topic","log.INFO",Buffer.from(JSON.stringify({name:"n"+i,data:{i,text:"some text of a usual length for an entry in a log"}})),{persistent:true,messageId:"L"+t+"-"+i}); if(i%500===499) await ch.waitForConfirms(); }
const fed = performance.now()-t;
const end = performance.now()+30000; while(seen.size<n && performance.now()<end) await Bun.sleep(5);
console.log({n, fedMs: fed|0, doneMs: (lastAt-t)|0, perS: (n/(lastAt-t)*1000)|0, seen: seen.size, dups, calls, perCall: n/calls|0});
process.exit(0);
