// Starts the program under test in a folder of its own and stops it by its process id.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const repository = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const binary = resolve(repository, process.env.GATEHOUSE_BIN || "target/debug/gatehouse");

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const start = async (words) => {
  const folder = await mkdtemp(join(tmpdir(), "gatehouse-browser-"));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GATEHOUSE_")));
  const child = spawn(binary, words(folder), { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const it = { folder, child, output: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => { it.output = (it.output + text).slice(-20_000); });
  }
  const ended = new Promise((done) => {
    child.once("exit", done);
    child.once("error", (error) => { it.output += error.message; done(); });
  });
  it.stop = async () => {
    if (child.pid && child.exitCode === null) {
      child.kill("SIGTERM");
      if (await Promise.race([ended.then(() => false), sleep(5_000).then(() => true)])) child.kill("SIGKILL");
    }
    await rm(folder, { recursive: true, force: true });
  };
  return it;
};

/** What `read` finds in the process's folder or output, as soon as it finds something. */
const await_ = async (it, seconds, read) => {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) {
    if (it.child.exitCode !== null) break;
    const found = await read();
    if (found) return found;
  }
  const { output } = it;
  await it.stop();
  throw new Error(`${binary} did not come up:\n${output}`);
};

/** Sandbox, gateway and data: `{ url, admin, tenants, … , stop }`. */
export const demo = async () => {
  const it = await start((folder) => ["demo", "--listen", "127.0.0.1:0", "--data", join(folder, "demo"), "--fresh"]);
  const file = join(it.folder, "demo", "demo.json");
  const facts = await await_(it, 60, () => readFile(file, "utf8").then(JSON.parse).catch(() => null));
  return { ...facts, stop: it.stop };
};

/** A gateway nobody has set up yet: `{ url, setup, stop }`. */
export const unused = async () => {
  const it = await start((folder) => ["serve", "--listen", "127.0.0.1:0", "--data", join(folder, "data")]);
  const setup = await await_(it, 30, () => it.output.match(/https?:\/\/[^\s"]+\/setup\/[^\s"\\]+/)?.[0]);
  return { url: new URL(setup).origin, setup, stop: it.stop };
};
