// The page in headless Chromium, with Chromium's fake webcam: labels appear, logits have the program's bits, a hostile
// archive gives a message, and the page opens without a server. Takes screenshots of every width and colour scheme.
// Usage: page.mjs CHROMIUM IMAGES [FOLDER FOR SCREENSHOTS]; FOLDNET_CIFAR and FOLDNET_EXPECTED as in node.test.mjs.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Browser } from './browser.mjs';
import { cifar } from './images.mjs';
import { serve } from './serve.mjs';

const VIEWS = { desktop: [1280, 900, 1], phone: [390, 844, 2] };
const [chromium, images, screenshots] = process.argv.slice(2);
const server = await serve(fileURLToPath(new URL('../package/', import.meta.url)));
const scratch = await mkdtemp(join(tmpdir(), 'foldnet-page-test-'));
const browser = await Browser.start(chromium, [
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
]);

const text = id => browser.run(`document.getElementById('${id}').innerText`);
const click = id => browser.run(`document.getElementById('${id}').click()`);
const opened = () => browser.until(`document.body.dataset.network !== undefined`);

async function view(name, scheme) {
  const [width, height, deviceScaleFactor] = VIEWS[name];
  await browser.ask('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor, mobile: name === 'phone' });
  await browser.ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
}

async function photograph(what) {
  for (const name of Object.keys(VIEWS)) {
    for (const scheme of ['light', 'dark']) {
      await view(name, scheme);
      // Two frames: one for the layout, one for what it makes of the page.
      await browser.run('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))');
      const [wide, inner] = await browser.run('[document.documentElement.scrollWidth, innerWidth]');
      assert.ok(wide <= inner, `${name}: the page is ${wide} pixels wide in a window of ${inner}`);
      if (screenshots) await writeFile(join(screenshots, `${what}-${name}-${scheme}.png`), await browser.screenshot());
    }
  }
}

async function labelsOfImages() {
  const names = (await readdir(images)).filter(name => name.endsWith('.png')).sort();
  await browser.choose('#files', names.map(name => resolve(images, name)));
  await browser.until(`document.getElementById('results').children.length === ${names.length}`);
  const results = await browser.run(
    `[...document.querySelectorAll('#results li')].map(li => [li.querySelector('small').title, li.querySelector('b').innerText])`,
  );
  const right = results.filter(([name, label]) => name.startsWith(label)).length;
  assert.ok(right >= 0.8 * names.length, `${right} of ${names.length}: ${JSON.stringify(results)}`);
  console.log(`${right} of ${names.length} images have their label`);
  await photograph('images');
}

async function labelsOfTheWebcam() {
  await click('webcam');
  await browser.until(`document.getElementById('heading').innerText === 'Webcam'`);
  await browser.until(`document.getElementById('speed').innerText.includes('Images per second')`);
  console.log('webcam:', (await text('label')), '·', (await text('speed')).replaceAll('\n', ' '));
  await photograph('webcam');
  await click('webcam');
  await browser.until(`document.getElementById('live').hidden`);
}

async function hostileArchives() {
  const good = await readFile(new URL('../package/resnet20.nnef.tgz', import.meta.url));
  const before = await text('network');
  for (const [name, bytes] of Object.entries({
    'text.nnef.tgz': Buffer.from('<html>'), 'empty.nnef.tgz': Buffer.alloc(0), 'cut.nnef.tgz': good.subarray(0, good.length >> 1),
  })) {
    await writeFile(join(scratch, name), bytes);
    await browser.choose('#archive', [join(scratch, name)]);
    await browser.until(`document.getElementById('problem').innerText.startsWith('${name}: ')`);
    assert.match(await text('problem'), /not a Foldnet archive/);
  }
  await photograph('hostile');
  assert.equal(await text('network'), before, 'the network that was open stays');
  await writeFile(join(scratch, 'own.nnef.tgz'), good);
  await browser.choose('#archive', [join(scratch, 'own.nnef.tgz')]);
  await browser.until(`document.getElementById('network').innerText.includes('own.nnef.tgz')`);
  assert.equal(await text('problem'), '');
}

async function sameBits() {
  const { FOLDNET_CIFAR: records, FOLDNET_EXPECTED: expected } = process.env;
  if (!records || !expected) return console.log('SKIPPED: no records to compare bits on in Chromium');
  const [pixels, bits] = [await cifar(records), JSON.parse(await readFile(expected))];
  await browser.run(`import('./foldnet.js').then(async ({ Classifier }) => {
    const archive = await (await fetch('resnet20.nnef.tgz')).arrayBuffer();
    globalThis.classifier = await Classifier.open(archive);
  })`);
  const PART = 128;
  for (let first = 0; first < pixels.length; first += PART) {
    const part = pixels.slice(first, first + PART).map(({ data }) => Buffer.from(data).toString('base64'));
    const found = await browser.run(`${JSON.stringify(part)}.map(text => {
      const rgba = Uint8Array.from(atob(text), c => c.charCodeAt(0));
      return [...new Uint32Array(classifier.logits(rgba, 32, 32).buffer)];
    })`);
    assert.deepEqual(found, bits.slice(first, first + PART), `images from ${first} on`);
  }
  console.log(`Chromium: logits of ${pixels.length} images are the program's, bit for bit`);
}

async function offline() {
  await browser.run('navigator.serviceWorker.ready.then(() => true)');
  server.close();
  await browser.run('globalThis.before = true, location.reload()');
  await browser.until('!globalThis.before && document.body.dataset.network !== undefined');
  assert.equal(await browser.run('document.styleSheets.length'), 1);
  console.log('the page opens without its server');
}

try {
  if (screenshots) await mkdir(screenshots, { recursive: true });
  await browser.ask('Page.navigate', { url: server.address });
  await opened();
  await labelsOfImages();
  await labelsOfTheWebcam();
  await hostileArchives();
  await sameBits();
  assert.deepEqual(browser.errors, []);
  await offline();
} finally {
  await browser.close();
  server.close();
  await rm(scratch, { recursive: true, force: true });
}
