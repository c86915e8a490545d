// The service worker: keeps the page's files, so that it opens without a network. The network's copy comes first, so that
// a new version is seen at once.

const KEPT = 'foldnet-1';
const FILES = [
  './', 'page.css', 'page.js', 'pool.js', 'worker.js', 'foldnet.js', 'foldnet.wasm', 'icon.svg', 'resnet20.nnef.tgz',
];

addEventListener('install', event => {
  event.waitUntil(caches.open(KEPT).then(cache => cache.addAll(FILES)));
  skipWaiting();
});

addEventListener('activate', event => event.waitUntil(clients.claim()));

addEventListener('fetch', event => {
  if (event.request.method !== 'GET' || !event.request.url.startsWith(registration.scope)) return;
  event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(KEPT);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await cache.put(request, fresh.clone());
    return fresh;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
