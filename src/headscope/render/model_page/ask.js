// Questions to the worker: each is answered by a promise.

const waiting = new Map();
let count = 0;
let worker = null;
let stopped = null; // why, once it has

/** Starts the worker from its source in the page: a file that is opened from disk may load no other. */
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
    stopped = new Error(`the worker stopped: ${event.message ?? "it could not start"}`);
    for (const { reject } of waiting.values()) reject(stopped);
    waiting.clear();
  };
}

/** The worker's answer to a question of `worker.js`. */
export function ask(question, asked = {}) {
  return new Promise((resolve, reject) => {
    if (stopped) return reject(stopped);
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ number: count, question, asked });
  });
}
