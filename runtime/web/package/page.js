// The page: an archive, images or a webcam in, labels out.

import { Pool } from './pool.js';

const $ = id => document.getElementById(id);
const BUILT_IN = { name: 'ResNet-20, CIFAR-10 (built in)', address: 'resnet20.nnef.tgz' };
/** Images classified at once at most: each worker holds a copy of the network. */
const WORKERS = Math.min(navigator.hardwareConcurrency || 1, 4);
/** Results kept on the page. */
const SHOWN = 200;
/** A longer side than this is drawn smaller before it is classified. */
const MAX_SIDE = 4096;

let pool, stream;

function element(name, text, children = []) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

function facts(id, pairs) {
  $(id).replaceChildren(...pairs.flatMap(([name, value]) => [element('dt', name), element('dd', value)]));
}

function problem(text) {
  $('problem').textContent = text ?? '';
  $('problem').hidden = !text;
}

const shown = (score, shares) => shares ? `${(100 * score).toFixed(1)} %` : score.toPrecision(5);

function bars(labels, shares) {
  $('bars').replaceChildren(...labels.slice(0, 5).map(({ label, score }) => {
    const fill = element('b');
    fill.style.width = shares ? `${100 * score}%` : 0;
    const bar = element('div', undefined, [
      element('div', undefined, [element('span', label), element('span', shown(score, shares))]),
      element('i', undefined, [fill]),
    ]);
    bar.className = 'bar';
    return bar;
  }));
}

function show(name, { labels, ms }, perSecond) {
  $('heading').textContent = name;
  // Nothing is announced again that has not changed.
  if ($('label').textContent !== labels[0].label) $('label').textContent = labels[0].label;
  bars(labels, pool.network.shares);
  const rows = [['Time for an image', `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`]];
  if (perSecond) rows.push(['Images per second', perSecond.toFixed(1)]);
  facts('speed', rows);
}

async function open(name, archive) {
  const opened = new Pool(archive, WORKERS);
  try {
    await opened.open();
  } catch (error) {
    opened.close();
    return problem(`${name}: ${error.message}`);
  }
  problem();
  pool?.close();
  pool = opened;
  const { height, width, channels, labels, macs, kernels } = pool.network;
  facts('network', [
    ['Archive', name],
    ['Input', `${width}×${height}×${channels}`],
    ['Classes', labels.length],
    ['MAC per image', macs > 1e9 ? `${(macs / 1e9).toFixed(2)} billion` : `${(macs / 1e6).toFixed(1)} million`],
    ['Kernels', `${kernels}, one thread per image`],
  ]);
  $('results').replaceChildren();
  $('list').hidden = true;
  $('bars').replaceChildren();
  $('label').textContent = '–';
  $('heading').textContent = 'Label';
  facts('speed', [['Time for an image', '–']]);
  $('builtin').hidden = name === BUILT_IN.name;
  $('webcam').disabled = $('files').disabled = false;
  document.body.dataset.network = name;
}

async function openBuiltIn() {
  const answer = await fetch(BUILT_IN.address).catch(() => undefined);
  if (!answer?.ok) return problem(`${BUILT_IN.address} cannot be loaded. Open an archive of your own.`);
  await open(BUILT_IN.name, await answer.arrayBuffer());
}

/** An image's or video's pixels. */
function pixels(source, width, height) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const [w, h] = [width, height].map(side => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(source, 0, 0, w, h);
  return context.getImageData(0, 0, w, h);
}

async function classifyFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch {
    return result(file, undefined, 'not an image that this browser reads');
  }
  try {
    const answer = await pool.classify(pixels(bitmap, bitmap.width, bitmap.height));
    if (!stream) show(file.name, answer);
    result(file, answer);
  } catch (error) {
    result(file, undefined, error.message);
  } finally {
    bitmap.close();
  }
}

function result(file, answer, failure) {
  const image = new Image();
  image.alt = '';
  if (answer) {
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
  }
  const best = answer?.labels[0];
  const name = element('small', best ? `${shown(best.score, pool.network.shares)} · ${file.name}` : file.name);
  name.title = file.name;
  const item = element('li', undefined, [
    ...(answer ? [image] : []),
    element('div', undefined, [element('b', best?.label ?? failure), name]),
  ]);
  item.classList.toggle('bad', !answer);
  $('results').prepend(item);
  $('list').hidden = false;
  if ($('results').children.length > SHOWN) $('results').lastChild.remove();
}

/** Archives are opened, everything else is taken for an image. */
async function take(files) {
  const isArchive = file => /\.(tgz|gz)$/i.test(file.name);
  const archive = files.find(isArchive);
  if (archive) await open(archive.name, await archive.arrayBuffer());
  if (!pool) return;
  const queue = files.filter(file => !isArchive(file));
  // As many decoded images as workers, however many files were dropped.
  await Promise.all(Array.from({ length: WORKERS }, async () => {
    while (queue.length > 0) await classifyFile(queue.shift());
  }));
}

async function startWebcam() {
  const video = $('live');
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    return problem(`The webcam cannot be used: ${error.message}`);
  }
  problem();
  video.srcObject = stream;
  await video.play();
  live(true);
  const times = [];
  const own = stream;
  own.getVideoTracks()[0].addEventListener('ended', () => own === stream && stopWebcam());
  while (stream === own) {
    if (video.videoWidth > 0 && !document.hidden) {
      try {
        const answer = await pool.classify(pixels(video, video.videoWidth, video.videoHeight));
        times.push(performance.now());
        while (times.length > 30) times.shift();
        const rate = times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : undefined;
        if (stream === own) show('Webcam', answer, rate);
      } catch (error) {
        // An archive that was opened meanwhile has closed the old one's workers.
        if (error.kind) { stopWebcam(); return problem(error.message); }
      }
    }
    await new Promise(resolve => (document.hidden ? setTimeout(resolve, 250) : requestAnimationFrame(resolve)));
  }
}

function stopWebcam() {
  stream.getTracks().forEach(track => track.stop());
  stream = undefined;
  $('live').srcObject = null;
  live(false);
}

function live(on) {
  $('live').hidden = !on;
  $('empty').hidden = on;
  $('drop').classList.toggle('live', on);
  $('webcam').textContent = on ? 'Stop webcam' : 'Start webcam';
}

$('webcam').addEventListener('click', () => (stream ? stopWebcam() : startWebcam()));
$('builtin').addEventListener('click', openBuiltIn);
for (const id of ['files', 'archive']) {
  $(id).addEventListener('change', async ({ target }) => {
    const files = [...target.files];
    // The same file can be chosen again.
    target.value = '';
    if (id === 'archive') await open(files[0].name, await files[0].arrayBuffer());
    else await take(files);
  });
}
for (const [event, over] of [['dragover', true], ['dragleave', false], ['drop', false]]) {
  addEventListener(event, occurred => {
    occurred.preventDefault();
    document.body.classList.toggle('dragging', over);
    if (event === 'drop') take([...occurred.dataTransfer.files]);
  });
}

navigator.serviceWorker?.register('offline.js').catch(() => {});
await openBuiltIn();
