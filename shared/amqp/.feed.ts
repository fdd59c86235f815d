import { connect } from "amqplib";
const n = Number(process.argv[2] ?? 3000);
const c = await connect("amqp://guest:guest@127.0.0.1:5672/lst"); const ch = await c.createConfirmChannel();
for (let i=0;i<n;i++){ ch.publish("logs_topic", ["log.INFO","log.WARNING","log.ERROR"][i%3]!, Buffer.from(JSON.stringify({name:"n"+i,data:{i}})), {persistent:true, messageId: "m"+i+"-"+process.pid}); if(i%500===499) await ch.waitForConfirms(); }
for (const bad of ["", "{", "null", "[]", '{"name":""}', '{"name":"x"}', '{"name":1,"data":2}', '{"data":1}']) ch.publish("logs_topic","log.INFO",Buffer.from(bad));
await ch.waitForConfirms(); await c.close(); console.log("fed", n);
