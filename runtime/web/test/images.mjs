// CIFAR-10's binary records, as RGBA images.

import { readFile } from 'node:fs/promises';

const SIDE = 32;

/** Every image of a file of records: a label, then planes of red, green and blue. */
export async function cifar(path) {
  const records = await readFile(path);
  const plane = SIDE * SIDE;
  return Array.from({ length: records.length / (1 + 3 * plane) }, (_, n) => {
    const planes = records.subarray(n * (1 + 3 * plane) + 1, (n + 1) * (1 + 3 * plane));
    const rgba = new Uint8ClampedArray(4 * plane).fill(255);
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < 3; c++) rgba[4 * i + c] = planes[c * plane + i];
    }
    return { data: rgba, width: SIDE, height: SIDE };
  });
}
