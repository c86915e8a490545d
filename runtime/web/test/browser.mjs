// As much of the DevTools protocol as the page's test needs, over Chromium's pipe.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Longest wait for anything, in milliseconds. The machine may be busy. */
const PATIENCE = 90_000;

export class Browser {
  #process;
  #profile;
  #next = 1;
  #answers = new Map();
  /** What the page wrote to its console as an error, and what it threw. */
  errors = [];

  static async start(program, flags = []) {
    const browser = new Browser();
    browser.#profile = await mkdtemp(join(tmpdir(), 'foldnet-page-'));
    browser.#process = spawn(
      program,
      [
        '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--remote-debugging-pipe',
        `--user-data-dir=${browser.#profile}`, ...flags, 'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
    );
    browser.#read(browser.#process.stdio[4]);
    const { targetInfos } = await browser.#ask('Target.getTargets', {}, null);
    const { targetId } = targetInfos.find(target => target.type === 'page');
    const { sessionId } = await browser.#ask('Target.attachToTarget', { targetId, flatten: true }, null);
    browser.session = sessionId;
    for (const domain of ['Page', 'Runtime', 'Log', 'DOM']) await browser.ask(`${domain}.enable`);
    return browser;
  }

  #read(pipe) {
    let rest = '';
    pipe.setEncoding('utf8').on('data', chunk => {
      const messages = (rest + chunk).split('\0');
      rest = messages.pop();
      for (const message of messages) this.#take(JSON.parse(message));
    });
  }

  #take({ id, result, error, method, params }) {
    if (id !== undefined) {
      const { resolve, reject } = this.#answers.get(id);
      this.#answers.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    } else if (method === 'Runtime.exceptionThrown') {
      this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === 'Log.entryAdded' && params.entry.level === 'error') {
      this.errors.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    }
  }

  #ask(method, params, sessionId) {
    const id = this.#next++;
    const message = { id, method, params, ...(sessionId && { sessionId }) };
    this.#process.stdio[3].write(`${JSON.stringify(message)}\0`);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method}: no answer`)), PATIENCE);
      const ended = settle => value => (clearTimeout(late), settle(value));
      this.#answers.set(id, { resolve: ended(resolve), reject: ended(reject) });
    });
  }

  ask(method, params = {}) {
    return this.#ask(method, params, this.session);
  }

  /** The value of an expression, awaited. */
  async run(expression) {
    const { result, exceptionDetails } = await this.ask('Runtime.evaluate', {
      expression, awaitPromise: true, returnByValue: true, userGesture: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true; returns its value. */
  async until(expression) {
    const end = Date.now() + PATIENCE;
    while (Date.now() < end) {
      const value = await this.run(expression).catch(() => undefined);
      if (value) return value;
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    throw new Error(`never true: ${expression}; the page: ${await this.run('document.body.innerText')}`);
  }

  /** Chooses files in the input of that selector. */
  async choose(selector, files) {
    const { root } = await this.ask('DOM.getDocument');
    const { nodeId } = await this.ask('DOM.querySelector', { nodeId: root.nodeId, selector });
    await this.ask('DOM.setFileInputFiles', { nodeId, files });
  }

  async screenshot() {
    const { data } = await this.ask('Page.captureScreenshot', { captureBeyondViewport: true });
    return Buffer.from(data, 'base64');
  }

  async close() {
    const ended = new Promise(resolve => this.#process.once('exit', resolve));
    await this.#ask('Browser.close', {}, null).catch(() => this.#process.kill());
    await ended;
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
