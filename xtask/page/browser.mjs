// Chromium by the DevTools protocol over a pipe: no package, no port, no request.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"];

/** Milliseconds after which a browser that does not answer is given up: a busy machine is slow, a lost message is for ever. */
const PATIENCE = 60_000;

/** A browser with one page. */
export class Browser {
  constructor(program) {
    this.profile = mkdtempSync(join(tmpdir(), "seedpress-page-"));
    this.process = spawn(program, [...QUIET, `--user-data-dir=${this.profile}`, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.waiting = new Map();
    this.count = 0;
    this.problems = [];
    this.requests = [];
    let rest = "";
    this.process.stdio[4].setEncoding("utf8");
    this.process.stdio[4].on("data", (text) => {
      const parts = (rest + text).split("\0");
      rest = parts.pop();
      for (const part of parts) this.receive(JSON.parse(part));
    });
  }

  receive(message) {
    if (message.id) {
      const { done, fail } = this.waiting.get(message.id) ?? { done() {}, fail() {} };
      this.waiting.delete(message.id);
      return message.error ? fail(new Error(message.error.message)) : done(message.result);
    }
    const { method, params } = message;
    if (method === "Runtime.exceptionThrown") this.problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type)) this.problems.push(JSON.stringify(params.args));
    if (method === "Log.entryAdded" && params.entry.level === "error") this.problems.push(params.entry.text);
    if (method === "Network.requestWillBeSent" && !/^(data|about):/.test(params.request.url)) this.requests.push(params.request.url);
  }

  send(method, params = {}, session = this.session) {
    this.count += 1;
    this.process.stdio[3].write(JSON.stringify({ id: this.count, method, params, sessionId: session }) + "\0");
    const late = new Promise((_, fail) => setTimeout(() => fail(new Error(`no answer to ${method}`)), PATIENCE).unref());
    return Promise.race([new Promise((done, fail) => this.waiting.set(this.count, { done, fail })), late]);
  }

  async open() {
    const { targetInfos } = await this.send("Target.getTargets", {}, undefined);
    const { targetId } = targetInfos.find((target) => target.type === "page") ?? (await this.send("Target.createTarget", { url: "about:blank" }, undefined));
    this.session = (await this.send("Target.attachToTarget", { targetId, flatten: true }, undefined)).sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.send(`${domain}.enable`);
  }

  async size(width, height) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  }

  /** Goes to an address and waits until the page's scripts have run. */
  async go(url) {
    await this.send("Page.navigate", { url: "about:blank" });
    await this.send("Page.navigate", { url });
    for (let tries = 0; tries < 200; tries += 1) {
      if (await this.run("document.readyState === 'complete' && location.href !== 'about:blank'")) return;
      await new Promise((done) => setTimeout(done, 25));
    }
    throw new Error(`${url} does not load`);
  }

  /** The value of an expression in the page. */
  async run(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async move(x, y) {
    await this.send("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
  }

  async press(key) {
    for (const type of ["keyDown", "keyUp"]) await this.send("Input.dispatchKeyEvent", { type, key, code: key, text: type === "keyDown" && key === "Enter" ? "\r" : undefined, windowsVirtualKeyCode: { Enter: 13, Escape: 27, ArrowRight: 39 }[key] });
  }

  /** The whole page, or what is in sight, as a PNG. */
  async picture(path, whole = true) {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: whole });
    writeFileSync(path, Buffer.from(data, "base64"));
  }

  async close() {
    const gone = new Promise((done) => this.process.once("exit", done));
    await this.send("Browser.close", {}, undefined).catch(() => this.process.kill("SIGKILL"));
    await gone;
    rmSync(this.profile, { recursive: true, force: true });
  }
}
