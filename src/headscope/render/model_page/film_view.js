// Maps and roles at some steps of the training, on one text: heads seen forming.
import { $, element } from "./elements.js";
import { HeadsView } from "./heads_view.js";
import { MapView } from "./map_view.js";
import { nameOf } from "./state.js";

const PACE = 700; // milliseconds a picture, when it plays

export class FilmView {
  /**
   * @param film - `ids`, `shape` (L, H, T), and `frames`: step and roles of each.
   * @param bytes - the maps of all frames: what a query can see, row by row.
   */
  constructor(film, bytes, state, shown) {
    const [layers, heads, n] = film.shape;
    Object.assign(this, { film, bytes, state, n });
    this.labels = film.ids.map((id) => shown[id]);
    this.heads = new HeadsView(
      $("film-heads"),
      { layers, heads },
      (layer, head) => state.change({ layer, head }),
      null,
    );
    this.map = new MapView($("film-map"));
    const slider = $("step");
    slider.max = film.frames.length - 1;
    slider.addEventListener("input", () => state.change({ frame: Number(slider.value) }));
    $("play").addEventListener("click", () => this.#play());
    $("film-text").replaceChildren(...this.labels.map((label) => element("bdi", {}, label)));
    state.watch((names) => {
      if (["frame", "layer", "head"].some((name) => names.has(name))) this.draw();
    });
    this.draw();
  }

  /** The maps of a frame, spread out to (L, H, n, n). */
  #spread(frame) {
    const [layers, heads, n] = this.film.shape;
    const whole = new Uint8Array(layers * heads * n * n);
    let from = frame * layers * heads * ((n * (n + 1)) / 2);
    for (let row = 0; row < layers * heads * n; row++) {
      const seen = (row % n) + 1;
      whole.set(this.bytes.subarray(from, from + seen), row * n);
      from += seen;
    }
    return whole;
  }

  draw() {
    const { frame, layer, head } = this.state;
    const { step, roles } = this.film.frames[frame];
    const maps = this.#spread(frame);
    const { n } = this;
    $("step").value = frame;
    $("step").setAttribute("aria-valuetext", `step ${step}`);
    $("step-said").textContent = `step ${step}`;
    this.heads.draw(maps, n);
    this.heads.name(roles);
    this.heads.mark(this.state);
    this.heads.look(n - 1, "from", this.labels);
    const from = (layer * this.film.shape[1] + head) * n * n;
    const map = Float32Array.from(maps.subarray(from, from + n * n), (byte) => (byte / 255) ** 2);
    this.map.draw(map, n, this.labels, 1, `${nameOf(layer, head)} at step ${step}`);
    this.map.choose(n - 1);
    const when = this.film.frames.length > 1 ? ` at step ${step}` : "";
    $("film-one").textContent = `${nameOf(layer, head)}${when}: ${roles[layer][head] || "no role"}`;
  }

  #play() {
    if (this.playing) return this.#stop();
    this.playing = setInterval(() => {
      const next = this.state.frame + 1;
      if (next >= this.film.frames.length) return this.#stop();
      this.state.change({ frame: next });
    }, PACE);
    if (this.state.frame === this.film.frames.length - 1) this.state.change({ frame: 0 });
    $("play").textContent = "Pause";
  }

  #stop() {
    clearInterval(this.playing);
    this.playing = null;
    $("play").textContent = "Play";
  }
}
