/** What went wrong. */
export type FailureKind =
  /** The archive is damaged, of another version, or holds a network that cannot be run. */
  | 'archive'
  /** The pixels are no RGBA image of the given size. */
  | 'image'
  /** The network or the image needs more memory than WebAssembly has. */
  | 'memory'
  /** The classifier was closed. */
  | 'closed'
  /** A fault of Foldnet; the classifier is closed. */
  | 'internal'
  /** The engine cannot run the module, or the module cannot be loaded. */
  | 'unsupported';

/** Every failure of this package. */
export class FoldnetError extends Error {
  readonly name: 'FoldnetError';
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string, options?: ErrorOptions);
}

/** A class, and how much speaks for it. */
export interface Label {
  /** Its name, or `class` and its index if the archive has no names. */
  label: string;
  /** Index of the class. */
  index: number;
  /** A share of 1, or a plain number if {@link Classifier.shares} is false. */
  score: number;
}

/** Pixels with a size, such as the browser's `ImageData`. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

export interface Options {
  /**
   * The module `foldnet.wasm`: its address, its bytes, or compiled. By default it is loaded once from beside
   * `foldnet.js`.
   */
  module?: string | URL | ArrayBuffer | ArrayBufferView | WebAssembly.Module;
}

/** A network that classifies images, on one thread, in memory of its own. */
export class Classifier {
  private constructor();
  /** Opens an archive of `converter quantize`, compressed as it is. */
  static open(archive: ArrayBuffer | ArrayBufferView, options?: Options): Promise<Classifier>;

  /** Names of the classes. */
  readonly labels: readonly string[];
  /** Rows of what the network reads. */
  readonly height: number;
  /** Columns of what the network reads. */
  readonly width: number;
  /** Channels of what the network reads; images are RGBA all the same. */
  readonly channels: number;
  /** Whether scores are shares of 1; otherwise they are plain numbers. */
  readonly shares: boolean;
  /** Multiply-accumulates (MAC) of one inference. */
  readonly macs: number;
  /** Name of the kernel set. */
  readonly kernels: string;

  /** Brings an RGBA image to the network's size and classifies it: every class, the best first. Alpha is ignored. */
  classify(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number): Label[];
  classify(image: Pixels): Label[];

  /** The network's own numbers, before softmax or sigmoid, in the order of {@link Classifier.labels}. */
  logits(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number): Float32Array;
  logits(image: Pixels): Float32Array;

  /** Gives the memory back. Other calls fail afterwards. */
  close(): void;
}
