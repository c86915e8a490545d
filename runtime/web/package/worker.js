// Runs one classifier beside the page: { id, archive } or { id, image } in, { id, … } out.

import { Classifier } from './foldnet.js';

let classifier;

const describe = ({ labels, height, width, channels, shares, macs, kernels }) =>
  ({ labels, height, width, channels, shares, macs, kernels });

async function answer({ archive, image, logits }) {
  if (archive) {
    classifier?.close();
    classifier = await Classifier.open(archive);
    return { network: describe(classifier) };
  }
  const start = performance.now();
  const result = logits ? { logits: classifier.logits(image) } : { labels: classifier.classify(image) };
  return { ...result, ms: performance.now() - start };
}

addEventListener('message', async ({ data }) => {
  try {
    postMessage({ id: data.id, ...(await answer(data)) });
  } catch (error) {
    postMessage({ id: data.id, error: { kind: error.kind ?? 'internal', message: error.message } });
  }
});
