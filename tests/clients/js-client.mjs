// The JavaScript SDK v3, each session with a client of its own.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { setTimeout as sleep } from "node:timers/promises";

const [sessions, calls, pause] = process.argv.slice(2).map(Number);

async function session() {
  const sts = new STSClient({ endpoint: process.env.ENDPOINT });
  for (let number = 0; number < calls; number++) {
    if (number) await sleep(pause * 1000);
    await sts.send(new GetCallerIdentityCommand({}));
  }
}

await Promise.all(Array.from({ length: sessions }, session));
