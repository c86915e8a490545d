// Foldnet in browsers and Node. foldnet.d.ts describes the interface, runtime/web/src/lib.rs the module's.

/** The failures that the module numbers. */
const KINDS = [undefined, 'archive', 'image', 'memory', 'closed'];

export class FoldnetError extends Error {
  constructor(kind, message, options) {
    super(message, options);
    this.name = 'FoldnetError';
    this.kind = kind;
  }
}

/** The module beside this file, compiled once; not kept when that failed. */
let own;

export class Classifier {
  #wasm;
  #decoder = new TextDecoder();

  static async open(archive, { module } = {}) {
    const bytes = bytesOf(archive);
    if (!bytes) throw new TypeError('an archive is an ArrayBuffer or a typed array');
    const compiled = module === undefined ? await (own ??= forgetful(compile(beside()))) : await compile(module);
    // Each classifier has a memory of its own, which goes when the classifier does; what a trap leaves harms no other.
    const instance = await unsupported(() => WebAssembly.instantiate(compiled, {}));
    return new Classifier(instance.exports, bytes);
  }

  constructor(wasm, archive) {
    if (!wasm?.foldnet_open) throw new TypeError('use Classifier.open');
    this.#wasm = wasm;
    this.#call(archive, () => wasm.foldnet_open());
    const labels = [];
    while (wasm.foldnet_label(labels.length)) labels.push(this.#text());
    this.labels = Object.freeze(labels);
    [this.height, this.width, this.channels] = [0, 1, 2].map(axis => wasm.foldnet_side(axis));
    this.shares = Boolean(wasm.foldnet_shares());
    this.macs = wasm.foldnet_macs();
    wasm.foldnet_kernels();
    this.kernels = this.#text();
  }

  classify(image, width, height) {
    const wasm = this.#run(image, width, height, 'foldnet_classify');
    const scores = new Float32Array(wasm.memory.buffer, wasm.foldnet_numbers(), wasm.foldnet_count());
    const indices = new Uint32Array(wasm.memory.buffer, wasm.foldnet_indices(), wasm.foldnet_count());
    return Array.from(indices, (index, i) => ({ label: this.labels[index], index, score: scores[i] }));
  }

  logits(image, width, height) {
    const wasm = this.#run(image, width, height, 'foldnet_logits');
    return new Float32Array(wasm.memory.buffer, wasm.foldnet_numbers(), wasm.foldnet_count()).slice();
  }

  close() {
    this.#wasm = undefined;
  }

  /** Runs an export on an image; returns the exports, which hold the result. */
  #run(image, width, height, name) {
    const size = image?.data ? image : { data: image, width, height };
    const pixels = bytesOf(size.data);
    // WebAssembly would make a number of anything.
    const whole = side => Number.isInteger(side) && side > 0 && side < 2 ** 16;
    if (!pixels || !whole(size.width) || !whole(size.height)) {
      throw new FoldnetError('image', 'an image is RGBA bytes with a width and a height');
    }
    const wasm = this.#wasm;
    this.#call(pixels, () => wasm[name](size.width, size.height));
    return wasm;
  }

  /** Writes the input and calls; throws what the module says. */
  #call(input, call) {
    const wasm = this.#wasm;
    if (!wasm) throw new FoldnetError('closed', 'the classifier is closed');
    let status;
    try {
      const at = wasm.foldnet_input(input.length) >>> 0;
      if (at === 0) throw new FoldnetError('memory', `WebAssembly has no ${input.length} bytes of memory left`);
      new Uint8Array(wasm.memory.buffer, at, input.length).set(input);
      status = call();
    } catch (error) {
      if (error instanceof FoldnetError) throw error;
      throw this.#trapped(wasm, error);
    }
    if (status !== 0) throw new FoldnetError(KINDS[status] ?? 'internal', this.#text());
  }

  /** What a trap means. The instance may be inconsistent now, so that it is not used again. */
  #trapped(wasm, cause) {
    this.#wasm = undefined;
    const refused = wasm.foldnet_refused_bytes() >>> 0;
    if (refused > 0) {
      return new FoldnetError('memory', `WebAssembly has no ${refused} bytes of memory left`, { cause });
    }
    const words = this.#string(wasm, wasm.foldnet_last_words(), wasm.foldnet_last_words_len());
    return new FoldnetError('internal', words || String(cause), { cause });
  }

  #text() {
    return this.#string(this.#wasm, this.#wasm.foldnet_text(), this.#wasm.foldnet_text_len());
  }

  #string(wasm, at, length) {
    return this.#decoder.decode(new Uint8Array(wasm.memory.buffer, at >>> 0, length));
  }
}

/** The bytes of a buffer or view; undefined for anything else. */
function bytesOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return undefined;
}

const beside = () => new URL('foldnet.wasm', import.meta.url);

/** The promise, forgotten as the own module when it fails, so that the next call tries again. */
function forgetful(promise) {
  promise.catch(() => (own = undefined));
  return promise;
}

async function compile(module) {
  if (module instanceof WebAssembly.Module) return module;
  return unsupported(async () => WebAssembly.compile(bytesOf(module) ?? (await load(new URL(module, import.meta.url)))));
}

async function load(address) {
  if (address.protocol === 'file:') {
    const { readFile } = await import('node:fs/promises');
    return readFile(address);
  }
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

async function unsupported(work) {
  try {
    return await work();
  } catch (cause) {
    throw new FoldnetError('unsupported', `foldnet.wasm cannot be loaded: ${cause.message}`, { cause });
  }
}
