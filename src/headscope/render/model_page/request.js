// Sends requests to the worker. `request` returns a promise of the answer.

const waiting = new Map();
let count = 0;
let worker = null;
let failure = null; // the error that ended the worker

/** Starts the worker from its source text, because a page opened from disk is not allowed to load other files. */
export function startWorker(source) {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  worker = new Worker(address);
  worker.onmessage = ({ data: { number, answer, error } }) => {
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    if (error) reject(new Error(error));
    else resolve(answer);
  };
  worker.onerror = (event) => {
    failure = new Error(`the worker stopped: ${event.message ?? "it could not be started"}`);
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
}

/** Returns a promise of the worker's answer. `answers` in `worker.js` lists the names and their parameters. */
export function request(name, parameters = {}) {
  return new Promise((resolve, reject) => {
    if (failure) return reject(failure);
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ number: count, name, parameters });
  });
}
