// The npm package in Node. The archive is the built-in ResNet-20's, as `build` leaves it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';

import { Classifier, FoldnetError } from '../package/foldnet.js';
import { cifar } from './images.mjs';

const archive = await readFile(new URL('../package/resnet20.nnef.tgz', import.meta.url));
const RECORDS = process.env.FOLDNET_CIFAR;
/** What `runtime classify --json` printed for the records, if it ran. */
const EXPECTED = process.env.FOLDNET_EXPECTED;

/** Whether it is a FoldnetError of that kind whose message fits. */
const failure = (kind, message) => error => {
  assert.ok(error instanceof FoldnetError, String(error));
  assert.equal(error.kind, kind);
  assert.match(error.message, message);
  return true;
};

const grey = (width, height) => new Uint8Array(4 * width * height).fill(128);

test('an archive describes its network', async () => {
  const classifier = await Classifier.open(archive);
  assert.equal(classifier.labels.length, 10);
  assert.ok(classifier.labels.includes('airplane'));
  assert.deepEqual([classifier.height, classifier.width, classifier.channels], [32, 32, 3]);
  assert.ok(classifier.shares && classifier.macs > 4e7);
  assert.equal(classifier.kernels, 'simd128');
});

test('images of any size are classified', async () => {
  const classifier = await Classifier.open(archive);
  for (const [width, height] of [[32, 32], [1, 1], [640, 480], [33, 7]]) {
    const labels = classifier.classify(grey(width, height), width, height);
    assert.equal(new Set(labels.map(label => label.index)).size, 10);
    assert.ok(Math.abs(labels.reduce((sum, label) => sum + label.score, 0) - 1) < 1e-5);
    assert.ok(labels.every((label, i) => i === 0 || label.score <= labels[i - 1].score));
    assert.ok(labels.every(({ label, index }) => label === classifier.labels[index]));
    const logits = classifier.logits({ data: grey(width, height), width, height });
    assert.equal(logits.indexOf(Math.max(...logits)), labels[0].index);
  }
});

test('logits are those of the program', { skip: !RECORDS || !EXPECTED ? 'no records' : false }, async () => {
  const classifier = await Classifier.open(archive);
  const images = await cifar(RECORDS);
  const expected = JSON.parse(await readFile(EXPECTED));
  assert.equal(images.length, expected.length);
  images.forEach((image, n) => {
    const bits = new Uint32Array(classifier.logits(image).buffer);
    assert.deepEqual([...bits], expected[n], `image ${n}`);
  });
  console.log(`logits of ${images.length} images are the program's, bit for bit`);
});

test('what is not an image is refused', async () => {
  const classifier = await Classifier.open(archive);
  for (const [data, width, height] of [
    [grey(4, 4), 4, 5], [grey(4, 4), 0, 4], [grey(4, 4), -4, -4], [grey(4, 4), 2.5, 4], [grey(4, 4), 2 ** 31, 2 ** 31],
    [undefined, 1, 1], ['pixels', 1, 1], [grey(1, 1), NaN, 1], [new Uint8Array(0), 1, 1],
  ]) {
    assert.throws(() => classifier.classify(data, width, height), failure('image', /RGBA/));
    assert.throws(() => classifier.logits(data, width, height), failure('image', /RGBA/));
  }
  assert.equal(classifier.classify(grey(4, 4), 4, 4).length, 10);
});

test('hostile archives are exceptions, and harm nobody', async () => {
  const good = await Classifier.open(archive);
  const before = good.logits(grey(32, 32), 32, 32);
  const refused = bytes => assert.rejects(Classifier.open(bytes), error => error instanceof FoldnetError);
  await assert.rejects(Classifier.open(new Uint8Array(0)), failure('archive', /not a Foldnet archive/));
  await assert.rejects(Classifier.open(new TextEncoder().encode('<html>')), failure('archive', /not a Foldnet archive/));
  for (const length of [1, 99, archive.length >> 1, archive.length - 1]) await refused(archive.subarray(0, length));
  // Flipped bits, in the compressed stream and in what it holds.
  const tar = gunzipSync(archive);
  for (let n = 0; n < 48; n++) {
    const bytes = Uint8Array.from(archive);
    bytes[(n * 7919) % bytes.length] ^= 1 << n % 8;
    await Classifier.open(bytes).then(c => c.classify(grey(32, 32), 32, 32), e => assert.ok(e instanceof FoldnetError));
    const inside = Uint8Array.from(tar);
    inside[(n * 104729) % 4096] ^= 1 << n % 8;
    const packed = gzipSync(inside, { level: 1 });
    await Classifier.open(packed).then(c => c.classify(grey(32, 32), 32, 32), e => assert.ok(e instanceof FoldnetError));
  }
  assert.deepEqual(good.logits(grey(32, 32), 32, 32), before);
});

test('an archive that claims more than there is memory for', async () => {
  // A tar member of 600 MB of zeros, 600 kB compressed.
  const header = Buffer.alloc(512);
  header.write('weights.dat');
  header.write('0000644\0', 100);
  const size = 600 * 2 ** 20;
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('ustar\0' + '00', 257);
  header.write('0', 156);
  header.fill(' ', 148, 156);
  header.write(`${[...header].reduce((a, b) => a + b, 0).toString(8).padStart(6, '0')}\0 `, 148);
  await assert.rejects(Classifier.open(gzipSync(header)), failure('archive', /claims \d+ bytes, too many/));
});

test('no memory is an exception of its own', async t => {
  // All but a few pages of 64 kB are taken, as if another image or network had them.
  for (const left of [0, 12, 24]) {
    const instantiate = WebAssembly.instantiate;
    t.mock.method(WebAssembly, 'instantiate', async (...of) => {
      const instance = await instantiate(...of);
      const { memory } = instance.exports;
      memory.grow(65536 - left - memory.buffer.byteLength / 65536);
      return instance;
    });
    await assert.rejects(Classifier.open(archive), failure('memory', /no \d+ bytes of memory left/));
    t.mock.restoreAll();
  }
  assert.equal((await Classifier.open(archive)).labels.length, 10);
});

test('a closed classifier, and what is no archive', async () => {
  const classifier = await Classifier.open(archive.buffer.slice(archive.byteOffset, archive.byteOffset + archive.length));
  classifier.close();
  assert.throws(() => classifier.classify(grey(1, 1), 1, 1), failure('closed', /closed/));
  await assert.rejects(Classifier.open('model.nnef.tgz'), TypeError);
  await assert.rejects(Classifier.open(archive, { module: new Uint8Array(8) }), failure('unsupported', /foldnet\.wasm/));
  await assert.rejects(Classifier.open(archive, { module: 'absent.wasm' }), failure('unsupported', /foldnet\.wasm/));
});
