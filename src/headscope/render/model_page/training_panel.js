// The film of a run: attention maps and roles on a fixed text, recorded at several training steps.
import { $, element, reportFailure } from "./elements.js";
import { HeadsView } from "./heads_view.js";
import { MapView } from "./map_view.js";
import { nameOf } from "./state.js";
import { unpack } from "./unpack.js";

const PACE = 700; // milliseconds per frame during playback

export const panel = {
  needs: "film",
  async create({ description, shown, state }) {
    const bytes = await reportFailure(unpack($("film").textContent), "This browser cannot unpack the recorded maps");
    new TrainingView(description.film, new Uint8Array(bytes), state, shown);
  },
};

class TrainingView {
  /**
   * @param film - the `ids` of the text, `shape` (L, H, T), and `frames`, each with its `step` and `roles`.
   * @param bytes - the maps of all frames in row-major order, without masked weights.
   */
  constructor(film, bytes, state, shown) {
    const [layers, heads, n] = film.shape;
    Object.assign(this, { film, bytes, state, n });
    this.labels = film.ids.map((id) => shown[id]);
    this.heads = new HeadsView($("film-heads"), { layers, heads }, state, null);
    this.map = new MapView($("film-map"));
    $("step").max = film.frames.length - 1;
    $("step").addEventListener("input", () => state.change({ frame: Number($("step").value) }));
    $("play").addEventListener("click", () => this.#playOrPause());
    $("film-text").replaceChildren(...this.labels.map((label) => element("bdi", {}, label)));
    state.watch((changed) => {
      if (["frame", "layer", "head"].some((name) => changed.has(name))) this.#draw();
    });
    this.#draw();
  }

  /** The maps of a frame, (L, H, n, n), in which masked weights are 0. */
  #maps(frame) {
    const [layers, heads, n] = this.film.shape;
    const maps = new Uint8Array(layers * heads * n * n);
    let from = frame * layers * heads * ((n * (n + 1)) / 2);
    for (let row = 0; row < layers * heads * n; row++) {
      const visible = (row % n) + 1;
      maps.set(this.bytes.subarray(from, from + visible), row * n);
      from += visible;
    }
    return maps;
  }

  #draw() {
    const { frame, layer, head } = this.state;
    const { step, roles } = this.film.frames[frame];
    const maps = this.#maps(frame);
    const { n } = this;
    $("step").value = frame;
    $("step").setAttribute("aria-valuetext", `step ${step}`);
    $("step-output").textContent = `step ${step}`;
    this.heads.draw(maps, n);
    this.heads.showRoles(roles);
    this.heads.mark(this.state);
    this.heads.look(n - 1, "from", this.labels);
    const from = (layer * this.film.shape[1] + head) * n * n;
    const map = Float32Array.from(maps.subarray(from, from + n * n), (byte) => (byte / 255) ** 2);
    this.map.draw(map, n, this.labels, 1, `${nameOf(layer, head)} at step ${step}`);
    this.map.choose(n - 1);
    const suffix = this.film.frames.length > 1 ? ` at step ${step}` : "";
    $("film-one").textContent = `${nameOf(layer, head)}${suffix}: ${roles[layer][head] || "no role"}`;
  }

  #playOrPause() {
    if (this.timer) return this.#pause();
    this.timer = setInterval(() => {
      const next = this.state.frame + 1;
      if (next >= this.film.frames.length) return this.#pause();
      this.state.change({ frame: next });
    }, PACE);
    if (this.state.frame === this.film.frames.length - 1) this.state.change({ frame: 0 });
    $("play").textContent = "Pause";
  }

  #pause() {
    clearInterval(this.timer);
    this.timer = null;
    $("play").textContent = "Play";
  }
}
