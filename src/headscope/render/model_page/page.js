import { ask, startWorker } from "./ask.js";

const described = JSON.parse(document.getElementById("described").textContent);
startWorker(document.getElementById("worker").textContent);
export const ready = ask("start", { model: described.model, packed: document.getElementById("weights").textContent });
