// Requests to the worker. Each returns a promise of the answer.

const waiting = new Map();
let count = 0;
let worker = null;
let failure = null; // the error that ended the worker

/** Starts the worker from its source in the page, because a page that is opened from disk may not load another file. */
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
    failure = new Error(`the worker stopped: ${event.message ?? "it could not start"}`);
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
}

/** The worker's answer to a request, `name` and `parameters` as in `worker.js`. */
export function request(name, parameters = {}) {
  return new Promise((resolve, reject) => {
    if (failure) return reject(failure);
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ number: count, name, parameters });
  });
}
