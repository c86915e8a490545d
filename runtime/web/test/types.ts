// What TypeScript must accept, and what it must not.

import { Classifier, FoldnetError, type FailureKind, type Label } from '../package/foldnet.js';

export async function everything(archive: ArrayBuffer, image: ImageData): Promise<string> {
  const classifier: Classifier = await Classifier.open(archive, { module: new URL('https://example.org/foldnet.wasm') });
  const labels: Label[] = classifier.classify(image);
  const logits: Float32Array = classifier.logits(image.data, image.width, image.height);
  // @ts-expect-error an archive is no path
  await Classifier.open('model.nnef.tgz');
  // @ts-expect-error pixels need a size
  classifier.classify(image.data);
  // @ts-expect-error names cannot be changed
  classifier.labels = [];
  classifier.close();
  return `${labels[0]?.label} ${logits[0]} ${classifier.macs}`;
}

export const kind = (error: unknown): FailureKind | undefined => (error instanceof FoldnetError ? error.kind : undefined);
