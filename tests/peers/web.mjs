// Times networks in WebAssembly on one thread, interleaved: Foldnet's package and onnxruntime-web. Run by web.py.
// Usage: web.mjs SETTINGS, a JSON object: package, ort (folders), archive, models (name to path), rounds, perRound.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(process.argv[2]);
const SIDE = 224;

const { Classifier } = await import(pathToFileURL(join(settings.package, 'foldnet.js')));
const require = createRequire(join(settings.ort, 'package.json'));
const ort = require('onnxruntime-web');
ort.env.wasm.numThreads = 1;

const classifier = await Classifier.open(await readFile(settings.archive));
const pixels = Uint8Array.from({ length: 4 * SIDE * SIDE }, (_, i) => (i * 2654435761) >>> 24);
const runs = { Foldnet: async () => classifier.logits(pixels, SIDE, SIDE) };
for (const [name, path] of Object.entries(settings.models)) {
  const session = await ort.InferenceSession.create(path, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  const [input] = session.inputNames;
  const values = Float32Array.from({ length: 3 * SIDE * SIDE }, (_, i) => (pixels[i] - 128) / 64);
  const feed = { [input]: new ort.Tensor('float32', values, [1, 3, SIDE, SIDE]) };
  runs[name] = () => session.run(feed);
}

const median = values => values.sort((a, b) => a - b)[values.length >> 1];
const rounds = Object.fromEntries(Object.keys(runs).map(name => [name, { wall: [], cpu: [] }]));
for (let round = 0; round < settings.rounds; round++) {
  for (const [name, run] of Object.entries(runs)) {
    // The first is not measured: it meets cold caches, and in the first round a compiler that is not done.
    await run();
    const [wall, cpu] = [[], []];
    for (let n = 0; n < settings.perRound; n++) {
      const [start, before] = [performance.now(), process.cpuUsage()];
      await run();
      wall.push(performance.now() - start);
      const { user, system } = process.cpuUsage(before);
      cpu.push((user + system) / 1000);
    }
    rounds[name].wall.push(median(wall));
    rounds[name].cpu.push(median(cpu));
  }
}
const { version } = JSON.parse(await readFile(join(settings.ort, 'node_modules', 'onnxruntime-web', 'package.json')));
console.log(JSON.stringify({ rounds, macs: classifier.macs, versions: { node: process.version, v8: process.versions.v8, ort: version } }));
