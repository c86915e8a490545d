// Runs one classifier beside the page: { id, archive } or { id, image } in, { id, … } out.

import { Classifier } from './foldnet.js';

let classifier, opened;

const describe = ({ labels, height, width, channels, shares, macs, kernels }) =>
  ({ labels, height, width, channels, shares, macs, kernels });

async function answer({ archive, image }) {
  if (archive) {
    classifier?.close();
    classifier = await Classifier.open(archive);
    opened = archive;
    return { network: describe(classifier) };
  }
  // After a trap there is none.
  classifier ??= await Classifier.open(opened);
  const start = performance.now();
  const labels = classifier.classify(image);
  return { labels, ms: performance.now() - start };
}

addEventListener('message', async ({ data }) => {
  try {
    postMessage({ id: data.id, ...(await answer(data)) });
  } catch (error) {
    if (data.image && error.kind !== 'image') classifier = undefined;
    postMessage({ id: data.id, error: { kind: error.kind ?? 'internal', message: error.message } });
  }
});
