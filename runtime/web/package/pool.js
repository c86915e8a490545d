// Workers that hold the same network, so that several images are classified at once and the page never waits.

export class Pool {
  #workers = [];
  #waiting = [];
  #answers = new Map();
  #next = 0;

  /** Opens the archive in one worker; the others follow when there is work for them. */
  constructor(archive, most) {
    this.archive = archive;
    this.most = most;
  }

  async open() {
    const worker = await this.#start();
    this.network = worker.network;
    this.#release(worker);
  }

  /** Classifies an ImageData; its buffer is gone afterwards. */
  async classify(image) {
    const worker = await this.#acquire();
    try {
      return await this.#ask(worker, { image }, [image.data.buffer]);
    } finally {
      this.#release(worker);
    }
  }

  close() {
    for (const worker of this.#workers) worker.terminate();
    for (const { reject } of [...this.#answers.values(), ...this.#waiting]) reject(new Error('the network was closed'));
  }

  async #start() {
    const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    this.#workers.push(worker);
    worker.onmessage = ({ data: { id, error, ...result } }) => {
      const { resolve, reject } = this.#answers.get(id);
      this.#answers.delete(id);
      if (error) reject(Object.assign(new Error(error.message), { kind: error.kind }));
      else resolve(result);
    };
    worker.onerror = event => {
      for (const { reject, owner } of this.#answers.values()) {
        if (owner === worker) reject(new Error(event.message ?? 'the worker cannot be started'));
      }
    };
    worker.network = (await this.#ask(worker, { archive: this.archive })).network;
    return worker;
  }

  #ask(worker, message, transfer) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject, owner: worker });
      worker.postMessage({ id, ...message }, transfer);
    });
  }

  #idle = [];

  #acquire() {
    if (this.#idle.length > 0) return this.#idle.pop();
    if (this.#workers.length < this.most) return this.#start();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #release(worker) {
    const next = this.#waiting.shift();
    if (next) next.resolve(worker);
    else this.#idle.push(worker);
  }
}
